// A mount whose daemon stays our child: what the FUSE peers have in common.

import { mkdirSync } from 'node:fs';

import { Daemon } from '../daemon.ts';
import { isMounted, unmount } from '../mounts.ts';
import { forgetCached } from '../page-cache.ts';
import { syncTree, type Target, type TargetName } from '../target.ts';
import type { Workload } from '../workloads.ts';

export abstract class ServedTarget implements Target {
  abstract readonly name: TargetName;
  abstract readonly missing: string | undefined;
  readonly directory: string;
  readonly durable: string = syncTree;
  #daemon: Daemon | undefined;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Program and arguments of a daemon that mounts `directory` and stays in the foreground. */
  protected abstract readonly command: readonly [program: string, ...args: string[]];

  get daemonPid(): number | undefined {
    return this.#daemon?.pid;
  }

  async start(signal: AbortSignal): Promise<void> {
    mkdirSync(this.directory, { recursive: true });
    const [program, ...args] = this.command;
    this.#daemon = await Daemon.start({
      program,
      args,
      logPath: `${this.directory}.log`,
      isReady: async () => isMounted(this.directory),
      signal,
    });
  }

  /** Of those that keep their names in memory and therefore cannot be mounted again. */
  async forget(signal: AbortSignal): Promise<void> {
    await forgetCached(this.directory, signal);
  }

  async diskBytes(): Promise<number | undefined> {
    return undefined;
  }

  scriptOf({ script }: Workload): string {
    return script;
  }

  async stop(): Promise<void> {
    await this.unmount();
  }

  protected async unmount(): Promise<void> {
    try {
      await unmount(this.directory);
    } finally {
      await this.#daemon?.end();
      this.#daemon = undefined;
    }
    // A daemon that had to be killed leaves its mount.
    await unmount(this.directory);
  }
}
