// Packs directory entries into the reply of READDIR and READDIRPLUS. A record is padded to 8 bytes
// and is written whole or not at all; an empty reply means the end of the directory, and so does one that
// is too short for a record.

import { encodeEntry, type WireAttributes } from './encode.ts';
import { dirent, direntplus, entryOut } from './reply-structs.ts';
import { getU64, setCookie, setU32, setU64 } from './struct.ts';
import type { MessageBytes } from './request.ts';

export interface WireDirent {
  readonly name: Uint8Array;
  readonly ino: number;
  /** S_IFMT bits >> 12. */
  readonly type: number;
  /** Cookie that continues after this entry, below 2^48. */
  readonly cookie: number;
  /** Below 2^15: cookies of different eras differ, and lead to the same place. */
  readonly era: number;
}

const STUB_BYTES = 8;

export class DirentPacker {
  readonly #buffer: MessageBytes;
  readonly #start: number;
  readonly #limit: number;
  #end: number;
  #stubBytes = 0;

  /** Packs into buffer[start, start + bytesMax). */
  constructor(buffer: MessageBytes, start: number, bytesMax: number) {
    this.#buffer = buffer;
    this.#start = start;
    this.#limit = start + bytesMax;
    this.#end = start;
  }

  get bytes(): number {
    return this.#end + this.#stubBytes - this.#start;
  }

  /** @returns false when the record does not fit; then nothing is written */
  add(entry: WireDirent): boolean {
    const next = this.#end + padded(dirent.bytes + entry.name.length);
    if (next > this.#limit) return false;
    this.#writeDirent(this.#end, entry, next);
    this.#end = next;
    return true;
  }

  /**
   * With attributes the kernel counts one lookup of the inode. Without (`.`, `..`, or unknown) the
   * entry's nodeid is 0 and it counts none.
   */
  addPlus(entry: WireDirent, attributes: WireAttributes | undefined): boolean {
    const next = this.#end + padded(direntplus.bytes + entry.name.length);
    if (next > this.#limit) return false;
    encodeEntry(this.#buffer.view, this.#end + direntplus.at.entry_out, attributes);
    this.#writeDirent(this.#end + direntplus.at.dirent, entry, next);
    this.#end = next;
    return true;
  }

  /**
   * Instead of the first record: the reader is told of the end, but Linux does not take its copy of the
   * listing for complete, which it does after an empty reply (fs/fuse/readdir.c, 4.20 to 6.18).
   */
  addStub(): void {
    this.#buffer.bytes.fill(0, this.#start, this.#start + STUB_BYTES);
    this.#stubBytes = STUB_BYTES;
  }

  /** The inodes that the kernel would count a lookup for, from records packed by `addPlus`. */
  *countedInodes(): Generator<number> {
    const { view } = this.#buffer;
    let at = this.#start;
    while (at < this.#end) {
      const ino = getU64(view, at + direntplus.at.entry_out, entryOut.at.nodeid);
      if (ino !== 0) yield ino;
      const nameBytes = view.getUint32(at + direntplus.at.dirent + dirent.at.namelen, true);
      at += padded(direntplus.bytes + nameBytes);
    }
  }

  #writeDirent(at: number, entry: WireDirent, next: number): void {
    const { bytes, view } = this.#buffer;
    setU64(view, at, dirent.at.ino, entry.ino);
    setCookie(view, at, dirent.at.off, entry);
    setU32(view, at, dirent.at.namelen, entry.name.length);
    setU32(view, at, dirent.at.type, entry.type);
    const name = at + dirent.bytes;
    bytes.set(entry.name, name);
    // The padding goes to the kernel too: no leftovers of earlier replies in it.
    bytes.fill(0, name + entry.name.length, next);
  }
}

function padded(bytes: number): number {
  return (bytes + 7) & ~7;
}
