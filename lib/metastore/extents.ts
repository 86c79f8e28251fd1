// Extent maps of files: which stored bytes each part of a file shows. The only writer of `fmap`, and
// the one place where references to chunks are counted: each extent that appears or goes is one (I5).

import type Database from 'better-sqlite3';
import { assert } from '../assert.ts';
import type { ChunkId } from '../dedup/chunk-index.ts';
import { coverageOf, type Coverage } from './coverage.ts';
import type { Counters } from './counters.ts';
import { clip, firstEndingAfter, type FileRange } from './extent-range.ts';
import { decodeExtents, encodeExtents, SEGMENT_BYTES, type Extent } from './extent-codec.ts';
import type { Inode, InodeNumber, InodeTable } from './inodes.ts';
import type { StatementSource } from './database.ts';

/** Bound on segments in memory: at 128 extents of about 80 bytes each, 20 MB. */
const CACHED_SEGMENTS_MAX = 2000;

interface Segment {
  readonly ino: InodeNumber;
  readonly number: number;
  extents: Extent[];
  isDirty: boolean;
}

/** Counts references; implemented by ChunkTable. */
export interface ReferenceCounter {
  addReferences(chunk: ChunkId, count: number): void;
}

export class ExtentTable {
  readonly #counters: Counters;
  readonly #inodes: InodeTable;
  readonly #references: ReferenceCounter;
  readonly #select: Database.Statement;
  readonly #put: Database.Statement;
  readonly #delete: Database.Statement;
  readonly #numbers: Database.Statement;
  readonly #last: Database.Statement;
  readonly #moveRows: Database.Statement;
  readonly #countRows: Database.Statement;
  /** Key `ino:segment`; the least recently used first. Segments without extents are kept too. */
  readonly #cache = new Map<string, Segment>();
  /** Segments changed since their rows were written, by file. */
  readonly #dirty = new Map<InodeNumber, Set<Segment>>();
  #dirtyCount = 0;

  constructor(
    connection: StatementSource,
    parts: {
      readonly counters: Counters;
      readonly inodes: InodeTable;
      readonly references: ReferenceCounter;
    },
  ) {
    this.#counters = parts.counters;
    this.#inodes = parts.inodes;
    this.#references = parts.references;
    this.#select = connection.prepare('SELECT map FROM fmap WHERE ino = ? AND seg = ?').pluck();
    this.#put = connection.prepare('INSERT OR REPLACE INTO fmap (ino, seg, map) VALUES (?, ?, ?)');
    this.#delete = connection.prepare('DELETE FROM fmap WHERE ino = ? AND seg = ?');
    this.#numbers = connection
      .prepare('SELECT seg FROM fmap WHERE ino = ? AND seg >= ? AND seg <= ? ORDER BY seg LIMIT ?')
      .pluck();
    this.#moveRows = connection.prepare(
      'UPDATE fmap SET ino = ? WHERE ino = ? AND seg >= ? AND seg <= ?',
    );
    this.#countRows = connection
      .prepare('SELECT count(*) FROM fmap WHERE ino = ? AND seg >= ? AND seg <= ?')
      .pluck();
    this.#last = connection
      .prepare('SELECT seg, map FROM fmap WHERE ino = ? ORDER BY seg DESC LIMIT 1')
      .raw();
  }

  /** Extents that touch the range, whole, in order. */
  find(ino: InodeNumber, range: FileRange): Extent[] {
    const found: Extent[] = [];
    const last = segmentOf(range.end - 1);
    for (let number = segmentOf(range.offset); number <= last; number += 1) {
      const { extents } = this.#segment(ino, number);
      for (let at = firstEndingAfter(extents, range.offset); at < extents.length; at += 1) {
        const extent = extents[at];
        if (extent === undefined || extent.offset >= range.end) break;
        found.push(extent);
      }
    }
    return found;
  }

  /** The extent that covers the byte, if any. */
  at(ino: InodeNumber, offset: number): Extent | undefined {
    const { extents } = this.#segment(ino, segmentOf(offset));
    const extent = extents[firstEndingAfter(extents, offset)];
    return extent !== undefined && extent.offset <= offset ? extent : undefined;
  }

  /**
   * Start of the first extent that ends after `offset`, at or before it when it covers it;
   * undefined when the file has no extent there or beyond.
   */
  next(inode: Inode, offset: number): Extent | undefined {
    if (offset >= inode.size) return undefined;
    this.#flushFile(inode.ino);
    let from = segmentOf(offset);
    for (;;) {
      const number = this.#numbers.get(inode.ino, from, segmentOf(inode.size - 1), 1);
      if (number === undefined) return undefined;
      const { extents } = this.#segment(inode.ino, number as number);
      const extent = extents[firstEndingAfter(extents, offset)];
      if (extent !== undefined) return extent;
      from = (number as number) + 1;
    }
  }

  /**
   * Makes the range show `extents` (in order, inside the range; what they leave out becomes a
   * hole), giving up what it showed before. Extents may cross segment borders.
   */
  replace(inode: Inode, range: FileRange, extents: readonly Extent[]): void {
    if (range.end <= range.offset) return;
    let next = 0;
    for (const number of this.#touched(inode.ino, range, extents)) {
      const from = number * SEGMENT_BYTES;
      const part = {
        offset: Math.max(range.offset, from),
        end: Math.min(range.end, from + SEGMENT_BYTES),
      };
      const inside: Extent[] = [];
      for (; next < extents.length; next += 1) {
        const extent = extents[next];
        if (extent === undefined || extent.offset >= part.end) break;
        inside.push(clip(extent, part));
        // Goes on in the next segment, where it is met again.
        if (extent.offset + extent.bytes > part.end) break;
      }
      this.#replaceInSegment(inode, this.#segment(inode.ino, number), part, inside);
    }
    assert(
      extents.slice(next).every((extent) => extent.offset + extent.bytes <= range.end),
      'extents lie inside the range they replace',
    );
  }

  /** Numbers of the segments that change: all that hold extents now, and all that will. */
  #touched(ino: InodeNumber, range: FileRange, extents: readonly Extent[]): number[] {
    const first = segmentOf(range.offset);
    const last = segmentOf(range.end - 1);
    if (last - first < 64) return Array.from({ length: last - first + 1 }, (_, n) => first + n);
    this.#flushFile(ino);
    const numbers = new Set(this.#numbers.all(ino, first, last, -1) as number[]);
    for (const extent of extents) {
      numbers.add(segmentOf(extent.offset));
      numbers.add(segmentOf(extent.offset + extent.bytes - 1));
    }
    return [...numbers].sort((left, right) => left - right);
  }

  #replaceInSegment(
    inode: Inode,
    segment: Segment,
    range: FileRange,
    inside: readonly Extent[],
  ): void {
    const { extents } = segment;
    const first = firstEndingAfter(extents, range.offset);
    let behind = first;
    const kept: { before: Extent[]; after: Extent[] } = { before: [], after: [] };
    for (; behind < extents.length; behind += 1) {
      const extent = extents[behind];
      if (extent === undefined || extent.offset >= range.end) break;
      const end = extent.offset + extent.bytes;
      if (extent.offset < range.offset) {
        kept.before.push(clip(extent, { offset: extent.offset, end: range.offset }));
      }
      if (end > range.end) kept.after.push(clip(extent, { offset: range.end, end }));
      this.#references.addReferences(extent.chunk, -1);
    }
    if (behind === first && inside.length === 0) return;
    const added = [...kept.before, ...inside, ...kept.after];
    for (const extent of added) this.#references.addReferences(extent.chunk, 1);
    // Neighbours may share a block with what changes.
    const from = Math.max(0, first - 1);
    const before = coverageOf(extents.slice(from, behind + 1));
    extents.splice(first, behind - first, ...added);
    const after = coverageOf(extents.slice(from, first + added.length + 1));
    this.#markDirty(segment);
    this.#counters.referencedBytes += after.bytes - before.bytes;
    this.#cover(inode, before, -1);
    this.#cover(inode, after, 1);
  }

  #cover(inode: Inode, { bytes, blocks }: Coverage, by: 1 | -1): void {
    inode.mapped += by * bytes;
    inode.blocks += by * blocks;
    this.#inodes.touch(inode);
  }

  /**
   * Gives up extents from `offset` to the end of the file, at most `segmentsMax` segments, the last
   * first. Returns whether all are gone.
   */
  removeFrom(inode: Inode, offset: number, segmentsMax: number): boolean {
    this.#flushFile(inode.ino);
    for (let done = 0; done < segmentsMax; done += 1) {
      const row = this.#last.get(inode.ino) as [number, Buffer] | undefined;
      if (row === undefined || (row[0] + 1) * SEGMENT_BYTES <= offset) return true;
      const [number, map] = row;
      const from = Math.max(offset, number * SEGMENT_BYTES);
      const end = (number + 1) * SEGMENT_BYTES;
      const segment = this.#segment(inode.ino, number, map);
      this.#replaceInSegment(inode, segment, { offset: from, end }, []);
      this.#write(segment);
      if (number === 0 || from > number * SEGMENT_BYTES) return true;
    }
    return false;
  }

  /**
   * Gives whole segments of a file to another, which has no extents there: rows change their owner,
   * references stay as they are.
   */
  move(
    from: Inode,
    to: Inode,
    { first, last }: { readonly first: number; readonly last: number },
  ): void {
    this.#flushFile(from.ino);
    const moved = this.#coverageIn(from, first, last);
    // Counting has read them: nothing may read them into memory between here and the move.
    for (const [key, segment] of this.#cache) {
      const isMoved = segment.ino === from.ino && segment.number >= first && segment.number <= last;
      if (isMoved) this.#cache.delete(key);
    }
    this.#moveRows.run(to.ino, from.ino, first, last);
    this.#cover(from, moved, -1);
    this.#cover(to, moved, 1);
  }

  /** What the extents of some segments cover; reads the maps of those or of all others. */
  #coverageIn(inode: Inode, first: number, last: number): Coverage {
    const inside = this.#countRows.get(inode.ino, first, last) as number;
    const all = this.#countRows.get(inode.ino, 0, Number.MAX_SAFE_INTEGER) as number;
    if (inside <= all - inside) return this.#sum(inode, first, last);
    const before = this.#sum(inode, 0, first - 1);
    const behind = this.#sum(inode, last + 1, Number.MAX_SAFE_INTEGER);
    return {
      bytes: inode.mapped - before.bytes - behind.bytes,
      blocks: inode.blocks - before.blocks - behind.blocks,
    };
  }

  #sum(inode: Inode, first: number, last: number): Coverage {
    let [bytes, blocks] = [0, 0];
    for (let next = first; ;) {
      const number = this.#numbers.get(inode.ino, next, last, 1) as number | undefined;
      if (number === undefined) return { bytes, blocks };
      const part = coverageOf(this.#segment(inode.ino, number).extents);
      bytes += part.bytes;
      blocks += part.blocks;
      next = number + 1;
    }
  }

  /** @param row its row's map, for who has read it already */
  #segment(ino: InodeNumber, number: number, row?: Buffer): Segment {
    const key = `${ino}:${number}`;
    let segment = this.#cache.get(key);
    if (segment === undefined) {
      const map = row ?? (this.#select.get(ino, number) as Buffer | undefined);
      const extents = map === undefined ? [] : decodeExtents(map, number * SEGMENT_BYTES);
      segment = { ino, number, extents, isDirty: false };
      this.#evict();
    } else {
      this.#cache.delete(key);
    }
    this.#cache.set(key, segment);
    return segment;
  }

  #evict(): void {
    if (this.#cache.size < CACHED_SEGMENTS_MAX) return;
    for (const [key, segment] of this.#cache) {
      if (segment.isDirty) this.#write(segment);
      this.#cache.delete(key);
      return;
    }
  }

  #markDirty(segment: Segment): void {
    if (segment.isDirty) return;
    segment.isDirty = true;
    this.#dirtyCount += 1;
    const ofFile = this.#dirty.get(segment.ino);
    if (ofFile === undefined) this.#dirty.set(segment.ino, new Set([segment]));
    else ofFile.add(segment);
  }

  #write(segment: Segment): void {
    if (segment.isDirty) this.#dirtyCount -= 1;
    segment.isDirty = false;
    const ofFile = this.#dirty.get(segment.ino);
    ofFile?.delete(segment);
    if (ofFile?.size === 0) this.#dirty.delete(segment.ino);
    if (segment.extents.length === 0) {
      this.#delete.run(segment.ino, segment.number);
    } else {
      const map = encodeExtents(segment.extents, segment.number * SEGMENT_BYTES);
      this.#put.run(segment.ino, segment.number, map);
    }
  }

  /** Brings the rows of one file up to date, so that a query sees them. */
  #flushFile(ino: InodeNumber): void {
    for (const segment of this.#dirty.get(ino) ?? []) this.#write(segment);
  }

  /** Segments with changes that are not written yet. */
  get dirtyCount(): number {
    return this.#dirtyCount;
  }

  /** Writes the changed segments to the batch. */
  flush(): void {
    // In the order of the table: new rows then fill its pages to the brim.
    for (const ino of [...this.#dirty.keys()].sort((left, right) => left - right)) {
      this.#flushFile(ino);
    }
  }
}

function segmentOf(offset: number): number {
  return Math.floor(offset / SEGMENT_BYTES);
}
