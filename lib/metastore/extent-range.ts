// Parts of files, and of the extents that lie in them.

import type { Extent } from './extent-codec.ts';

export interface FileRange {
  readonly offset: number;
  /** Exclusive. */
  readonly end: number;
}

/** Index of the first extent whose end lies after `offset`. */
export function firstEndingAfter(extents: readonly Extent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const extent = extents[middle];
    if (extent !== undefined && extent.offset + extent.bytes <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The part of an extent that lies in a range. */
export function clip(extent: Extent, range: FileRange): Extent {
  const offset = Math.max(extent.offset, range.offset);
  const end = Math.min(extent.offset + extent.bytes, range.end);
  if (offset === extent.offset && end === extent.offset + extent.bytes) return extent;
  return {
    offset,
    bytes: end - offset,
    chunk: extent.chunk,
    chunkOffset: extent.chunkOffset + (offset - extent.offset),
  };
}
