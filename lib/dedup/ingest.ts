// The ingest pipeline: segments of file content -> spans of holes and chunks, every chunk known to
// the index and its record in a pack. Jobs run side by side in workers; their results come out in
// the order of submission, so a chunk that an earlier job stores has its place before a later job
// that found it refers to it.

import { assert, expectDefined } from '../assert.ts';
import { DIGEST_BYTES } from '../blake3.ts';
import { shareStoredBytes } from '../blockstore/frame.ts';
import type { ChunkId, ChunkIndex } from './chunk-index.ts';
import type { PackWriter } from './pack-writer.ts';
import { HOLE_FLAG } from './segmenter.ts';
import type { Segment, WorkerPool, WorkerSlot } from './worker-pool.ts';

/** A stretch of a cut segment: a hole when `chunk` is undefined. */
export interface Span {
  readonly bytes: number;
  readonly chunk: ChunkId | undefined;
}

export interface IngestJob {
  readonly segments: readonly Segment[];
  /** Only what a quarantined chunk lacks is stored; other chunks come out as holes. For heal. */
  readonly onlyWanted?: boolean;
  /**
   * Called once the content has been read and cut. What the cuts do not cover goes into a later
   * job; the pieces' memory is not needed by this one any more.
   */
  onCut(covers: readonly SegmentCover[]): void;
}

/** How far the cuts of a segment reach. */
export interface SegmentCover {
  readonly bytes: number;
  readonly endsInHole: boolean;
}

interface NewChunk {
  readonly chunk: ChunkId;
  /** Counted over the job, holes left out. */
  readonly number: number;
  readonly plainBytes: number;
}

/** Synchronous: finds the chunk with this content, or makes it known. */
type LookUp = (
  fingerprint: Uint8Array,
  plainBytes: number,
) => { chunk: ChunkId | undefined; isNew: false } | { chunk: ChunkId; isNew: true };

/** What was cut since the store was opened: holes, chunks that were known, chunks that were new. */
export interface IngestCounts {
  readonly bytesOfHoles: number;
  readonly chunksKnown: number;
  readonly bytesKnown: number;
  readonly chunksNew: number;
  readonly bytesNew: number;
  /** What the new ones take as stored (compressed). */
  readonly bytesStored: number;
}

export class Ingest {
  readonly #workers: WorkerPool;
  readonly #index: ChunkIndex;
  readonly #writer: PackWriter;
  /** Settle when the last job submitted has looked its chunks up, and come out; never reject. */
  #lastLookedUp: Promise<void> = Promise.resolve();
  #lastOut: Promise<void> = Promise.resolve();
  /** Why a job failed; no later one may come out. */
  #failure: unknown;
  #active = 0;
  readonly #counts = {
    bytesOfHoles: 0,
    chunksKnown: 0,
    bytesKnown: 0,
    chunksNew: 0,
    bytesNew: 0,
    bytesStored: 0,
  };

  constructor(options: {
    readonly workers: WorkerPool;
    readonly index: ChunkIndex;
    readonly writer: PackWriter;
  }) {
    this.#workers = options.workers;
    this.#index = options.index;
    this.#writer = options.writer;
  }

  get counts(): IngestCounts {
    return { ...this.#counts };
  }

  /** Jobs that have not come out yet. */
  get activeJobs(): number {
    return this.#active;
  }

  /**
   * Runs a job; `install` is called with the spans of each segment, in the order of submission.
   * @throws Error when a worker died; then no later job can come out either
   */
  async submit(job: IngestJob, install: (spans: Span[][]) => void): Promise<void> {
    this.#active += 1;
    const previous = { lookedUp: this.#lastLookedUp, out: this.#lastOut };
    let lookedUp = (): void => undefined;
    this.#lastLookedUp = new Promise((resolve) => (lookedUp = resolve));
    const run = this.#run(job, previous, { lookedUp, install });
    this.#lastOut = run.catch(() => undefined);
    try {
      await run;
    } catch (error) {
      this.#failure ??= error;
      throw error;
    } finally {
      lookedUp();
      this.#active -= 1;
    }
  }

  async #run(
    job: IngestJob,
    previous: { readonly lookedUp: Promise<void>; readonly out: Promise<void> },
    done: { lookedUp(): void; install(spans: Span[][]): void },
  ): Promise<void> {
    const slot = await this.#workers.acquire();
    try {
      await this.#writer.room();
      const reply = await slot.cut(job.segments);
      job.onCut(reply.spans.map(coverOf));
      // In order, or this job could find a chunk that a later one is still to store.
      await previous.lookedUp;
      const lookUp = job.onlyWanted === true ? this.#lookUpWanted : this.#lookUpAll;
      let spans: Span[][];
      let damageCount: number;
      do {
        damageCount = this.#index.damageCount;
        // No await between find and add: a chunk that two jobs bring is added once.
        const found = this.#lookUp(reply.spans, reply.fingerprints, lookUp);
        done.lookedUp();
        if (found.fresh.length > 0) await this.#store(slot, found.fresh, reply.fingerprints);
        await previous.out;
        // What an earlier job failed to store, this one may refer to.
        if (this.#failure !== undefined) throw new Error('an earlier job failed');
        ({ spans } = found);
        // A chunk that was found may have turned out bad since; its content is still here.
      } while (this.#index.damageCount !== damageCount);
      done.install(spans);
    } finally {
      this.#workers.release(slot);
    }
  }

  #lookUp(
    lengths: readonly Uint32Array[],
    fingerprints: Uint8Array,
    lookUp: LookUp,
  ): { spans: Span[][]; fresh: NewChunk[] } {
    const fresh: NewChunk[] = [];
    const counts = this.#counts;
    let number = 0;
    const toSpan = (length: number): Span => {
      if (length >= HOLE_FLAG) {
        counts.bytesOfHoles += length - HOLE_FLAG;
        return { bytes: length - HOLE_FLAG, chunk: undefined };
      }
      const at = number * DIGEST_BYTES;
      const fingerprint = fingerprints.subarray(at, at + DIGEST_BYTES);
      const { chunk, isNew } = lookUp(fingerprint, length);
      if (isNew) fresh.push({ chunk, number, plainBytes: length });
      this.#count(length, isNew, chunk);
      number += 1;
      return { bytes: length, chunk };
    };
    const spans = lengths.map((segment) => Array.from(segment, toSpan));
    assert(number * DIGEST_BYTES === fingerprints.length, 'one fingerprint for each chunk');
    return { spans, fresh };
  }

  #count(plainBytes: number, isNew: boolean, chunk: ChunkId | undefined): void {
    const counts = this.#counts;
    if (isNew) {
      counts.chunksNew += 1;
      counts.bytesNew += plainBytes;
    } else if (chunk !== undefined) {
      counts.chunksKnown += 1;
      counts.bytesKnown += plainBytes;
    }
  }

  readonly #lookUpAll: LookUp = (fingerprint, plainBytes) => {
    const chunk = this.#index.find(fingerprint);
    if (chunk !== undefined) return { chunk, isNew: false };
    return { chunk: this.#index.add(fingerprint, plainBytes), isNew: true };
  };

  readonly #lookUpWanted: LookUp = (fingerprint, plainBytes) => {
    if (!this.#index.isWanted(fingerprint)) return { chunk: undefined, isNew: false };
    return { chunk: this.#index.add(fingerprint, plainBytes), isNew: true };
  };

  async #store(
    slot: WorkerSlot,
    fresh: readonly NewChunk[],
    fingerprints: Uint8Array,
  ): Promise<void> {
    const reply = await slot.store(Uint32Array.from(fresh, (chunk) => chunk.number));
    let offset = 0;
    let next = 0;
    reply.chunkCounts.forEach((count, frame) => {
      const bytes = expectDefined(reply.storedBytes[frame], 'stored bytes');
      const codec = expectDefined(reply.codecs[frame], 'codec');
      const stored = slot.output.subarray(offset, offset + bytes);
      this.#append(fresh.slice(next, next + count), fingerprints, { codec, stored });
      offset += bytes;
      next += count;
    });
    assert(next === fresh.length, 'every new chunk is in a frame');
  }

  #append(
    fresh: readonly NewChunk[],
    fingerprints: Uint8Array,
    frame: { readonly codec: number; readonly stored: Buffer },
  ): void {
    const chunks = fresh.map(({ chunk, number, plainBytes }) => {
      const at = number * DIGEST_BYTES;
      return { fingerprint: fingerprints.subarray(at, at + DIGEST_BYTES), plainBytes, chunk };
    });
    const { packId, index } = this.#writer.append({ ...frame, chunks });
    this.#counts.bytesStored += frame.stored.length;
    const plainBytes = chunks.map((chunk) => chunk.plainBytes);
    const shares = shareStoredBytes(plainBytes, frame.stored.length);
    fresh.forEach(({ chunk }, position) => {
      const storedBytes = expectDefined(shares[position], 'share');
      this.#index.place(chunk, { packId, index: index + position, storedBytes });
    });
  }
}

function coverOf(spans: Uint32Array): SegmentCover {
  let bytes = 0;
  for (const span of spans) bytes += span >= HOLE_FLAG ? span - HOLE_FLAG : span;
  return { bytes, endsInHole: (spans.at(-1) ?? 0) >= HOLE_FLAG };
}
