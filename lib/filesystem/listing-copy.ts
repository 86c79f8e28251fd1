// The kernel's copy of the listings of one era, as far as it can be told from what was given out for it:
// how far it goes, and where its pages end. It is laid out by fs/fuse/readdir.c (fuse_add_dirent_to_cache,
// 4.20 to 6.18): entries one after the other, none across a page's end. While the names stay the same, all
// readers are given the same entries in the same order, and it does not matter whose the kernel copies.

/** Of Linux, on the processors that Node runs on. Not asked for: a copy may end with none of them. */
const PAGE_SIZES = [4096, 16_384, 65_536];

/** fuse_dirent before the name. */
const DIRENT_BYTES = 24;

export class ListingCopy {
  /** Of its last entry. */
  #cookie = 0;
  /** Its length, for each size of a page. */
  readonly #bytes = PAGE_SIZES.map(() => 0);
  #isDistrusted = false;
  /** Something was given out twice, and may not have been the same. */
  #isUncertain = false;

  /** What is given out a second time from now on may differ from the first: names change. */
  distrust(): void {
    this.#isDistrusted = true;
  }

  /** An entry was given out that follows the position `from`. */
  note(from: number, cookie: number, nameBytes: number): void {
    if (from !== this.#cookie) {
      this.#isUncertain ||= this.#isDistrusted;
      return;
    }
    this.#cookie = cookie;
    const bytes = (DIRENT_BYTES + nameBytes + 7) & ~7;
    for (const [index, pageBytes] of PAGE_SIZES.entries()) {
      const end = this.#bytes[index] ?? 0;
      const left = pageBytes - (end % pageBytes);
      this.#bytes[index] = end + bytes + (left < bytes ? left : 0);
    }
  }

  /** Whether it may become complete here: it certainly ends amid a page. */
  mayEndAt(cookie: number): boolean {
    if (this.#isUncertain || cookie !== this.#cookie) return false;
    return PAGE_SIZES.every((pageBytes, index) => (this.#bytes[index] ?? 0) % pageBytes !== 0);
  }
}
