// Reads the chosen units of some trees in worker threads, one for each processor, and adds up what they
// found.

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { expectDefined } from '../assert.ts';
import { blake3 } from '../blake3.ts';
import { addSums, emptySums, type FrameSums } from './frame-sample.ts';
import {
  JOB_BYTES,
  UNIT_BYTES,
  type Job,
  type JobResult,
  type Unit,
  type WorkerSetup,
} from './protocol.ts';
import type { UnreadableList, WalkedFile } from './tree-walk.ts';

/** Bounds a job of files that are all but empty. */
const JOB_UNITS = 512;

export interface SizeTotals {
  chunks: number;
  referencedBytes: number;
  cutMs: number;
  readonly frames: FrameSums[];
}

export interface ReadingTotals {
  units: number;
  bytesRead: number;
  readMs: number;
  hashMs: number;
  bytesHashed: number;
  unreadableBytes: number;
  /** One for each chunk size. */
  readonly sizes: readonly SizeTotals[];
}

export interface ReadingOptions {
  readonly setup: WorkerSetup;
  /** Share of the units that are read, by chance. */
  readonly readShare: number;
  readonly unreadable: UnreadableList;
  readonly signal?: AbortSignal | undefined;
  onRead(bytesRead: number): void;
}

/** The units of a file that are among the chosen ones, the same in every run. */
export function* chosenUnits(
  file: WalkedFile,
  readShare: number,
): Generator<Pick<Unit, 'offset' | 'bytes'>> {
  for (let offset = 0; offset < file.bytes; offset += UNIT_BYTES) {
    if (readShare < 1 && drawFor(file.path, offset) >= readShare) continue;
    yield { offset, bytes: Math.min(UNIT_BYTES, file.bytes - offset) };
  }
}

/** A number in [0, 1) that depends on the name and the place only. */
function drawFor(path: Buffer, offset: number): number {
  const digest = blake3(Buffer.concat([path, Buffer.from(`\0${offset}`)]));
  return digest.readUInt32LE(0) / 2 ** 32;
}

/** @throws the signal's reason */
export async function readUnits(
  files: AsyncIterable<WalkedFile>,
  options: ReadingOptions,
): Promise<ReadingTotals> {
  const reading = new Reading(options);
  try {
    for await (const file of files) await reading.add(file);
    return await reading.finish();
  } finally {
    await reading.close();
  }
}

class Reading {
  readonly #options: ReadingOptions;
  readonly #threads: Thread[];
  readonly #free: Thread[];
  /** Never reject; see #failure. */
  readonly #busy = new Set<Promise<void>>();
  #failure: Error | undefined;
  readonly #totals: ReadingTotals;
  #units: Unit[] = [];
  #unitBytes = 0;

  constructor(options: ReadingOptions) {
    this.#options = options;
    const { setup } = options;
    this.#threads = Array.from({ length: availableParallelism() }, () => new Thread(setup));
    this.#free = [...this.#threads];
    const sizes = setup.chunkSizes.map(() => ({
      chunks: 0,
      referencedBytes: 0,
      cutMs: 0,
      frames: setup.codecs.map(() => emptySums()),
    }));
    const sums = { bytesRead: 0, readMs: 0, hashMs: 0, bytesHashed: 0, unreadableBytes: 0 };
    this.#totals = { units: 0, ...sums, sizes };
  }

  async add(file: WalkedFile): Promise<void> {
    const isSparse = file.dataBytes < file.bytes;
    for (const range of chosenUnits(file, this.#options.readShare)) {
      this.#totals.units += 1;
      this.#units.push({ number: this.#totals.units, path: file.path, ...range, isSparse });
      this.#unitBytes += range.bytes;
      if (this.#unitBytes >= JOB_BYTES || this.#units.length >= JOB_UNITS) await this.#start();
    }
  }

  async finish(): Promise<ReadingTotals> {
    await this.#start();
    await Promise.all(this.#busy);
    this.#assertGoing();
    return this.#totals;
  }

  /** Gives what was gathered to a worker, when one is free. */
  async #start(): Promise<void> {
    const { signal } = this.#options;
    while (this.#free.length === 0 && this.#failure === undefined) await Promise.race(this.#busy);
    this.#assertGoing();
    signal?.throwIfAborted();
    const units = this.#units;
    this.#units = [];
    this.#unitBytes = 0;
    if (units.length === 0) return;
    const thread = expectDefined(this.#free.pop(), 'a free worker');
    const done = this.#run(thread, { units }).finally(() => this.#busy.delete(done));
    this.#busy.add(done);
  }

  async #run(thread: Thread, job: Job): Promise<void> {
    try {
      const result = await thread.ask(job);
      this.#free.push(thread);
      this.#note(result);
    } catch (error) {
      this.#failure ??= error as Error;
    }
  }

  /** @throws Error  why a worker failed */
  #assertGoing(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #note(result: JobResult): void {
    const totals = this.#totals;
    totals.bytesRead += result.bytesRead;
    totals.readMs += result.readMs;
    totals.hashMs += result.hashMs;
    totals.bytesHashed += result.bytesHashed;
    for (const [index, sums] of result.sizes.entries()) {
      const size = expectDefined(totals.sizes[index], 'size');
      size.chunks += sums.chunks;
      size.referencedBytes += sums.referencedBytes;
      size.cutMs += sums.cutMs;
      for (const [codec, frames] of sums.frames.entries()) {
        addSums(expectDefined(size.frames[codec], 'codec'), frames);
      }
    }
    for (const { path, code, bytes } of result.unreadable) {
      this.#options.unreadable.note(path, code);
      totals.unreadableBytes += bytes;
    }
    this.#options.onRead(totals.bytesRead);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map(async (thread) => thread.close()));
  }
}

/** A worker, asked one job at a time. */
class Thread {
  readonly #worker: Worker;
  #settle: { resolve(result: JobResult): void; reject(error: Error): void } | undefined;

  constructor(setup: WorkerSetup) {
    const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
    this.#worker = new Worker(new URL(file, import.meta.url), { workerData: setup });
    this.#worker.on('message', (result: JobResult) => this.#settle?.resolve(result));
    this.#worker.on('error', (error) => this.#settle?.reject(error));
    this.#worker.on('exit', (code) => {
      this.#settle?.reject(new Error(`a worker ended with code ${code}`));
    });
  }

  /** @throws Error when the worker dies */
  ask(job: Job): Promise<JobResult> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#worker.postMessage(job);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
