// btrfs in a file of the host, on a loop device that goes with its mount.

import { mkdirSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';

import { runProgram } from '../../examples/programs.ts';
import { unmount } from '../mounts.ts';
import { forgetCached } from '../page-cache.ts';
import { missingOf } from '../requirements.ts';
import { syncTree, type Target } from '../target.ts';
import type { Workload } from '../workloads.ts';

export class BtrfsTarget implements Target {
  readonly name = 'btrfs';
  readonly directory: string;
  readonly daemonPid = undefined;
  readonly durable = syncTree;
  readonly #image: string;
  readonly #capacityBytes: number;

  constructor(directory: string, capacityBytes: number) {
    this.directory = directory;
    this.#image = `${directory}.image`;
    this.#capacityBytes = capacityBytes;
  }

  get missing(): string | undefined {
    const programs = { 'mkfs.btrfs': 'btrfs-progs', duperemove: 'duperemove' };
    return missingOf({ programs, needsRoot: true });
  }

  async start(signal: AbortSignal): Promise<void> {
    mkdirSync(this.directory, { recursive: true });
    writeFileSync(this.#image, '');
    truncateSync(this.#image, this.#capacityBytes);
    await runProgram('mkfs.btrfs', ['-q', this.#image], { signal });
    await this.#mount();
    signal.throwIfAborted();
  }

  async forget(signal: AbortSignal): Promise<void> {
    await unmount(this.directory);
    await forgetCached(this.#image, signal);
    await this.#mount();
  }

  /** What the file system says is used: the image keeps blocks that were freed. */
  async diskBytes(): Promise<number> {
    await runProgram('sync', ['-f', this.directory], {});
    const { blocks, bfree, bsize } = statfsSync(this.directory);
    return (blocks - bfree) * bsize;
  }

  scriptOf({ script }: Workload): string {
    return script;
  }

  async stop(): Promise<void> {
    await unmount(this.directory);
    rmSync(this.#image, { force: true });
  }

  /** mount(8) gives the loop device back when the mount goes. Not interrupted: see DedupfsTarget. */
  async #mount(): Promise<void> {
    const options = 'loop,noatime,compress=zstd';
    await runProgram('mount', ['-t', 'btrfs', '-o', options, this.#image, this.directory], {});
  }
}
