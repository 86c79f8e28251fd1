// Which page of a checkpoint lies where: one entry for each page, 512 pages to a map. Maps are stored
// like pages, so one in which nothing changed is named again and not written. A checkpoint holds one
// map in memory at a time; of the others only their places are kept, 24 bytes for 4 MiB of pages.
//
//   offset  bytes  field
//        0     16  fingerprint: first half of the BLAKE3 of the page
//       16      4  pack                                             u32 little endian
//       20      2  position in the pack                             u16
//       22      2  stored bytes: the page's share of its frame      u16

import { CorruptionError } from '../errors.ts';

export const PAGES_PER_MAP = 512;
export const MAP_ENTRY_BYTES = 24;
/** Bytes of a fingerprint that a checkpoint compares by. */
export const PAGE_FINGERPRINT_BYTES = 16;

/** Where a page or a map lies, and what it must be. */
export interface StoredPage {
  /** 16 bytes. */
  readonly fingerprint: Buffer;
  readonly packId: number;
  readonly index: number;
}

export class PageMap {
  readonly bytes: Buffer;

  private constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  static empty(pages: number): PageMap {
    return new PageMap(Buffer.alloc(pages * MAP_ENTRY_BYTES));
  }

  /** @param bytes kept as a view  @throws CorruptionError  not a map of so many pages */
  static parse(bytes: Buffer, pages: number): PageMap {
    const expected = pages * MAP_ENTRY_BYTES;
    if (bytes.length === expected) return new PageMap(bytes);
    throw new CorruptionError(`a page map has ${bytes.length} bytes, expected ${expected}`);
  }

  get pages(): number {
    return this.bytes.length / MAP_ENTRY_BYTES;
  }

  page(index: number): StoredPage {
    const at = index * MAP_ENTRY_BYTES;
    return {
      fingerprint: this.bytes.subarray(at, at + PAGE_FINGERPRINT_BYTES),
      packId: this.bytes.readUInt32LE(at + 16),
      index: this.bytes.readUInt16LE(at + 20),
    };
  }

  storedBytes(index: number): number {
    return this.bytes.readUInt16LE(index * MAP_ENTRY_BYTES + 22);
  }

  set(index: number, page: StoredPage, storedBytes: number): void {
    const at = index * MAP_ENTRY_BYTES;
    page.fingerprint.copy(this.bytes, at, 0, PAGE_FINGERPRINT_BYTES);
    this.bytes.writeUInt32LE(page.packId, at + 16);
    this.bytes.writeUInt16LE(page.index, at + 20);
    this.bytes.writeUInt16LE(storedBytes, at + 22);
  }

  /** Takes over an entry of the map before it. */
  copyFrom(other: PageMap, index: number): void {
    const at = index * MAP_ENTRY_BYTES;
    other.bytes.copy(this.bytes, at, at, at + MAP_ENTRY_BYTES);
  }
}

/** Pages that the map of this number covers. */
export function pagesOfMap(map: number, pages: number): number {
  return Math.min(PAGES_PER_MAP, pages - map * PAGES_PER_MAP);
}

export function mapCount(pages: number): number {
  return Math.ceil(pages / PAGES_PER_MAP);
}
