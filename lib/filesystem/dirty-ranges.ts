// Bytes of one file that are written and not yet chunked, by file offset. Ranges never overlap; each
// holds one reference to the slab its bytes lie in.

import { assert } from '../assert.ts';
import type { Slab } from '../slab-pool.ts';

export interface DirtyRange {
  /** File offset. */
  readonly offset: number;
  readonly bytes: number;
  readonly slab: Slab;
  /** Offset of the first byte in the slab. */
  readonly slabOffset: number;
}

export interface ByteRange {
  readonly offset: number;
  /** Exclusive. */
  readonly end: number;
}

export class DirtyRanges {
  /** Sorted by offset. */
  readonly #ranges: DirtyRange[] = [];
  #bytes = 0;

  /** Sum of the lengths. */
  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  /** The first range; undefined when there is none. */
  get first(): DirtyRange | undefined {
    return this.#ranges[0];
  }

  /** Takes over a range with its slab reference; what it overlaps is given up. */
  put(range: DirtyRange): void {
    assert(range.bytes > 0, 'a dirty range is not empty');
    const at = this.#cutOut({ offset: range.offset, end: range.offset + range.bytes }, release);
    this.#bytes += range.bytes;
    const before = this.#ranges[at - 1];
    if (before !== undefined && continues(before, range)) {
      this.#ranges[at - 1] = { ...before, bytes: before.bytes + range.bytes };
      range.slab.release(); // the grown range keeps its own reference
      return;
    }
    this.#ranges.splice(at, 0, range);
  }

  /** Takes over a range, but what is here already stays: newer bytes lie on top. */
  putBeneath(range: DirtyRange): void {
    let offset = range.offset;
    const end = range.offset + range.bytes;
    const covering = this.find({ offset, end });
    const insert = (gapEnd: number): void => {
      if (gapEnd <= offset) return;
      range.slab.retain();
      this.put(part(range, { offset, end: gapEnd }));
    };
    for (const newer of covering) {
      insert(newer.offset);
      offset = newer.offset + newer.bytes;
    }
    insert(end);
    range.slab.release();
  }

  /** Ranges that touch `wanted`, whole, in order. Valid until the next change. */
  find(wanted: ByteRange): DirtyRange[] {
    const found: DirtyRange[] = [];
    for (let at = this.#firstEndingAfter(wanted.offset); at < this.#ranges.length; at += 1) {
      const range = this.#ranges[at];
      if (range === undefined || range.offset >= wanted.end) break;
      found.push(range);
    }
    return found;
  }

  /** The first range that ends after `offset`. */
  next(offset: number): DirtyRange | undefined {
    return this.#ranges[this.#firstEndingAfter(offset)];
  }

  /** Gives up the bytes in `unwanted`. */
  remove(unwanted: ByteRange): void {
    this.#cutOut(unwanted, release);
  }

  /** Removes the bytes in `wanted` and hands them over with their slab references. */
  take(wanted: ByteRange): DirtyRange[] {
    const taken: DirtyRange[] = [];
    this.#cutOut(wanted, (range) => taken.push(range));
    return taken;
  }

  /** End of the unbroken stretch of ranges that begins with the one at index `from`. */
  runEnd(from: DirtyRange): number {
    let end = from.offset + from.bytes;
    for (let at = this.#firstEndingAfter(from.offset) + 1; at < this.#ranges.length; at += 1) {
      const range = this.#ranges[at];
      if (range?.offset !== end) break;
      end += range.bytes;
    }
    return end;
  }

  /** Length of the unbroken stretch of ranges around a byte that is covered; stops at `bytesMax`. */
  runBytesAround(offset: number, bytesMax: number): number {
    const at = this.#firstEndingAfter(offset);
    const range = this.#ranges[at];
    if (range === undefined || range.offset > offset) return 0;
    let { bytes, offset: start } = range;
    for (let before = at - 1; before >= 0 && bytes < bytesMax; before -= 1) {
      const left = this.#ranges[before];
      if (left === undefined || left.offset + left.bytes !== start) break;
      start = left.offset;
      bytes += left.bytes;
    }
    let end = range.offset + range.bytes;
    for (let after = at + 1; after < this.#ranges.length && bytes < bytesMax; after += 1) {
      const right = this.#ranges[after];
      if (right?.offset !== end) break;
      end += right.bytes;
      bytes += right.bytes;
    }
    return bytes;
  }

  clear(): void {
    this.remove({ offset: 0, end: Number.MAX_SAFE_INTEGER });
  }

  /** Removes the bytes in `unwanted`, calling `removed` for each; returns the index where it began. */
  #cutOut(unwanted: ByteRange, removed: (range: DirtyRange) => void): number {
    const first = this.#firstEndingAfter(unwanted.offset);
    const kept: DirtyRange[] = [];
    let behind = first;
    let before = 0;
    for (; behind < this.#ranges.length; behind += 1) {
      const range = this.#ranges[behind];
      if (range === undefined || range.offset >= unwanted.end) break;
      const end = range.offset + range.bytes;
      if (range.offset < unwanted.offset) {
        range.slab.retain();
        kept.push(part(range, { offset: range.offset, end: unwanted.offset }));
        before = 1;
      }
      if (end > unwanted.end) {
        range.slab.retain();
        kept.push(part(range, { offset: unwanted.end, end }));
      }
      const gone = part(range, {
        offset: Math.max(range.offset, unwanted.offset),
        end: Math.min(end, unwanted.end),
      });
      this.#bytes -= gone.bytes;
      removed(gone);
    }
    if (behind > first) this.#ranges.splice(first, behind - first, ...kept);
    return first + before;
  }

  #firstEndingAfter(offset: number): number {
    const last = this.#ranges.at(-1);
    // Sequential writers always land here.
    if (last === undefined || last.offset + last.bytes <= offset) return this.#ranges.length;
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle];
      if (range !== undefined && range.offset + range.bytes <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function release(range: DirtyRange): void {
  range.slab.release();
}

function part(range: DirtyRange, wanted: ByteRange): DirtyRange {
  return {
    offset: wanted.offset,
    bytes: wanted.end - wanted.offset,
    slab: range.slab,
    slabOffset: range.slabOffset + (wanted.offset - range.offset),
  };
}

/** Whether `range` goes on where `before` ends, in the file and in memory. */
function continues(before: DirtyRange, range: DirtyRange): boolean {
  return (
    before.slab === range.slab &&
    before.offset + before.bytes === range.offset &&
    before.slabOffset + before.bytes === range.slabOffset
  );
}
