// A file's content as its list of chunks says it: equal digests, equal content. Files of equal content
// that were cut differently, because parts of one were overwritten, have different ones.

import { createHash, type Hash } from 'node:crypto';
import type { Extent } from '../../metastore/extent-codec.ts';

/** 128 bits of SHA-256 do not collide. */
const DIGEST_BYTES = 16;
const NUMBER_BYTES = 8;
const NUMBERS_MAX = 1024;

export interface ContentDigest {
  /** 16 bytes as latin1. */
  readonly digest: string;
  /** That extents show. */
  readonly mappedBytes: number;
}

interface Run {
  readonly offset: number;
  bytes: number;
  readonly chunk: number;
  readonly chunkOffset: number;
}

/** Takes a file's extents in order. */
export class ContentDigester {
  readonly #hash: Hash = createHash('sha256');
  readonly #buffer = scratch;
  #length = 0;
  #mappedBytes = 0;
  #run: Run | undefined;

  /** Extents of one segment: nothing else may use a digester until it returns. */
  add(extents: readonly Extent[]): void {
    for (const extent of extents) {
      this.#mappedBytes += extent.bytes;
      const run = this.#run;
      // What the border of a segment cuts in two is one again.
      if (run !== undefined && continues(run, extent)) {
        run.bytes += extent.bytes;
        continue;
      }
      this.#put(run);
      const { offset, bytes, chunk, chunkOffset } = extent;
      this.#run = { offset, bytes, chunk, chunkOffset };
    }
    this.#flush();
  }

  /** @param size of the file */
  finish(size: number): ContentDigest {
    this.#put(this.#run);
    this.#number(size);
    this.#flush();
    const digest = this.#hash.digest().toString('latin1', 0, DIGEST_BYTES);
    return { digest, mappedBytes: this.#mappedBytes };
  }

  #put(run: Run | undefined): void {
    if (run === undefined) return;
    if (this.#length + 4 > NUMBERS_MAX) this.#flush();
    this.#number(run.offset);
    this.#number(run.bytes);
    this.#number(run.chunk);
    this.#number(run.chunkOffset);
  }

  #number(value: number): void {
    this.#buffer.writeDoubleLE(value, this.#length * NUMBER_BYTES);
    this.#length += 1;
  }

  #flush(): void {
    if (this.#length > 0) this.#hash.update(this.#buffer.subarray(0, this.#length * NUMBER_BYTES));
    this.#length = 0;
  }
}

/** Of all digesters: empty whenever a call returns. */
const scratch = Buffer.alloc((NUMBERS_MAX + 1) * NUMBER_BYTES);

function continues(run: Run, { offset, chunk, chunkOffset }: Extent): boolean {
  const { bytes } = run;
  if (run.chunk !== chunk || run.offset + bytes !== offset) return false;
  return run.chunkOffset + bytes === chunkOffset;
}
