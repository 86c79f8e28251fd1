// What gc found alive in frames that have lost some of their chunks, on its way into whole frames again:
// each compressed by itself would make ever smaller frames, which compress worse.

import { FRAME_BYTES_MAX, FRAME_CHUNKS_MAX } from '../blockstore/frame.ts';
import type { PackEntry } from '../blockstore/directory.ts';
import type { ChunkId } from '../dedup/chunk-index.ts';

export interface Survivor {
  readonly chunk: ChunkId;
  readonly entry: PackEntry;
  /** Where it lies until it is moved. */
  readonly packId: number;
  readonly index: number;
  readonly plain: Buffer;
}

/** Chunks for one frame: at most FRAME_BYTES_MAX, unless it is one larger chunk. */
export class Survivors {
  #chunks: Survivor[] = [];
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  /** Whether one more chunk of this size goes into the same frame. */
  fits(plainBytes: number): boolean {
    if (this.#chunks.length >= FRAME_CHUNKS_MAX) return false;
    return this.isEmpty || this.#bytes + plainBytes <= FRAME_BYTES_MAX;
  }

  /** Copies what is a view of its pack or frame, so that these need not stay in memory. */
  add({ chunk, entry, packId, index, plain }: Survivor): void {
    const own = { ...entry, fingerprint: Buffer.from(entry.fingerprint) };
    this.#chunks.push({ chunk, entry: own, packId, index, plain: Buffer.from(plain) });
    this.#bytes += plain.length;
  }

  /** Empties it. */
  take(): Survivor[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#bytes = 0;
    return chunks;
  }
}
