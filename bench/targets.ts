// The file systems that are compared. Each is a directory for the workloads, fresh for every suite.
//
// Lifecycle: start -> (forget)* -> stop -> start ... -> stop. stop() may be called at any moment,
// also after a start that failed; it leaves no mount and no process.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { dedupfs, runProgram } from '../examples/programs.ts';
import { readMounts } from '../lib/kernel/mountinfo.ts';
import { NullDaemon } from './null-daemon.ts';
import { forgetCached } from './page-cache.ts';

export type TargetName = 'host' | 'null' | 'dedupfs';
export const targetNames = ['host', 'null', 'dedupfs'] as const satisfies readonly TargetName[];

export interface Target {
  readonly name: TargetName;
  /** What is written here goes through the file system under test. */
  readonly directory: string;
  /** The process that serves it; undefined for the kernel itself. */
  readonly daemonPid: number | undefined;
  start(signal: AbortSignal): Promise<void>;
  /** The next read of this file comes from the disk. */
  forget(file: string, signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/** @param folder on the host's file system; without symbolic links, as mountinfo shows it */
export function makeTarget(name: TargetName, folder: string): Target {
  switch (name) {
    case 'host':
      return new HostTarget(join(folder, 'host'));
    case 'null':
      return new NullTarget(join(folder, 'null'));
    case 'dedupfs':
      return new DedupfsTarget(join(folder, 'dedupfs'));
  }
}

/** A plain directory of the host. */
class HostTarget implements Target {
  readonly name = 'host';
  readonly directory: string;
  readonly daemonPid = undefined;

  constructor(directory: string) {
    this.directory = directory;
  }

  async start(): Promise<void> {
    mkdirSync(this.directory, { recursive: true });
  }

  async forget(file: string, signal: AbortSignal): Promise<void> {
    await forgetCached(file, signal);
  }

  async stop(): Promise<void> {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Our transport with nothing behind it: it discards data, and reads give zeros. */
class NullTarget implements Target {
  readonly name = 'null';
  readonly directory: string;
  #daemon: NullDaemon | undefined;

  constructor(directory: string) {
    this.directory = directory;
  }

  get daemonPid(): number | undefined {
    return this.#daemon?.pid;
  }

  async start(signal: AbortSignal): Promise<void> {
    mkdirSync(this.directory, { recursive: true });
    this.#daemon = await NullDaemon.start(this.directory, `${this.directory}.log`, signal);
  }

  /** Its names are in memory only, so that it cannot be mounted again. */
  async forget(file: string, signal: AbortSignal): Promise<void> {
    await forgetCached(file, signal);
  }

  async stop(): Promise<void> {
    if (isMounted(this.directory)) await detach(this.directory);
    await this.#daemon?.end();
    this.#daemon = undefined;
  }
}

/** A fresh store beside the host's directory, mounted as a user mounts it. */
class DedupfsTarget implements Target {
  readonly name = 'dedupfs';
  readonly directory: string;
  readonly #store: string;
  readonly #log: string;
  #daemonPid: number | undefined;

  constructor(folder: string) {
    this.directory = folder;
    this.#store = `${folder}.store`;
    this.#log = `${folder}.log`;
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

  async forget(_file: string, signal: AbortSignal): Promise<void> {
    await this.#unmount();
    await forgetCached(this.#store, signal);
    await this.start(signal);
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
    await detach(this.directory);
  }
}

/** Not interrupted: a mount half made is harder to take away than a whole one. */
async function mustRunDedupfs(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await dedupfs(args, {});
  if (code === 0) return stdout;
  throw new Error(`dedupfs ${args[0]} exited with ${code}: ${stderr.trim()}`);
}

export function isMounted(directory: string): boolean {
  return readMounts().some(({ mountpoint }) => mountpoint === directory);
}

/** Takes the mount away even when it is in use or its daemon is dead. */
async function detach(directory: string): Promise<void> {
  if (process.geteuid?.() === 0) await runProgram('umount', ['-l', directory], {});
  else await runProgram('fusermount3', ['-u', '-z', directory], {});
}
