// A set of inode numbers, one bit for each: 10 million inodes take 1.3 MB. Numbers are never reused, so
// only the stretches that have members take memory.

/** Numbers of one page: 4 KiB. */
const PAGE_INODES = 32 * 1024;
const WORD_BITS = 32;
const FULL_WORD = 0xffffffff;

export interface InodeRun {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
}

export class InodeSet {
  readonly #pages = new Map<number, Uint32Array>();
  /** Their numbers, ascending. */
  readonly #order: number[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  has(ino: number): boolean {
    const page = this.#pages.get(Math.floor(ino / PAGE_INODES));
    if (page === undefined) return false;
    const bit = ino % PAGE_INODES;
    return ((wordAt(page, bit >>> 5) >>> (bit & 31)) & 1) === 1;
  }

  /** Returns whether it is new. */
  add(ino: number): boolean {
    const page = this.#page(Math.floor(ino / PAGE_INODES));
    const bit = ino % PAGE_INODES;
    const word = wordAt(page, bit >>> 5);
    const wanted = (word | (1 << (bit & 31))) >>> 0;
    if (wanted === word) return false;
    page[bit >>> 5] = wanted;
    this.#count += 1;
    return true;
  }

  delete(ino: number): void {
    if (!this.has(ino)) return;
    const bit = ino % PAGE_INODES;
    const page = this.#page(Math.floor(ino / PAGE_INODES));
    page[bit >>> 5] = (wordAt(page, bit >>> 5) & ~(1 << (bit & 31))) >>> 0;
    this.#count -= 1;
  }

  /** The smallest member that is at least `from`. */
  next(from: number): number | undefined {
    let start = Math.max(0, from);
    for (let at = this.#indexOf(Math.floor(start / PAGE_INODES)); ; at += 1) {
      const number = this.#order[at];
      const page = number === undefined ? undefined : this.#pages.get(number);
      if (number === undefined || page === undefined) return undefined;
      start = Math.max(start, number * PAGE_INODES);
      const bit = nextBit(page, start % PAGE_INODES);
      if (bit !== undefined) return number * PAGE_INODES + bit;
      start = (number + 1) * PAGE_INODES;
    }
  }

  /** Neighbours that are all members, from the smallest that is at least `from`: at most a page of them. */
  run(from: number): InodeRun | undefined {
    const first = this.next(from);
    if (first === undefined) return undefined;
    const page = this.#page(Math.floor(first / PAGE_INODES));
    const last = lastOfRun(page, first % PAGE_INODES);
    return { first, last: first - (first % PAGE_INODES) + last };
  }

  *runs(): Generator<InodeRun> {
    for (let from = 0; ;) {
      const run = this.run(from);
      if (run === undefined) return;
      yield run;
      from = run.last + 1;
    }
  }

  *members(): Generator<number> {
    for (const { first, last } of this.runs()) {
      for (let ino = first; ino <= last; ino += 1) yield ino;
    }
  }

  #page(number: number): Uint32Array {
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Uint32Array(PAGE_INODES / WORD_BITS);
      this.#pages.set(number, page);
      this.#order.splice(this.#indexOf(number), 0, number);
    }
    return page;
  }

  /** Index of the first page with at least this number. */
  #indexOf(number: number): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#order[middle] ?? 0) < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function wordAt(page: Uint32Array, index: number): number {
  return page[index] ?? 0;
}

function nextBit(page: Uint32Array, from: number): number | undefined {
  let index = from >>> 5;
  let word = (wordAt(page, index) & (FULL_WORD << (from & 31))) >>> 0;
  while (word === 0) {
    index += 1;
    if (index >= page.length) return undefined;
    word = wordAt(page, index);
  }
  return index * WORD_BITS + 31 - Math.clz32(word & -word);
}

function lastOfRun(page: Uint32Array, first: number): number {
  let bit = first;
  while (bit + 1 < PAGE_INODES) {
    const next = bit + 1;
    const word = wordAt(page, next >>> 5);
    if ((next & 31) === 0 && word === FULL_WORD) bit += WORD_BITS;
    else if (((word >>> (next & 31)) & 1) === 1) bit = next;
    else return bit;
  }
  return bit;
}
