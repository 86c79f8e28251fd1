// A fresh store beside the host's directory, mounted as a user mounts it.

import { mkdirSync, rmSync } from 'node:fs';

import { dedupfs } from '../../examples/programs.ts';
import { occupiedBytes } from '../disk-usage.ts';
import { isMounted, unmount } from '../mounts.ts';
import { forgetCached } from '../page-cache.ts';
import { syncTree, type Target } from '../target.ts';
import type { Workload } from '../workloads.ts';

export class DedupfsTarget implements Target {
  readonly name = 'dedupfs';
  readonly directory: string;
  readonly durable = syncTree;
  readonly missing = undefined;
  readonly #store: string;
  readonly #log: string;
  #daemonPid: number | undefined;

  constructor(directory: string) {
    this.directory = directory;
    this.#store = `${directory}.store`;
    this.#log = `${directory}.log`;
  }

  get daemonPid(): number | undefined {
    return this.#daemonPid;
  }

  async start(signal: AbortSignal): Promise<void> {
    mkdirSync(this.directory, { recursive: true });
    await mustRunDedupfs(['mount', this.#store, this.directory, '--log', this.#log]);
    const stats = await mustRunDedupfs(['stats', '--json', this.#store]);
    ({ daemonPid: this.#daemonPid } = JSON.parse(stats) as { daemonPid: number });
    signal.throwIfAborted();
  }

  async forget(signal: AbortSignal): Promise<void> {
    await this.#unmount();
    await forgetCached(this.#store, signal);
    await this.start(signal);
  }

  async diskBytes(): Promise<number> {
    // The reserve comes and goes with what is under way; it holds nothing.
    return occupiedBytes(this.#store, 'reserve');
  }

  scriptOf({ script }: Workload): string {
    return script;
  }

  async stop(): Promise<void> {
    try {
      if (isMounted(this.directory)) await this.#unmount();
    } finally {
      await this.#stopByForce();
      rmSync(this.#store, { recursive: true, force: true });
    }
  }

  async #unmount(): Promise<void> {
    await mustRunDedupfs(['umount', this.directory]);
    this.#daemonPid = undefined;
  }

  /** For a daemon that does not end when it is asked to. */
  async #stopByForce(): Promise<void> {
    if (!isMounted(this.directory)) return;
    if (this.#daemonPid !== undefined) process.kill(this.#daemonPid, 'SIGKILL');
    this.#daemonPid = undefined;
    await unmount(this.directory);
  }
}

/** Not interrupted: a mount half made is harder to take away than a whole one. */
async function mustRunDedupfs(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await dedupfs(args, {});
  if (code === 0) return stdout;
  throw new Error(`dedupfs ${args[0]} exited with ${code}: ${stderr.trim()}`);
}
