// How often the kernel was told of each inode: until it has taken all of that back, it may come with
// the number. An inode without names must live as long (orphans.ts). One entry for each inode in the
// kernel's cache, which is far larger than the entry; so the kernel's memory bounds ours.

import type { InodeNumber } from '../metastore/inodes.ts';

export class LookupCounts {
  readonly #counts = new Map<InodeNumber, number>();

  note(ino: InodeNumber): void {
    this.#counts.set(ino, (this.#counts.get(ino) ?? 0) + 1);
  }

  /** Takes `count` back. @returns whether the kernel no longer knows the inode */
  forget(ino: InodeNumber, count: number): boolean {
    const rest = (this.#counts.get(ino) ?? 0) - count;
    if (rest > 0) {
      this.#counts.set(ino, rest);
      return false;
    }
    this.#counts.delete(ino);
    return true;
  }
}
