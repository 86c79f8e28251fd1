// What a store with one chunk size would make of the data that goes through a worker's window: the same
// cuts, holes and frames as the daemon's worker makes (dedup/worker.ts), and nothing kept.

import { createKeyedHash } from '../blake3.ts';
import { cutParameters } from '../dedup/chunking.ts';
import { createCompressor, type Compressor } from '../dedup/codec.ts';
import { groupChunks, type PlainFrame, type PlainRange } from '../dedup/frame-groups.ts';
import { cutSegment, HOLE_FLAG } from '../dedup/segmenter.ts';
import type { CutParameters } from '../native.ts';
import { FingerprintTable, type SharedTable } from './fingerprint-table.ts';
import { chanceAt, emptySums, noteFrame } from './frame-sample.ts';
import type { SampledCodec, SizeSums } from './protocol.ts';

/** Any will do: what is equal stays equal. */
const hash = createKeyedHash(Buffer.alloc(32));

export interface HashClock {
  milliseconds: number;
  bytes: number;
}

export class Sizing {
  readonly cut: CutParameters;
  readonly #table: FingerprintTable;
  readonly #codecs: readonly { readonly compressor: Compressor; readonly bytesFully: number }[];
  /** Up to here the window has been cut. */
  #cutEnd = 0;
  #isAfterHole = false;
  /** New chunks in the window. */
  #fresh: PlainRange[] = [];
  /** Of chunks that are not tracked, it is taken for known what the one before was. */
  #isFreshNow = true;
  /** New data met by this worker. */
  #newBytes = 0;
  #sums: SizeSums;

  constructor(chunkBytes: number, table: SharedTable, codecs: readonly SampledCodec[]) {
    this.cut = cutParameters(chunkBytes);
    this.#table = new FingerprintTable(table);
    this.#codecs = codecs.map(({ compression, bytesFully }) => {
      return { compressor: createCompressor(compression), bytesFully };
    });
    this.#sums = this.#emptySums();
  }

  get cutEnd(): number {
    return this.#cutEnd;
  }

  /** Another file begins at `offset`, the end of what was cut. */
  beginFile(offset: number): void {
    this.#cutEnd = offset;
    this.#isAfterHole = false;
  }

  /** Cuts what can be cut of window[.., to). @param isFinal a file or its data ends there */
  advance(window: Buffer, to: number, isFinal: boolean, unit: number, clock: HashClock): void {
    const startMs = performance.now();
    const options = { cut: this.cut, isFinal, isAfterHole: this.#isAfterHole };
    const spans = cutSegment(window, this.#cutEnd, to, options);
    this.#sums.cutMs += performance.now() - startMs;
    for (const span of spans) {
      this.#isAfterHole = span >= HOLE_FLAG;
      const bytes = this.#isAfterHole ? span - HOLE_FLAG : span;
      if (!this.#isAfterHole) this.#note(window, { offset: this.#cutEnd, bytes }, unit, clock);
      this.#cutEnd += bytes;
    }
  }

  /** A hole of the file follows what was cut. */
  skipHole(): void {
    this.#isAfterHole = true;
  }

  #note(window: Buffer, range: PlainRange, unit: number, clock: HashClock): void {
    const { offset, bytes } = range;
    const startMs = performance.now();
    const fingerprint = hash.digest(window.subarray(offset, offset + bytes));
    clock.milliseconds += performance.now() - startMs;
    clock.bytes += bytes;
    const sighting = this.#table.note(fingerprint, bytes, unit);
    if (sighting !== 'untracked') this.#isFreshNow = sighting === 'new';
    this.#sums.chunks += 1;
    this.#sums.referencedBytes += bytes;
    if (this.#isFreshNow) this.#fresh.push(range);
  }

  /** Compresses some of the frames in the window; its bytes may then be moved by `shift`. */
  flush(window: Buffer, into: Buffer, shift: number): void {
    for (const frame of groupChunks(this.#fresh)) this.#sample(window, into, frame);
    this.#fresh = [];
    this.#cutEnd -= shift;
  }

  #sample(window: Buffer, into: Buffer, frame: PlainFrame): void {
    const { offset, bytes } = frame;
    const plain = window.subarray(offset, offset + bytes);
    // The same draw for all codecs, so that they are compared by the same frames.
    const draw = Math.random();
    for (const [index, { compressor, bytesFully }] of this.#codecs.entries()) {
      const chance = chanceAt(this.#newBytes, bytesFully);
      const sums = this.#sums.frames[index];
      if (draw >= chance || sums === undefined) continue;
      const startMs = performance.now();
      const stored = compressor.compress(plain, into.subarray(0, bytes)) || bytes;
      const milliseconds = performance.now() - startMs;
      noteFrame(sums, { plain: bytes, stored, milliseconds }, 1 / chance);
    }
    this.#newBytes += bytes;
    this.#sums.newBytes += bytes;
  }

  /** What was counted since the last call. */
  take(): SizeSums {
    const sums = this.#sums;
    this.#sums = this.#emptySums();
    return sums;
  }

  #emptySums(): SizeSums {
    const frames = this.#codecs.map(() => emptySums());
    return { chunks: 0, referencedBytes: 0, cutMs: 0, newBytes: 0, frames };
  }
}
