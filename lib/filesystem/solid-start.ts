// Whether a file, written from its beginning on, can still turn out to have holes. Most cannot: what
// stat(2) shows of them is final before they are cut, and the kernel may keep it.

import { ZERO_RUN_BYTES_MIN } from '../dedup/segmenter.ts';

/** Larger files are not looked at: it would read a cache line of each page. */
const SOLID_BYTES_MAX = 4 * 1024 * 1024;

export class SolidStart {
  /** Up to here the file was written in order, and no hole can be among what was written. */
  #end = 0;

  /**
   * `count` bytes from `at` on were written to the file at `offset`. As many zeros as make a hole
   * reach over a multiple of their number: it is enough to look at the bytes there.
   */
  noteWrite(offset: number, bytes: Uint8Array, at: number, count: number): void {
    this.noteChange(offset);
    const end = offset + count;
    if (offset !== this.#end || end > SOLID_BYTES_MAX) return;
    if (!mayHoldHole(offset, bytes, at, count)) this.#end = end;
  }

  /** The file was changed from `offset` on in another way. */
  noteChange(offset: number): void {
    this.#end = Math.min(this.#end, offset);
  }

  /** Whether the whole file, being so long, has no hole. */
  covers(fileBytes: number): boolean {
    return this.#end === fileBytes;
  }
}

function mayHoldHole(offset: number, bytes: Uint8Array, at: number, count: number): boolean {
  const first = Math.ceil(offset / ZERO_RUN_BYTES_MIN) * ZERO_RUN_BYTES_MIN - offset;
  for (let position = first; position < count; position += ZERO_RUN_BYTES_MIN) {
    if (bytes[at + position] === 0) return true;
  }
  return false;
}
