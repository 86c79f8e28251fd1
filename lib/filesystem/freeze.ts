// Takes a run of dirty bytes out of a file and makes it a stretch for ingest, together with the
// stored bytes beside it that have to be cut again.
//
// An overwrite is cut again from the start of the first chunk it touches to the end of the last; an
// append from the start of the tail, so that a file written in pieces gets the same chunks as one
// written at once.

import { CorruptionError } from '../errors.ts';
import type { Piece, Segment } from '../dedup/worker-pool.ts';
import type { Extent } from '../metastore/extent-codec.ts';
import type { ByteRange, DirtyRange } from './dirty-ranges.ts';
import { Stretch, type FileContent } from './file-content.ts';

export interface FreezeOptions {
  /** At most this much of the run; when it is longer, the stretch is not final. */
  readonly bytesMax: number;
  /** No shorter run. A stretch asked for with a minimum is never final. */
  readonly bytesMin: number;
  readonly chunkBytesMax: number;
}

/**
 * Scattered writes are many stretches of one file at once: a job takes what fits. Each read of the file
 * looks at all of them.
 */
const STRETCHES_MAX = 256;

/** Undefined when no run qualifies now: none is long enough, or what it touches is in flight. */
export function freezeRun(
  content: FileContent,
  options: FreezeOptions,
): { stretch: Stretch; segment: Segment } | undefined {
  if (content.stretches.length >= STRETCHES_MAX) return undefined;
  // Where the stretch after this one begins is known when this one is cut.
  if (content.stretches.some((stretch) => !stretch.isCut && !stretch.isFinal)) return undefined;
  const run = findRun(content, options.bytesMin);
  if (run === undefined) return undefined;
  // What goes on beside a stretch is better cut together with it.
  const isBeside = ({ isCut, range }: Stretch): boolean =>
    !isCut && range.end >= run.offset && range.offset <= run.end;
  if (content.stretches.some(isBeside)) return undefined;
  const isWhole = run.end - run.offset <= options.bytesMax;
  const isFinal = options.bytesMin <= 1 && isWhole;
  // A run cut short needs enough left over for a cut that does not depend on the rest.
  if (!isWhole && options.bytesMax < 4 * options.chunkBytesMax) return undefined;
  const written = isWhole ? run : { offset: run.offset, end: run.offset + options.bytesMax };
  return (
    tryFreeze(content, widen(content, written, isFinal), isFinal) ??
    // A neighbour that cannot be read stays as it is; only the written bytes are cut.
    tryFreeze(content, { ...written, isAfterHole: false }, isFinal)
  );
}

function findRun(content: FileContent, bytesMin: number): ByteRange | undefined {
  let range = content.dirty.first;
  while (range !== undefined) {
    const end = content.dirty.runEnd(range);
    if (end - range.offset >= bytesMin) return { offset: range.offset, end };
    range = content.dirty.next(end);
  }
  return undefined;
}

interface WidenedRange extends ByteRange {
  readonly isAfterHole: boolean;
}

function widen(content: FileContent, written: ByteRange, isFinal: boolean): WidenedRange {
  const { extents, resume } = content;
  const { ino } = content.inode;
  let { offset, end } = written;
  let isAfterHole = false;
  if (resume?.offset === offset) {
    isAfterHole = resume.isAfterHole;
  } else if (offset > 0) {
    const left = extents.at(ino, offset - 1);
    const isAppend = extents.next(content.inode, offset) === undefined;
    const isTouched = left !== undefined && (isAppend || left.offset + left.bytes > offset);
    if (isTouched) offset = chunkStart(content, left);
    isAfterHole = left === undefined && !isPending(content, offset - 1);
  }
  const right = isFinal ? extents.at(ino, end) : undefined;
  if (right !== undefined && right.offset < end) end = chunkEnd(content, right);
  return { offset, end: Math.min(end, Math.max(content.inode.size, written.end)), isAfterHole };
}

function isPending(content: FileContent, offset: number): boolean {
  const covers = (range: DirtyRange | undefined): boolean => {
    return range !== undefined && range.offset <= offset;
  };
  return (
    covers(content.dirty.next(offset)) ||
    content.stretches.some((stretch) => covers(stretch.pieces.next(offset)))
  );
}

/** Start of the unbroken part of the chunk that the extent shows; segments split chunks in two. */
function chunkStart(content: FileContent, extent: Extent): number {
  if (extent.chunkOffset === 0 || extent.offset === 0) return extent.offset;
  const before = content.extents.at(content.inode.ino, extent.offset - 1);
  const continues =
    before?.chunk === extent.chunk && before.chunkOffset + before.bytes === extent.chunkOffset;
  return continues ? before.offset : extent.offset;
}

function chunkEnd(content: FileContent, extent: Extent): number {
  const end = extent.offset + extent.bytes;
  const after = content.extents.at(content.inode.ino, end);
  const continues =
    after?.chunk === extent.chunk && extent.chunkOffset + extent.bytes === after.chunkOffset;
  return continues ? after.offset + after.bytes : end;
}

function tryFreeze(
  content: FileContent,
  range: WidenedRange,
  isFinal: boolean,
): { stretch: Stretch; segment: Segment } | undefined {
  const isBusy = content.stretches.some(
    (other) => other.range.offset < range.end && range.offset < other.range.end,
  );
  if (isBusy) return undefined;
  const neighbours = readNeighbours(content, range);
  if (neighbours === undefined) return undefined;
  const stretch = new Stretch({ offset: range.offset, end: range.end }, isFinal);
  const pieces: Piece[] = [];
  let position = range.offset;
  const fill = (end: number): void => {
    const bytes = end - position;
    if (bytes > 0) pieces.push({ source: neighbours.shared, offset: neighbours.used, bytes });
    neighbours.used += Math.max(bytes, 0);
  };
  for (const dirty of content.dirty.take(range)) {
    fill(dirty.offset);
    pieces.push({ source: dirty.slab, offset: dirty.slabOffset, bytes: dirty.bytes });
    position = dirty.offset + dirty.bytes;
    stretch.pieces.put(dirty);
  }
  fill(range.end);
  content.stretches.push(stretch);
  return { stretch, segment: { pieces, isFinal, isAfterHole: range.isAfterHole } };
}

/** Most stretches are whole new files. */
const NO_NEIGHBOURS = new SharedArrayBuffer(0);

/**
 * The stored bytes between the dirty ones, copied together: the worker cannot reach the chunk cache.
 * Undefined when they cannot be read.
 */
function readNeighbours(
  content: FileContent,
  range: ByteRange,
): { shared: SharedArrayBuffer; used: number } | undefined {
  const gaps: ByteRange[] = [];
  let position = range.offset;
  for (const dirty of content.dirty.find(range)) {
    if (dirty.offset > position) gaps.push({ offset: position, end: dirty.offset });
    position = Math.max(position, dirty.offset + dirty.bytes);
  }
  if (position < range.end) gaps.push({ offset: position, end: range.end });
  const total = gaps.reduce((sum, gap) => sum + (gap.end - gap.offset), 0);
  if (total === 0) return { shared: NO_NEIGHBOURS, used: 0 };
  const shared = new SharedArrayBuffer(total);
  const bytes = Buffer.from(shared);
  let at = 0;
  try {
    for (const gap of gaps) {
      const length = gap.end - gap.offset;
      content.readStored(gap, bytes.subarray(at, at + length));
      at += length;
    }
  } catch (error) {
    if (error instanceof CorruptionError) return undefined;
    throw error;
  }
  return { shared, used: 0 };
}
