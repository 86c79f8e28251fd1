// The worker threads and their staging slots, seen from the main thread as two asynchronous calls.

import { availableParallelism } from 'node:os';
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { expectDefined } from '../assert.ts';
import type { CutParameters } from '../native.ts';
import type { Slab } from '../slab-pool.ts';
import type { Compression } from './codec.ts';
import type { CompressionChoice } from './compression-choice.ts';
import {
  JOB_BYTES_MAX,
  SLOTS_PER_WORKER,
  type FromWorker,
  type ToWorker,
  type WirePiece,
  type WireSegment,
  type WorkerSetup,
} from './worker-protocol.ts';

export interface WorkerPoolOptions {
  readonly cut: CutParameters;
  readonly compression: CompressionChoice;
  readonly fingerprintKey: Uint8Array;
  /** Called once when a worker dies: nothing more can be stored. */
  onFailure(error: Error): void;
}

export interface Piece {
  readonly source: Slab | SharedArrayBuffer;
  readonly offset: number;
  readonly bytes: number;
}

export interface Segment {
  readonly pieces: readonly Piece[];
  readonly isFinal: boolean;
  readonly isAfterHole: boolean;
}

type CutReply = Extract<FromWorker, { kind: 'cut' }>;
type StoredReply = Extract<FromWorker, { kind: 'stored' }>;

/** One staging slot of one worker; held by a job from `acquire` to `release`. */
export class WorkerSlot {
  readonly output: Buffer;
  readonly #thread: Thread;
  readonly #slot: number;

  constructor(thread: Thread, slot: number, output: SharedArrayBuffer) {
    this.#thread = thread;
    this.#slot = slot;
    this.output = Buffer.from(output);
  }

  async cut(segments: readonly Segment[]): Promise<CutReply> {
    const wire = segments.map((segment): WireSegment => ({
      pieces: segment.pieces.map((piece) => this.#wire(piece)),
      isFinal: segment.isFinal,
      isAfterHole: segment.isAfterHole,
    }));
    const reply = await this.#thread.ask({ kind: 'cut', slot: this.#slot, segments: wire });
    return reply as CutReply;
  }

  #wire(piece: Piece): WirePiece {
    const { source, offset, bytes } = piece;
    if (source instanceof SharedArrayBuffer) return { source, offset, bytes };
    this.#thread.introduce(source);
    return { source: source.index, offset, bytes };
  }

  async store(chunks: Uint32Array): Promise<StoredReply> {
    return (await this.#thread.ask({ kind: 'store', slot: this.#slot, chunks })) as StoredReply;
  }
}

class Thread {
  readonly slots: WorkerSlot[];
  readonly #worker: Worker;
  readonly #introduced = new Set<number>();
  readonly #replies = new Map<number, (reply: FromWorker) => void>();
  readonly #rejections = new Map<number, (error: Error) => void>();
  #failure: Error | undefined;
  #isClosing = false;

  constructor(options: WorkerPoolOptions, stagingBytes: number) {
    const outputs = Array.from({ length: SLOTS_PER_WORKER }, () => {
      return new SharedArrayBuffer(stagingBytes);
    });
    const workerData: WorkerSetup = {
      cut: options.cut,
      compression: options.compression.current,
      fingerprintKey: options.fingerprintKey,
      outputs,
      stagingBytes,
    };
    this.slots = outputs.map((output, slot) => new WorkerSlot(this, slot, output));
    const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
    this.#worker = new Worker(new URL(file, import.meta.url), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 },
    });
    this.#worker.on('message', (reply: FromWorker) => {
      // Sent before the worker died, delivered after: its job has been rejected.
      if (this.#failure !== undefined) return;
      const resolve = expectDefined(this.#replies.get(reply.slot), 'a job for the reply');
      this.#replies.delete(reply.slot);
      this.#rejections.delete(reply.slot);
      resolve(reply);
    });
    const fail = (error: Error): void => this.#fail(error, options);
    this.#worker.on('error', fail);
    this.#worker.on('exit', (code) => {
      if (!this.#isClosing) fail(new Error(`a worker ended with code ${code}`));
    });
  }

  #fail(error: Error, options: WorkerPoolOptions): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const reject of this.#rejections.values()) reject(error);
    this.#replies.clear();
    this.#rejections.clear();
    options.onFailure(error);
  }

  introduce(slab: Slab): void {
    if (this.#introduced.has(slab.index)) return;
    this.#introduced.add(slab.index);
    this.#post({ kind: 'slab', index: slab.index, place: slab.place });
  }

  async ask(message: ToWorker & { slot: number }): Promise<FromWorker> {
    if (this.#failure !== undefined) throw this.#failure;
    return new Promise((resolve, reject) => {
      this.#replies.set(message.slot, resolve);
      this.#rejections.set(message.slot, reject);
      this.#post(message);
    });
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  /** A port to its decoder, see decode-protocol.ts. Closes when the worker ends. */
  openDecoder(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#worker.postMessage({ kind: 'decoder', port: port2 } satisfies ToWorker, [port2]);
    return port1;
  }

  /** For what it stores from now on. */
  useCompression(compression: Compression): void {
    this.#post({ kind: 'compression', compression });
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#worker.terminate();
  }
}

export class WorkerPool {
  readonly #threads: Thread[];
  readonly #free: WorkerSlot[];
  readonly #waiters: ((slot: WorkerSlot) => void)[] = [];

  constructor(options: WorkerPoolOptions) {
    const count = Math.max(1, availableParallelism() - 1);
    const stagingBytes = stagingBytesFor(options.cut);
    this.#threads = Array.from({ length: count }, () => new Thread(options, stagingBytes));
    options.compression.onChange = (compression) => {
      for (const thread of this.#threads) thread.useCompression(compression);
    };
    // Interleaved, so that neighbouring jobs go to different threads.
    this.#free = Array.from({ length: SLOTS_PER_WORKER }, (_, slot) =>
      this.#threads.map((thread) => expectDefined(thread.slots[slot], 'slot')),
    ).flat();
  }

  /** Ports to the decoders of all workers; to be asked for once. */
  openDecoders(): MessagePort[] {
    return this.#threads.map((thread) => thread.openDecoder());
  }

  get slotCount(): number {
    return this.#threads.length * SLOTS_PER_WORKER;
  }

  /** Resolves with a slot, in order of the calls. */
  async acquire(): Promise<WorkerSlot> {
    const slot = this.#free.shift();
    if (slot !== undefined) return slot;
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  release(slot: WorkerSlot): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#free.push(slot);
    else waiter(slot);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map(async (thread) => thread.close()));
  }
}

/** A job's own bytes, and for one more segment the chunks on either side that are cut again. */
export function stagingBytesFor(cut: CutParameters): number {
  return JOB_BYTES_MAX + 4 * cut.bytesMax;
}
