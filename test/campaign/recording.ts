// One recording: the real daemon serves a store that lies on a lossy disk, a worker changes files in
// the mount, and at the end the power is cut while it does so, or after a clean unmount. What the disk
// wrote down on the way stands for as many other cuts as one likes (cuts.ts).
//
//   FOLDER/recording.json    RecordingFacts
//   FOLDER/before.json       operations that led to what was on the disk at first
//   FOLDER/workload.log      what the worker did (history.ts)
//   FOLDER/disk              LOG and DATA of the disk
//   FOLDER/left              what the cut at the end left
//   FOLDER/daemon.log

import { spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { formatText } from '../../lib/store/format.ts';
import { syncFolder } from '../../lib/sync-folder.ts';
import { plainly, run } from '../support/commands.ts';
import { dedupfs } from '../support/commands-dedupfs.ts';
import { LossyDisk } from '../support/lossy-disk.ts';
import { nowNs } from '../support/lossy-disk-record.ts';
import { Random } from '../support/random.ts';
import type { WorkerOptions, WorkloadEvent } from './workload-worker.ts';
import type { Operation } from './workload.ts';

/** Where the store lies on the disk. */
export const STORE_NAME = 'store';

/** Small arenas begin, fill and go often. */
const ARENA_BYTES_MAX = 2 * 1024 * 1024;
const DISK_BYTES_MAX = 4 * 1024 ** 3;
const SYNC_MS_MAX = 30;
/** For a cut after a clean unmount the worker gets this much of the time. */
const CLEAN_SHARE = 0.7;
const LAG_INTERVAL_MS = 20;
const UMOUNT_TIMEOUT_MS = 30_000;

export interface RecordingOptions {
  /** New folder of the host. */
  readonly folder: string;
  /** What an earlier recording left; undefined: an empty disk, on which the store is created. */
  readonly base: { readonly folder: string; readonly operations: readonly Operation[] } | undefined;
  readonly seed: number;
  readonly seconds: number;
}

export interface RecordingFacts {
  readonly seed: number;
  /** The first record after what was there at first. */
  readonly firstRecord: number;
  /** Records of changes that the store did not make: no cut belongs there. */
  readonly ownRecords: { readonly from: number; readonly to: number };
  /** Seed and moment of the cut at the end, which left FOLDER/left. */
  readonly cutSeed: number;
  readonly cutNs: number;
  /** For how long at most nobody ran. */
  readonly slackNs: number;
}

/** @throws Error when the store does not do what it must while the power is on */
export async function record(options: RecordingOptions): Promise<RecordingFacts> {
  const recorder = new Recorder(options);
  try {
    return await recorder.record();
  } finally {
    await recorder.close();
  }
}

class Recorder {
  readonly #options: RecordingOptions;
  readonly #random: Random;
  readonly #store: string;
  readonly #mountpoint: string;
  readonly #diskMountpoint: string;
  #disk: LossyDisk | undefined;
  #daemonPid = 0;
  #workerEnded: Promise<void> | undefined;
  readonly #onExit = (): void => {
    this.#abort();
    spawnSync('umount', ['-l', this.#mountpoint], { timeout: UMOUNT_TIMEOUT_MS, stdio: 'ignore' });
  };

  constructor(options: RecordingOptions) {
    process.once('exit', this.#onExit);
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#diskMountpoint = join(options.folder, 'disk-mount');
    this.#store = join(this.#diskMountpoint, STORE_NAME);
    this.#mountpoint = join(options.folder, 'mount');
  }

  async record(): Promise<RecordingFacts> {
    const { folder, base, seed, seconds } = this.#options;
    mkdirSync(folder);
    for (const path of [this.#diskMountpoint, this.#mountpoint]) mkdirSync(path);
    writeFileSync(join(folder, 'before.json'), JSON.stringify(base?.operations ?? []));
    writeFileSync(join(folder, 'workload.log'), '');
    const lag = measureLag();
    const disk = await LossyDisk.start({
      folder: join(folder, 'disk'),
      mountpoint: this.#diskMountpoint,
      base: base?.folder,
      seed,
      bytesMax: DISK_BYTES_MAX,
      syncMsMax: SYNC_MS_MAX,
    });
    this.#disk = disk;
    const ownRecords =
      base === undefined ? await this.#createStore(disk) : { from: 0, to: disk.baseRecords };
    await this.#mount();
    const isCutAtWork = this.#random.oneIn(2);
    await this.#work(isCutAtWork ? undefined : seconds * CLEAN_SHARE, seconds);
    const cutSeed = this.#random.below(2 ** 31);
    const cutNs = nowNs();
    await disk.cut(cutSeed, join(folder, 'left'));
    const facts: RecordingFacts = {
      seed,
      firstRecord: disk.baseRecords,
      ownRecords,
      cutSeed,
      cutNs,
      slackNs: lag.stop() * 1e6,
    };
    writeFileSync(join(folder, 'recording.json'), JSON.stringify(facts));
    return facts;
  }

  /** A store whose arenas are small: that is not for users to choose, so FORMAT is changed here. */
  async #createStore(disk: LossyDisk): Promise<RecordingFacts['ownRecords']> {
    await this.#mount();
    await this.#umount();
    const from = await disk.position();
    const path = join(this.#store, 'FORMAT');
    const format = JSON.parse(readFileSync(path, 'utf8')) as object;
    const text = formatText({ ...format, arenaBytesMax: ARENA_BYTES_MAX });
    const descriptor = openSync(path, 'w');
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
    closeSync(descriptor);
    syncFolder(this.#store);
    return { from, to: await disk.position() };
  }

  async #mount(): Promise<void> {
    const log = join(this.#options.folder, 'daemon.log');
    const args = ['mount', this.#store, this.#mountpoint, '--log', log];
    const { stdout } = await this.#mustRunDedupfs(args);
    this.#daemonPid = Number(/\(process (\d+)/.exec(stdout)?.[1]);
  }

  async #umount(): Promise<void> {
    await this.#mustRunDedupfs(['umount', this.#mountpoint]);
    this.#daemonPid = 0;
  }

  async #mustRunDedupfs(args: readonly string[]): Promise<{ readonly stdout: string }> {
    const result = await dedupfs(args, { onTimeout: () => this.#abort() });
    if (result.code === 0) return result;
    throw new Error(`dedupfs ${args.join(' ')} exited with ${result.code}: ${result.stderr}`);
  }

  /** Lets the worker work. @param untilClean seconds after which it ends and the store is unmounted */
  async #work(untilClean: number | undefined, seconds: number): Promise<void> {
    const { folder } = this.#options;
    const log = join(folder, 'workload.log');
    const options: WorkerOptions = {
      root: this.#mountpoint,
      seed: this.#random.below(2 ** 31),
      log,
      seconds: untilClean ?? 10 * seconds,
      history: join(folder, 'before.json'),
    };
    const script = fileURLToPath(new URL('workload-worker.js', import.meta.url));
    const command = plainly(process.execPath, [script, JSON.stringify(options)]);
    const worker = spawn(...command, { stdio: ['ignore', 'inherit', 'inherit'] });
    this.#workerEnded = once(worker, 'exit').then(() => undefined);
    if (untilClean === undefined) {
      await delay(1000 * seconds * (0.5 + this.#random.below(1000) / 2000));
      return;
    }
    await this.#workerEnded;
    const note = (event: WorkloadEvent): void => appendFileSync(log, `${JSON.stringify(event)}\n`);
    note({ event: 'started', timeNs: nowNs(), operation: { kind: 'sync', path: '' } });
    await this.#umount();
    note({ event: 'done', timeNs: nowNs() });
  }

  /** The power is gone: so is the daemon, without a word. */
  async close(): Promise<void> {
    process.removeListener('exit', this.#onExit);
    this.#abort();
    // Not asked first whether it is there: when the kernel has not kept its attributes, a mount without its
    // daemon seems not to exist. Where nothing was mounted umount fails, and that is right too.
    await run('umount', ['-l', this.#mountpoint], { timeoutMs: UMOUNT_TIMEOUT_MS });
    await this.#workerEnded;
    await this.#disk?.close();
    rmSync(join(this.#options.folder, 'disk', 'objects'), { recursive: true, force: true });
  }

  #abort(): void {
    if (this.#daemonPid > 0) {
      try {
        process.kill(this.#daemonPid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    this.#daemonPid = 0;
  }
}

/** How late timers are: time in which the machine ran nobody who wanted to. */
function measureLag(): { stop(): number } {
  let longestMs = 0;
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - lastMs - LAG_INTERVAL_MS);
    lastMs = nowMs;
  }, LAG_INTERVAL_MS).unref();
  return {
    stop() {
      clearInterval(timer);
      return longestMs;
    },
  };
}
