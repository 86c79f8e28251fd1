// Blocks for what SQLite is about to write, held ready before it writes: the WAL ahead of its end,
// and the main file before a checkpoint makes it longer. SQLite gives up the whole batch when it
// meets a full disk, at COMMIT or, when its cache is full, in the middle of a batch.

import { closeSync, fstatSync, openSync } from 'node:fs';
import type { HostRoom } from '../host-room.ts';
import { native } from '../native.ts';

/** In the WAL a page has a header of its own. */
const FRAME_HEADER_BYTES = 24;
const WAL_HEADER_BYTES = 32;
/** A row that changes touches a page of its table and one of an index. */
const PAGES_PER_ROW = 2;
/** Pages that a small batch may touch: counters, and those above the rows' own. */
const BATCH_PAGES_MIN = 64;
/** Rows that may change between two looks at what the batch needs, 2 MiB or 256 KiB of the WAL. */
const ROWS_AHEAD = { roomy: 128, short: 16 } as const;
/** Each commit writes the counters, also that of a batch which has changed no row. */
const NOT_EVEN_COUNTERS = -1;

/** Rows that are held in memory and written by the next commit. */
export interface WaitingRows {
  readonly count: number;
  /** Upper bound of their sizes, with those of their index entries. */
  readonly bytes: number;
}

export interface WalRoomOptions {
  readonly pageBytes: number;
  /** Dirty pages that SQLite may hold back from the WAL. */
  readonly cachedPagesMax: number;
  /** Pages of the database now, those of the batch included. */
  pageCount(): number;
}

export class WalRoom {
  /** Of the WAL; for fdatasync. */
  readonly walDescriptor: number;
  /** Of the main file. Never closed before SQLite closes the file: that would drop SQLite's locks. */
  readonly mainDescriptor: number;
  readonly #options: WalRoomOptions;
  /** The WAL has blocks up to here. */
  #securedEnd = 0;
  /** Upper bound of the rows that the batch has changed, larger ones counted by their pages. */
  #batchRows = 0;
  /** End of the WAL when the batch began. */
  #batchStart = 0;
  /** With so many rows changed, the WAL's blocks are still enough. */
  #securedRows = NOT_EVEN_COUNTERS;

  constructor(path: string, options: WalRoomOptions) {
    this.#options = options;
    this.mainDescriptor = openSync(path, 'r+');
    this.walDescriptor = openSync(`${path}-wal`, 'r+');
    this.noteBatchBegun();
  }

  get walBytes(): number {
    return fstatSync(this.walDescriptor).size;
  }

  get mainBytes(): number {
    return fstatSync(this.mainDescriptor).size;
  }

  noteBatchBegun(): void {
    this.#batchRows = 0;
    this.#securedRows = NOT_EVEN_COUNTERS;
    this.#batchStart = this.walBytes;
  }

  /** A statement of the batch changes a row with these values. */
  noteRow(values: readonly unknown[]): void {
    this.#batchRows += 1;
    for (const value of values) {
      if (!(value instanceof Uint8Array)) continue;
      this.#batchRows += Math.floor(value.length / this.#options.pageBytes);
    }
  }

  /**
   * Holds blocks ready for everything that this batch can write to the WAL.
   * @throws NoSpaceError  the batch must not grow; it may be committed once this succeeds
   */
  secureBatch(waiting: WaitingRows, room: HostRoom): void {
    const rows = this.#batchRows + waiting.count;
    if (rows <= this.#securedRows) return;
    const ahead = rows + (room.isRoomy ? ROWS_AHEAD.roomy : ROWS_AHEAD.short);
    const { pageBytes, cachedPagesMax } = this.#options;
    // Each page goes to the WAL once for each batch, so there cannot be more than the file will have.
    const pageCount = this.#options.pageCount();
    const newPages = Math.ceil((2 * waiting.bytes) / pageBytes);
    const pages = BATCH_PAGES_MIN + Math.min(PAGES_PER_ROW * ahead, pageCount + newPages);
    // What is not there yet is in SQLite's cache, or will be written by the commit.
    const unwritten = BATCH_PAGES_MIN + cachedPagesMax + PAGES_PER_ROW * waiting.count;
    const byRows = this.#endOf(this.#batchStart, pages);
    const byCache = this.#endOf(this.walBytes, unwritten);
    this.#secureWal(Math.min(byRows, byCache), room);
    this.#securedRows = ahead;
  }

  /** Where so many pages end that are written from an offset of the WAL on. */
  #endOf(offset: number, pages: number): number {
    const frameBytes = this.#options.pageBytes + FRAME_HEADER_BYTES;
    return Math.max(offset, WAL_HEADER_BYTES) + pages * frameBytes;
  }

  #secureWal(end: number, room: HostRoom): void {
    const from = Math.max(this.#securedEnd, this.walBytes);
    const bytes = end - from;
    if (bytes <= 0) return;
    room.secure(bytes, () => native.allocate(this.walDescriptor, from, bytes, true));
    this.#securedEnd = end;
  }

  /** Gives the main file the blocks that the next checkpoint writes. @throws NoSpaceError */
  secureMain(room: HostRoom): void {
    const bytes = this.growthBytes;
    if (bytes === 0) return;
    const from = this.mainBytes;
    room.secure(bytes, () => native.allocate(this.mainDescriptor, from, bytes, true));
  }

  /** Bytes by which the next checkpoint makes the main file longer. */
  get growthBytes(): number {
    const bytes = this.#options.pageCount() * this.#options.pageBytes;
    return Math.max(0, bytes - this.mainBytes);
  }

  /** The WAL was cut off: the blocks behind its end are gone. */
  noteTruncated(): void {
    this.#securedEnd = 0;
  }

  /** After SQLite has closed the file. */
  close(): void {
    closeSync(this.walDescriptor);
    closeSync(this.mainDescriptor);
  }
}
