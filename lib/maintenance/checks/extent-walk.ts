// Walks all extent maps of a store, decoded.

import { CorruptionError } from '../../errors.ts';
import { decodeExtents, SEGMENT_BYTES, type Extent } from '../../metastore/extent-codec.ts';
import { pages, type Walk } from './paging.ts';

/** Rows decoded in one turn; one has up to a few hundred extents. */
const MAPS_PER_TURN = 64;

export interface ExtentMap {
  readonly ino: number;
  /** Number of the segment. */
  readonly segment: number;
  /** Undefined when they cannot be decoded; the check `extent-maps` says so. */
  readonly extents: readonly Extent[] | undefined;
}

/** @param afterIno files with smaller numbers, and this one, are left out */
export async function* extentMaps(
  context: Walk,
  afterIno = Number.MIN_SAFE_INTEGER,
): AsyncGenerator<ExtentMap[]> {
  const inoMax = context.connection.prepare('SELECT max(ino) FROM inode').pluck().get();
  const maps = pages<[ino: number, segment: number, map: Buffer]>(context, {
    sql: 'SELECT ino, seg, map FROM fmap WHERE (ino, seg) > (?, ?) ORDER BY ino, seg LIMIT ?',
    start: [afterIno, Number.MAX_SAFE_INTEGER],
    keyOf: ([ino, segment]) => [ino, segment],
    total: Number(inoMax ?? 0),
    rows: MAPS_PER_TURN,
  });
  for await (const page of maps) {
    yield page.map(([ino, segment, map]) => ({ ino, segment, extents: tryDecode(map, segment) }));
  }
}

/** Undefined when they cannot be decoded. */
export function tryDecode(map: Buffer, segment: number): Extent[] | undefined {
  try {
    return decodeExtents(map, segment * SEGMENT_BYTES);
  } catch (error) {
    if (error instanceof CorruptionError) return undefined;
    throw error;
  }
}
