// Which chunks are compressed together: those that are new and lie side by side, as far as a frame goes.

import { FRAME_BYTES_MAX, FRAME_CHUNKS_MAX } from '../blockstore/frame.ts';

/** Where bytes lie in some memory. */
export interface PlainRange {
  readonly offset: number;
  readonly bytes: number;
}

export interface PlainFrame {
  readonly offset: number;
  bytes: number;
  chunkCount: number;
}

/** @param chunks in ascending order */
export function groupChunks(chunks: Iterable<PlainRange>): PlainFrame[] {
  const frames: PlainFrame[] = [];
  for (const { offset, bytes } of chunks) {
    const last = frames.at(-1);
    const joins =
      last !== undefined &&
      last.offset + last.bytes === offset &&
      last.bytes + bytes <= FRAME_BYTES_MAX &&
      last.chunkCount < FRAME_CHUNKS_MAX;
    if (joins) {
      last.bytes += bytes;
      last.chunkCount += 1;
    } else {
      frames.push({ offset, bytes, chunkCount: 1 });
    }
  }
  return frames;
}
