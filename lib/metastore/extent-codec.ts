// Extents of one 4 MiB segment of a file <-> the bytes of fmap.map.
//
// For each extent, in order of file offset, four varints (7 bits a byte, least significant first):
//   gap       file bytes between the end of the previous extent (or the segment's start) and this one
//   bytes     length
//   chunk     id less the previous extent's id (first: less 0), zigzag: +1, the usual case, is 1 byte
//   offset    of the extent's first byte in the chunk, nearly always 0

import type { ChunkId } from '../dedup/chunk-index.ts';
import { CorruptionError } from '../errors.ts';

/** A stretch of a file and the stored bytes it shows. */
export interface Extent {
  /** File offset, bytes. */
  readonly offset: number;
  /** Length, bytes, at least 1; never crosses a segment border. */
  readonly bytes: number;
  readonly chunk: ChunkId;
  /** Where the extent begins in the chunk's plain bytes. */
  readonly chunkOffset: number;
}

export const SEGMENT_BYTES = 4 * 1024 * 1024;

/** Ids have 48 bits in packs (blockstore/directory.ts). */
const CHUNK_ID_MAX = 2 ** 48 - 1;
/** Four varints of up to 8 bytes each. */
const EXTENT_BYTES_MAX = 32;

let scratch = Buffer.allocUnsafeSlow(16 * 1024);

/** @param start file offset of the segment */
export function encodeExtents(extents: readonly Extent[], start: number): Buffer {
  const bytesMax = extents.length * EXTENT_BYTES_MAX;
  if (scratch.length < bytesMax) scratch = Buffer.allocUnsafeSlow(bytesMax);
  let at = 0;
  let end = start;
  let chunk = 0;
  for (const extent of extents) {
    at = putVarint(extent.offset - end, at);
    at = putVarint(extent.bytes, at);
    const delta = extent.chunk - chunk;
    at = putVarint(delta >= 0 ? delta * 2 : -delta * 2 - 1, at);
    at = putVarint(extent.chunkOffset, at);
    end = extent.offset + extent.bytes;
    chunk = extent.chunk;
  }
  return Buffer.from(scratch.subarray(0, at));
}

/** @throws CorruptionError  the bytes are not a segment's extents */
export function decodeExtents(map: Buffer, start: number): Extent[] {
  const cursor = { map, at: 0 };
  const extents: Extent[] = [];
  let end = start;
  let chunk = 0;
  while (cursor.at < map.length) {
    const offset = end + takeVarint(cursor);
    const bytes = takeVarint(cursor);
    const zigzag = takeVarint(cursor);
    chunk += zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
    const chunkOffset = takeVarint(cursor);
    end = offset + bytes;
    if (bytes === 0 || end > start + SEGMENT_BYTES || chunk <= 0 || chunk > CHUNK_ID_MAX) {
      throw new CorruptionError(`extent map at file offset ${start} is damaged`);
    }
    extents.push({ offset, bytes, chunk: chunk as ChunkId, chunkOffset });
  }
  return extents;
}

function putVarint(value: number, at: number): number {
  let rest = value;
  let next = at;
  while (rest >= 0x80) {
    scratch[next] = (rest % 0x80) + 0x80;
    rest = Math.floor(rest / 0x80);
    next += 1;
  }
  scratch[next] = rest;
  return next + 1;
}

function takeVarint(cursor: { readonly map: Buffer; at: number }): number {
  let value = 0;
  let scale = 1;
  for (;;) {
    const byte = cursor.map[cursor.at];
    if (byte === undefined || scale > 2 ** 49) throw new CorruptionError('extent map is cut short');
    cursor.at += 1;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
    scale *= 0x80;
  }
  if (!Number.isSafeInteger(value)) throw new CorruptionError('extent map has too large a number');
  return value;
}
