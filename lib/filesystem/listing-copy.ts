// The kernel's copy of a listing, by what was given out for it: how far it goes, and where its pages end.
// A copy is in memory only, laid out by fs/fuse/readdir.c (fuse_add_dirent_to_cache): entries one after
// the other, none across a page's end. All listings of one era have the same entries in the same order,
// so it does not matter which of its readers the kernel copies which part from.

/** Of Linux, on the processors that Node runs on; which one does not matter here. */
const PAGE_SIZES = [4096, 16_384, 65_536];

/** fuse_dirent before the name. */
const DIRENT_BYTES = 24;

export class ListingCopy {
  /** The cookie it goes to. */
  #cookie = 0;
  /** Its bytes, for each size of a page. */
  readonly #bytes = PAGE_SIZES.map(() => 0);

  /** An entry was given out that follows the position `from`. */
  note(from: number, cookie: number, nameBytes: number): void {
    if (from !== this.#cookie) return;
    this.#cookie = cookie;
    const bytes = (DIRENT_BYTES + nameBytes + 7) & ~7;
    for (const [index, pageBytes] of PAGE_SIZES.entries()) {
      const end = this.#bytes[index] ?? 0;
      const left = pageBytes - (end % pageBytes);
      this.#bytes[index] = end + bytes + (left < bytes ? left : 0);
    }
  }

  /** Whether a copy that is complete here ends amid a page. */
  isSafeAt(cookie: number): boolean {
    if (cookie !== this.#cookie) return false;
    return PAGE_SIZES.every((pageBytes, index) => (this.#bytes[index] ?? 0) % pageBytes !== 0);
  }
}
