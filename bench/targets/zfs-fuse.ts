// zfs-fuse: deduplication and compression in a FUSE file system in C. A daemon of our own serves a pool
// in a file of the host.

import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { runProgram } from '../../examples/programs.ts';
import { Daemon } from '../daemon.ts';
import { occupiedBytes, parseSize } from '../disk-usage.ts';
import { unmount } from '../mounts.ts';
import { forgetCached } from '../page-cache.ts';
import { missingOf } from '../requirements.ts';
import type { Target } from '../target.ts';
import type { Workload } from '../workloads.ts';

const EXPORT_ATTEMPTS = 10;
const EXPORT_PAUSE_MS = 200;

/** A property that means nothing. */
const DURABLE = 'bench:durable';

export class ZfsFuseTarget implements Target {
  readonly name = 'zfs-fuse';
  readonly directory: string;
  readonly durable: string;
  readonly #pool = `dedupfsbench${process.pid}`;
  /** In a folder of its own, since an import looks at every file beside it. */
  readonly #vdev: string;
  readonly #capacityBytes: number;
  #daemon: Daemon | undefined;

  constructor(directory: string, capacityBytes: number) {
    this.directory = directory;
    this.#vdev = `${directory}.pool/vdev`;
    this.#capacityBytes = capacityBytes;
    // It knows no syncfs(2), and fsync(2) of a directory says nothing of the files in it. Setting a
    // property is a transaction group of its own, and returns when that is on the disk.
    this.durable = `sync -f "$T"; zfs set ${DURABLE}=$EPOCHREALTIME ${this.#pool}`;
  }

  get daemonPid(): number | undefined {
    return this.#daemon?.pid;
  }

  get missing(): string | undefined {
    const programs = { 'zfs-fuse': 'zfs-fuse', zpool: 'zfs-fuse', zfs: 'zfs-fuse' };
    return missingOf({ programs, needsRoot: true });
  }

  async start(signal: AbortSignal): Promise<void> {
    // A daemon of somebody else would be measured, or would have to be ended.
    if (await answers()) throw new Error('a zfs-fuse daemon runs already; end it first');
    mkdirSync(this.directory, { recursive: true });
    mkdirSync(dirname(this.#vdev), { recursive: true });
    writeFileSync(this.#vdev, '');
    truncateSync(this.#vdev, this.#capacityBytes);
    this.#daemon = await Daemon.start({
      program: 'zfs-fuse',
      args: ['--no-daemon', '--no-kstat-mount'],
      logPath: `${this.directory}.log`,
      isReady: answers,
      signal,
    });
    const properties = ['dedup=on', 'compression=gzip-1', 'atime=off'];
    const options = properties.flatMap((property) => ['-O', property]);
    const place = ['-o', 'cachefile=none', '-m', this.directory, this.#pool, this.#vdev];
    await runProgram('zpool', ['create', ...options, ...place], {});
    signal.throwIfAborted();
  }

  /** Export and import, since the daemon has a cache of its own. */
  async forget(signal: AbortSignal): Promise<void> {
    await this.#export(signal);
    await forgetCached(this.#vdev, signal);
    const folder = dirname(this.#vdev);
    await runProgram('zpool', ['import', '-o', 'cachefile=none', '-d', folder, this.#pool], {});
  }

  /** The pool is busy until the kernel has told of the last close, which it does in its own time. */
  async #export(signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const isLast = attempt === EXPORT_ATTEMPTS;
      const result = await runProgram('zpool', ['export', this.#pool], { mayFail: !isLast });
      if (result.code === 0) return;
      await sleep(EXPORT_PAUSE_MS, undefined, { signal });
    }
  }

  /** What the pool has allocated, to three digits: the file keeps blocks that were freed. */
  async diskBytes(): Promise<number> {
    await runProgram('zfs', ['set', `${DURABLE}=${performance.now()}`, this.#pool], {});
    const { stdout } = await runProgram('zpool', ['list', '-H', '-o', 'alloc', this.#pool], {});
    return parseSize(stdout) || occupiedBytes(this.#vdev);
  }

  scriptOf({ script }: Workload): string {
    return script;
  }

  async stop(): Promise<void> {
    if (this.#daemon !== undefined) {
      await runProgram('zpool', ['destroy', '-f', this.#pool], { mayFail: true });
    }
    try {
      await unmount(this.directory);
    } finally {
      await this.#daemon?.end();
      this.#daemon = undefined;
    }
    await unmount(this.directory);
    rmSync(dirname(this.#vdev), { recursive: true, force: true });
  }
}

/** Whether a daemon answers the socket that all of them share. */
async function answers(): Promise<boolean> {
  const { code } = await runProgram('zpool', ['list'], { mayFail: true });
  return code === 0;
}
