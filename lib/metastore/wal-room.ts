// Blocks for what SQLite is about to write, held ready before it writes: the WAL ahead of its end,
// and the main file before a checkpoint makes it longer. SQLite gives up the whole batch when it
// meets a full disk, at COMMIT or, when its cache is full, in the middle of a batch.

import { closeSync, fstatSync, openSync } from 'node:fs';
import type { HostRoom } from '../host-room.ts';
import { native } from '../native.ts';

/** In the WAL a page has a header of its own. */
const FRAME_HEADER_BYTES = 24;
const WAL_HEADER_BYTES = 32;

export class WalRoom {
  readonly #walDescriptor: number;
  /** Never closed before SQLite closes the file: that would drop SQLite's locks on it. */
  readonly #mainDescriptor: number;
  readonly #pageBytes: number;
  /** The WAL has blocks up to here. */
  #securedEnd = 0;

  constructor(path: string, pageBytes: number) {
    this.#pageBytes = pageBytes;
    this.#mainDescriptor = openSync(path, 'r+');
    this.#walDescriptor = openSync(`${path}-wal`, 'r+');
  }

  get walDescriptor(): number {
    return this.#walDescriptor;
  }

  get walBytes(): number {
    return fstatSync(this.#walDescriptor).size;
  }

  get mainBytes(): number {
    return fstatSync(this.#mainDescriptor).size;
  }

  /** Where so many pages end that are written from an offset of the WAL on. */
  endOf(offset: number, pages: number): number {
    return Math.max(offset, WAL_HEADER_BYTES) + pages * (this.#pageBytes + FRAME_HEADER_BYTES);
  }

  /** Holds blocks for so many pages behind an offset of the WAL. @throws NoSpaceError */
  secureWal(offset: number, pages: number, room: HostRoom): void {
    const end = this.endOf(offset, pages);
    const from = Math.max(this.#securedEnd, this.walBytes);
    if (end <= from) return;
    room.secure(end - from, () => native.allocate(this.#walDescriptor, from, end - from, true));
    this.#securedEnd = end;
  }

  /** Gives the main file the blocks of so many pages. @throws NoSpaceError */
  secureMain(pages: number, room: HostRoom): void {
    const from = this.mainBytes;
    const bytes = pages * this.#pageBytes - from;
    if (bytes <= 0) return;
    room.secure(bytes, () => native.allocate(this.#mainDescriptor, from, bytes, true));
  }

  /** The WAL was cut off: the blocks behind its end are gone. */
  noteTruncated(): void {
    this.#securedEnd = 0;
  }

  /** After SQLite has closed the file. */
  close(): void {
    closeSync(this.#walDescriptor);
    closeSync(this.#mainDescriptor);
  }
}
