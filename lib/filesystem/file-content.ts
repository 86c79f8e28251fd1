// The bytes of one regular file while it is in use. Three layers, the newest on top:
//
//   dirty    written and not yet given to ingest
//   frozen   given to ingest (a "stretch"), still read from memory until its extents are installed
//   extents  stored chunks, by way of the metastore
//
// A stretch replaces the extents of its range when it comes out of ingest. What changes that range
// in the meantime by other means than a write (truncate, punch, copy) takes itself out of the
// stretch (`exclude`), so that old bytes cannot come back.

import { assert } from '../assert.ts';
import type { ChunkReader } from '../dedup/chunk-reader.ts';
import type { Span } from '../dedup/ingest.ts';
import { BLOCK_BYTES } from '../metastore/coverage.ts';
import { SEGMENT_BYTES, type Extent } from '../metastore/extent-codec.ts';
import { type ExtentTable } from '../metastore/extents.ts';
import { clip } from '../metastore/extent-range.ts';
import type { Inode } from '../metastore/inodes.ts';
import { native } from '../native.ts';
import { DirtyRanges, type ByteRange, type DirtyRange } from './dirty-ranges.ts';
import { SolidStart } from './solid-start.ts';

/** Part of a file on its way through ingest. */
export class Stretch {
  /** What the cut covers; shrinks when the tail is handed back. */
  range: ByteRange;
  /** The parts of `range` whose extents are to be replaced. */
  valid: ByteRange[];
  /** The written bytes, for reads. */
  readonly pieces = new DirtyRanges();
  readonly isFinal: boolean;
  isCut = false;

  constructor(range: ByteRange, isFinal: boolean) {
    this.range = range;
    this.valid = [range];
    this.isFinal = isFinal;
  }

  exclude(range: ByteRange): void {
    this.pieces.remove(range);
    this.valid = this.valid.flatMap((valid) => subtract(valid, range));
  }
}

/** Where the next stretch may begin without cutting its left neighbour again. */
export interface ResumePoint {
  readonly offset: number;
  readonly isAfterHole: boolean;
}

export interface ContentParts {
  readonly extents: ExtentTable;
  readonly reader: ChunkReader;
  /** Takes whole segments out of a file, to be given back later. */
  takeSegments(inode: Inode, segments: { readonly first: number; readonly last: number }): void;
}

/** From so many whole segments on, a range is given up in the background: 256 MiB. */
const TAKEN_SEGMENTS_MIN = 64;

/** What a handle was opened for. */
export interface Access {
  readonly isWriting: boolean;
  /** Reading and writing: what a shared mapping that can be written needs. */
  readonly isMappable: boolean;
}

export class FileContent {
  readonly inode: Inode;
  readonly dirty = new DirtyRanges();
  readonly extents: ExtentTable;
  readonly solidStart = new SolidStart();
  readonly #parts: ContentParts;
  /** In flight; their ranges do not overlap. */
  stretches: Stretch[] = [];
  resume: ResumePoint | undefined;
  /** There may be a dirty run as long as a job; false: there is none, so nobody needs to look. */
  mayHaveLongRun = false;
  /** Open handles; those that can write; those of these that a process may have mapped to write. */
  handles = 0;
  writingHandles = 0;
  mappableHandles = 0;
  /**
   * The kernel may hold bytes stored through a mapping that it has not written yet: such a handle was
   * open when it filled pages of the file. mmap(2) of a handle that bypasses the cache drops older pages.
   */
  mayHaveUnseenStores = false;
  /** The file is gone: what comes out of ingest is dropped. */
  isDiscarded = false;
  /** Ingest failed and what was in memory is gone: nobody may read around it. */
  isLost = false;

  constructor(inode: Inode, parts: ContentParts) {
    this.inode = inode;
    this.extents = parts.extents;
    this.#parts = parts;
  }

  noteOpened(access: Access): void {
    this.#count(access, 1);
  }

  noteClosed(access: Access): void {
    this.#count(access, -1);
    if (this.mappableHandles === 0) this.mayHaveUnseenStores = false;
  }

  #count({ isWriting, isMappable }: Access, by: 1 | -1): void {
    this.handles += by;
    if (isWriting) this.writingHandles += by;
    if (isMappable) this.mappableHandles += by;
  }

  /** The kernel reads into its pages. */
  noteCacheFill(): void {
    if (this.mappableHandles > 0) this.mayHaveUnseenStores = true;
  }

  /** Bytes held in memory. */
  get pendingBytes(): number {
    let bytes = this.dirty.bytes;
    for (const stretch of this.stretches) bytes += stretch.pieces.bytes;
    return bytes;
  }

  /** Nothing is in memory: the extents tell everything. */
  get isSettled(): boolean {
    return this.dirty.isEmpty && this.stretches.length === 0;
  }

  /** Fills `into` with the bytes from `offset` on; all of it must lie inside the file. */
  read(offset: number, into: Buffer): void {
    const end = offset + into.length;
    let gaps: ByteRange[] = [{ offset, end }];
    for (const layer of [this.dirty, ...this.stretches.map((stretch) => stretch.pieces)]) {
      if (layer.isEmpty) continue;
      gaps = gaps.flatMap((gap) => copyLayer(layer, gap, offset, into));
    }
    for (const gap of gaps) {
      this.readStored(gap, into.subarray(gap.offset - offset, gap.end - offset));
    }
  }

  /** Fills `into` with what the extents show. @throws CorruptionError */
  readStored(range: ByteRange, into: Buffer): void {
    let filled = range.offset;
    for (const whole of this.extents.find(this.inode.ino, range)) {
      const extent = clip(whole, range);
      if (extent.offset > filled) into.fill(0, filled - range.offset, extent.offset - range.offset);
      const plain = this.#parts.reader.read(extent.chunk);
      const chunkEnd = extent.chunkOffset + extent.bytes;
      assert(chunkEnd <= plain.length, 'an extent lies inside its chunk');
      native.copy(plain, extent.chunkOffset, into, extent.offset - range.offset, extent.bytes);
      filled = extent.offset + extent.bytes;
    }
    into.fill(0, filled - range.offset);
  }

  /** Makes the range a hole, or with `replacement` shows stored bytes there. */
  replaceStored(range: ByteRange, replacement: readonly Extent[]): void {
    this.forget(range);
    const first = Math.ceil(range.offset / SEGMENT_BYTES);
    const behind = Math.floor(range.end / SEGMENT_BYTES);
    if (behind - first < TAKEN_SEGMENTS_MIN || replacement.length > 0) {
      this.extents.replace(this.inode, range, replacement);
      return;
    }
    this.#parts.takeSegments(this.inode, { first, last: behind - 1 });
    const { inode } = this;
    this.extents.replace(inode, { offset: range.offset, end: first * SEGMENT_BYTES }, []);
    this.extents.replace(inode, { offset: behind * SEGMENT_BYTES, end: range.end }, []);
  }

  /** Drops what memory holds for the range. */
  forget(range: ByteRange): void {
    this.dirty.remove(range);
    for (const stretch of this.stretches) stretch.exclude(range);
    this.resume = undefined;
    this.solidStart.noteChange(range.offset);
  }

  /** Cuts the file off at `size`. */
  truncate(size: number): void {
    this.forget({ offset: size, end: Number.MAX_SAFE_INTEGER });
    this.replaceStored({ offset: size, end: this.inode.size }, []);
  }

  /** Drops everything in memory; what is in flight will not be installed. */
  discard(): void {
    this.isDiscarded = true;
    this.dirty.clear();
    for (const stretch of this.stretches) stretch.pieces.clear();
    this.stretches = [];
  }

  /** Ingest failed: gives the memory back, and lets every later read and close fail. */
  lose(): void {
    if (this.isSettled) return;
    this.isLost = true;
    this.discard();
  }

  /** The cut covers the stretch up to `covered` bytes; the rest becomes dirty again. */
  finishCut(stretch: Stretch, covered: number, isAfterHole: boolean): void {
    stretch.isCut = true;
    if (this.isDiscarded) return;
    // While this cut was under way nothing else could be taken.
    if (!stretch.isFinal) this.mayHaveLongRun = true;
    const end = stretch.range.offset + covered;
    if (end < stretch.range.end) {
      const tail = { offset: end, end: stretch.range.end };
      for (const range of stretch.pieces.take(tail)) this.dirty.putBeneath(range);
      stretch.range = { offset: stretch.range.offset, end };
      stretch.valid = stretch.valid.flatMap((valid) => subtract(valid, tail));
    }
    this.resume = stretch.isFinal ? undefined : { offset: end, isAfterHole };
  }

  /** The stretch is stored: its spans become the extents of its range. */
  install(stretch: Stretch, spans: readonly Span[]): void {
    if (this.isDiscarded) return;
    const extents: Extent[] = [];
    let offset = stretch.range.offset;
    for (const { bytes, chunk } of spans) {
      if (chunk !== undefined) extents.push({ offset, bytes, chunk, chunkOffset: 0 });
      offset += bytes;
    }
    assert(offset === stretch.range.end, 'the spans cover the stretch');
    for (const valid of stretch.valid) {
      const inside = extents
        .filter(
          (extent) => extent.offset < valid.end && extent.offset + extent.bytes > valid.offset,
        )
        .map((extent) => clip(extent, valid));
      this.extents.replace(this.inode, valid, inside);
    }
    stretch.pieces.clear();
    this.stretches = this.stretches.filter((other) => other !== stretch);
  }

  /** Where at or after `offset` a block has data: SEEK_DATA. undefined when none has. */
  nextDataBlock(offset: number): number | undefined {
    const found = this.#nextData(blockStart(offset));
    return found === undefined ? undefined : Math.max(offset, blockStart(found));
  }

  /** Where at or after `offset` a block is all hole: SEEK_HOLE. At most the file's size. */
  nextHoleBlock(offset: number): number {
    // A file without holes is common, and large ones are asked this by every cp and tar.
    if (this.isSettled && this.inode.mapped === this.inode.size) return this.inode.size;
    let block = blockStart(offset);
    while (block < this.inode.size) {
      const data = this.#nextData(block);
      if (data === undefined || data >= block + BLOCK_BYTES) break;
      block = blockStart(this.#nextHole(data) + BLOCK_BYTES - 1);
    }
    return Math.min(Math.max(offset, block), this.inode.size);
  }

  /** First byte at or after `offset` that is not in a hole; undefined when there is none. */
  #nextData(offset: number): number | undefined {
    const candidates = [
      this.extents.next(this.inode, offset)?.offset,
      this.dirty.next(offset)?.offset,
    ];
    for (const stretch of this.stretches) candidates.push(stretch.pieces.next(offset)?.offset);
    const found = candidates.filter((candidate) => candidate !== undefined);
    return found.length === 0 ? undefined : Math.max(offset, Math.min(...found));
  }

  /** First byte at or after `offset` that is in a hole, at most the file's size. */
  #nextHole(offset: number): number {
    let position = offset;
    for (;;) {
      const end = this.#dataEnd(position);
      if (end === undefined || position >= this.inode.size) break;
      position = end;
    }
    return Math.min(position, this.inode.size);
  }

  /** End of something that covers the byte; undefined when it is in a hole. */
  #dataEnd(offset: number): number | undefined {
    for (const layer of [this.dirty, ...this.stretches.map((stretch) => stretch.pieces)]) {
      const range = layer.next(offset);
      if (range !== undefined && range.offset <= offset) return range.offset + range.bytes;
    }
    const extent = this.extents.at(this.inode.ino, offset);
    return extent === undefined ? undefined : extent.offset + extent.bytes;
  }
}

/** Start of the block of 4 KiB that the byte lies in. */
function blockStart(offset: number): number {
  return offset - (offset % BLOCK_BYTES);
}

/** Copies what a layer holds of `gap`; returns what it does not hold. */
function copyLayer(layer: DirtyRanges, gap: ByteRange, origin: number, into: Buffer): ByteRange[] {
  const rest: ByteRange[] = [];
  let position = gap.offset;
  for (const range of layer.find(gap)) {
    const from = Math.max(range.offset, gap.offset);
    const to = Math.min(range.offset + range.bytes, gap.end);
    if (from > position) rest.push({ offset: position, end: from });
    copyRange(range, from, to, into, from - origin);
    position = to;
  }
  if (position < gap.end) rest.push({ offset: position, end: gap.end });
  return rest;
}

function copyRange(range: DirtyRange, from: number, to: number, into: Buffer, at: number): void {
  const start = range.slabOffset + (from - range.offset);
  native.copy(range.slab.bytes, start, into, at, to - from);
}

/** `range` without `cut`: none, one or two ranges. */
function subtract(range: ByteRange, cut: ByteRange): ByteRange[] {
  if (cut.end <= range.offset || cut.offset >= range.end) return [range];
  const rest: ByteRange[] = [];
  if (range.offset < cut.offset) rest.push({ offset: range.offset, end: cut.offset });
  if (cut.end < range.end) rest.push({ offset: cut.end, end: range.end });
  return rest;
}
