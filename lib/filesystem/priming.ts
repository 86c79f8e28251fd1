// Which entries of a listing come with attributes. The kernel then knows them, as after a LOOKUP of
// each: most who list a directory go on to stat, open or remove what is in it, and a listing is one
// request for hundreds. But of a directory that is larger than that, who only lists the names would
// fill the kernel's memory.

import type { Inode, InodeNumber } from '../metastore/inodes.ts';
import type { ListingPart } from './kernel-listings.ts';

/** Entries of an open directory that come with attributes in any case: about 16 MiB of the kernel's. */
const PRIMED_ENTRIES_MAX = 16 * 1024;

export interface OpenDirectory {
  readonly inode: Inode;
  /** Entries given with attributes since the listing began. */
  primed: number;
  /** What that listing is part of; undefined before it has begun. */
  begun: ListingPart | undefined;
}

export class Priming {
  /** Directories listed beyond the bound, with whether something was looked up in them since. */
  readonly #large = new Map<InodeNumber, boolean>();

  /** Whether the next entries of the listing come with attributes. */
  isWanted(directory: OpenDirectory): boolean {
    if (directory.primed < PRIMED_ENTRIES_MAX) return true;
    const { ino } = directory.inode;
    const isSought = this.#large.get(ino) === true;
    this.#large.set(ino, false);
    return isSought;
  }

  /** A name was looked up in a directory, and found. */
  noteLookup(ino: InodeNumber): void {
    if (this.#large.size > 0 && this.#large.has(ino)) this.#large.set(ino, true);
  }

  noteClosed(ino: InodeNumber): void {
    this.#large.delete(ino);
  }
}
