// How much of a file some of its extents cover: in bytes, and in the blocks that st_blocks counts.

import type { Extent } from './extent-codec.ts';

/**
 * What holes and allocation are counted in, as ext4 does: programs take a file for sparse when its
 * blocks do not cover its size.
 */
export const BLOCK_BYTES = 4096;

export interface Coverage {
  readonly bytes: number;
  /** Blocks that an extent touches. */
  readonly blocks: number;
}

/** @param extents in order; those of other parts of the file must not share a block with them */
export function coverageOf(extents: readonly Extent[]): Coverage {
  let bytes = 0;
  let blocks = 0;
  let nextBlock = 0;
  for (const extent of extents) {
    const first = Math.max(nextBlock, Math.floor(extent.offset / BLOCK_BYTES));
    nextBlock = Math.ceil((extent.offset + extent.bytes) / BLOCK_BYTES);
    blocks += Math.max(0, nextBlock - first);
    bytes += extent.bytes;
  }
  return { bytes, blocks };
}
