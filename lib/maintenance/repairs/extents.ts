// Extent maps. Where it is no longer known what a range of a file showed, the range gets an extent of a
// chunk of unknown content, which reads as EIO: never zeros in the place of data.

import { coverageOf, BLOCK_BYTES } from '../../metastore/coverage.ts';
import { encodeExtents, SEGMENT_BYTES, type Extent } from '../../metastore/extent-codec.ts';
import { clip } from '../../metastore/extent-range.ts';
import { FileType } from '../../metastore/inodes.ts';
import type { ChunkId } from '../../dedup/chunk-index.ts';
import type { RepairContext } from '../checks/check.ts';
import { extentMaps, tryDecode, type ExtentMap } from '../checks/extent-walk.ts';
import { pages } from '../checks/paging.ts';
import { getMeta, insertRow, prepared, removeRow, scalar, takeId, updateRow } from './rows.ts';

/** Segments of a file that are taken for lost; a size that asks for more is taken for wrong. */
const LOST_SEGMENTS_MAX = 16 * 1024;

interface File {
  readonly ino: number;
  size: number;
  holes: number;
}

export async function repairExtentMaps(context: RepairContext): Promise<void> {
  // Behind it no chunk has ever been: ids from damaged maps must not use up the numbers.
  const nextChunk = Number(getMeta(context, 'nextChunk'));
  let file: File | undefined;
  for await (const page of extentMaps(context)) {
    for (const map of page) {
      file = followFile(context, file, map.ino);
      if (file === undefined) removeRow(context, 'fmap', { ino: map.ino, seg: map.segment });
      else repairMap(context, { file, map, nextChunk });
    }
  }
  followFile(context, file, undefined);
  await finishFilesWithoutMaps(context);
}

/** Maps come in the order of their files: with the first of the next, the one before is complete. */
function followFile(
  context: RepairContext,
  file: File | undefined,
  ino: number | undefined,
): File | undefined {
  if (file !== undefined && file.ino === ino) return file;
  if (file !== undefined) finishFile(context, file);
  return ino === undefined ? undefined : findFile(context, ino);
}

function findFile(context: RepairContext, ino: number): File | undefined {
  return prepared(
    context,
    `SELECT ino, size, holes FROM inode
     WHERE ino = ? AND (mode & ${FileType.MASK}) = ${FileType.REGULAR}`,
  ).get(ino) as File | undefined;
}

function repairMap(
  context: RepairContext,
  {
    file,
    map,
    nextChunk,
  }: { readonly file: File; readonly map: ExtentMap; readonly nextChunk: number },
): void {
  const { ino, segment, extents } = map;
  if (extents === undefined) {
    putMap(context, { ino, segment, extents: lostSegment(context, file, segment) });
    return;
  }
  const repaired = extents.map((extent) => repairExtent(context, extent, nextChunk));
  const isSame = repaired.every((extent, index) => extent === extents[index]);
  if (!isSame || extents.length === 0) putMap(context, { ino, segment, extents: repaired });
}

/** Makes sure that the extent's chunk has a row and reaches as far as the extent. */
function repairExtent(context: RepairContext, extent: Extent, nextChunk: number): Extent {
  const { chunk, chunkOffset, bytes } = extent;
  const end = chunkOffset + bytes;
  const row = prepared(
    context,
    `SELECT bytes, h IS NULL AND NOT EXISTS (SELECT 1 FROM quarantine AS q WHERE q.chunk = c.id) AS isUnknown
     FROM chunk AS c WHERE id = ?`,
  ).get(chunk) as { bytes: number; isUnknown: number } | undefined;
  if (row !== undefined && end <= row.bytes) return extent;
  if (row?.isUnknown === 1 && Number.isSafeInteger(end)) {
    updateRow(context, 'chunk', { id: chunk }, { bytes: end });
    return extent;
  }
  if (row === undefined && chunk < nextChunk && Number.isSafeInteger(end)) {
    insertUnknownChunk(context, chunk, end);
    return extent;
  }
  return { ...extent, chunk: createUnknownChunk(context, bytes), chunkOffset: 0 };
}

function createUnknownChunk(context: RepairContext, bytes: number): ChunkId {
  const id = takeId(context, 'nextChunk');
  insertUnknownChunk(context, id, bytes);
  return id as ChunkId;
}

/** A chunk without a fingerprint reads as EIO. Its references are counted later. */
function insertUnknownChunk(context: RepairContext, id: number, bytes: number): void {
  insertRow(context, 'chunk', { id }, { h: null, refs: 0, pack: 0, idx: 0, bytes, stored: 0 });
}

function lostSegment(context: RepairContext, file: File, segment: number): Extent[] {
  const offset = segment * SEGMENT_BYTES;
  const bytes = Math.min(SEGMENT_BYTES, file.size - offset);
  if (bytes <= 0) return [];
  return [{ offset, bytes, chunk: createUnknownChunk(context, bytes), chunkOffset: 0 }];
}

function putMap(
  context: RepairContext,
  { ino, segment, extents }: { ino: number; segment: number; extents: readonly Extent[] },
): void {
  const key = { ino, seg: segment };
  if (extents.length === 0) {
    removeRow(context, 'fmap', key);
    return;
  }
  const map = encodeExtents(extents, segment * SEGMENT_BYTES);
  const isThere = prepared(context, 'SELECT 1 FROM fmap WHERE ino = ? AND seg = ?').get(
    ino,
    segment,
  );
  if (isThere === undefined) insertRow(context, 'fmap', key, { map });
  else updateRow(context, 'fmap', key, { map });
}

/** Brings size, maps and counts of a file together. */
function finishFile(context: RepairContext, file: File): void {
  const found = measure(context, file.ino);
  settleSize(context, file, found);
  fillLostSegments(context, file, measure(context, file.ino));
  const { bytes, blocks } = measure(context, file.ino);
  updateRow(
    context,
    'inode',
    { ino: file.ino },
    {
      size: file.size,
      holes: file.size - bytes,
      extra_blocks: blocks - Math.ceil(bytes / BLOCK_BYTES),
    },
  );
}

interface Measure {
  readonly bytes: number;
  readonly blocks: number;
  /** Where the last extent ends. */
  readonly end: number;
  readonly rows: number;
}

function measure(context: RepairContext, ino: number): Measure {
  let [bytes, blocks, end, rows] = [0, 0, 0, 0];
  let after = -1;
  const next = prepared(
    context,
    'SELECT seg, map FROM fmap WHERE ino = ? AND seg > ? ORDER BY seg LIMIT 1',
  );
  for (;;) {
    const row = next.get(ino, after) as { seg: number; map: Buffer } | undefined;
    if (row === undefined) return { bytes, blocks, end, rows };
    const extents = tryDecode(row.map, row.seg) ?? [];
    const coverage = coverageOf(extents);
    const last = extents.at(-1);
    bytes += coverage.bytes;
    blocks += coverage.blocks;
    end = last === undefined ? end : last.offset + last.bytes;
    rows += 1;
    after = row.seg;
  }
}

/**
 * With the end of the last extent for a size, the bytes that the inode counts as holes and those that
 * extents cover may add up exactly: then the size alone is wrong. Else extents are cut at the size.
 */
function settleSize(context: RepairContext, file: File, found: Measure): void {
  const isSizeWrong = found.end - file.holes === found.bytes;
  const segments = Math.ceil(file.size / SEGMENT_BYTES);
  if (found.end > file.size) {
    if (isSizeWrong) file.size = found.end;
    else trim(context, file);
  } else if (isSizeWrong && segments - found.rows > LOST_SEGMENTS_MAX) {
    file.size = found.end;
  }
}

function trim(context: RepairContext, { ino, size }: File): void {
  const from = Math.floor(size / SEGMENT_BYTES);
  const segments = scalar(context, 'SELECT seg FROM fmap WHERE ino = ? AND seg >= ?');
  for (const segment of segments.all(ino, from) as number[]) {
    const map = scalar(context, 'SELECT map FROM fmap WHERE ino = ? AND seg = ?');
    const extents = tryDecode(map.get(ino, segment) as Buffer, segment) ?? [];
    const kept = extents
      .filter(({ offset }) => offset < size)
      .map((extent) => clip(extent, { offset: 0, end: size }));
    putMap(context, { ino, segment, extents: kept });
  }
}

/** The inode counts more bytes than extents cover: segments without any extent may be lost ones. */
function fillLostSegments(context: RepairContext, file: File, found: Measure): void {
  const { ino, size, holes } = file;
  if (holes < 0 || holes > size || size - holes <= found.bytes) return;
  const segments = Math.ceil(size / SEGMENT_BYTES);
  if (segments - found.rows > LOST_SEGMENTS_MAX) return;
  const isThere = prepared(context, 'SELECT 1 FROM fmap WHERE ino = ? AND seg = ?');
  let chunk: ChunkId | undefined;
  for (let segment = 0; segment < segments; segment += 1) {
    if (isThere.get(ino, segment) !== undefined) continue;
    chunk ??= createUnknownChunk(context, SEGMENT_BYTES);
    const offset = segment * SEGMENT_BYTES;
    const bytes = Math.min(SEGMENT_BYTES, size - offset);
    putMap(context, { ino, segment, extents: [{ offset, bytes, chunk, chunkOffset: 0 }] });
  }
}

async function finishFilesWithoutMaps(context: RepairContext): Promise<void> {
  const files = pages<[ino: number]>(context, {
    sql: `SELECT ino FROM inode AS i WHERE ino > ?
          AND (mode & ${FileType.MASK}) = ${FileType.REGULAR} AND (holes <> size OR extra_blocks <> 0)
          AND NOT EXISTS (SELECT 1 FROM fmap WHERE fmap.ino = i.ino) ORDER BY ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of files) {
    for (const [ino] of page) {
      const file = findFile(context, ino);
      if (file !== undefined) finishFile(context, file);
    }
  }
}
