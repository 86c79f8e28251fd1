// Looks at everything in an arena's file that LMDB would follow: metas, the tree of packs, the tree of
// free pages. LMDB checks none of it, and one wrong number there ends or hangs the process, or makes
// a write go over pages that are in use. A 1 GiB arena has some 30 such pages.

import { CorruptionError } from '../errors.ts';
import { ArenaPages } from './arena-pages.ts';
import { DEPTH_MAX } from './arena-reader.ts';
import { hasOurFlags, isPage, readU64, type Meta, type NodePage } from './lmdb-page.ts';
import type { Tree, Value } from './lmdb-page.ts';

/** Free page numbers read at a time. */
const FREE_SLICE_BYTES = 64 * 1024;
const U64_BYTES = 8;

/** Last children of each branch page that lead to where the next pack is put. */
const SPINE_CHILDREN = 2;

/** @throws CorruptionError  the first thing that is wrong */
export function checkArenaTree(path: string): void {
  checkTree(path, false);
}

/**
 * Looks at what LMDB follows to put a pack behind all others: the last branch of the tree of packs, and
 * the tree of free pages. What that takes does not grow with the arena.
 * @throws CorruptionError  the first thing that is wrong
 */
export function checkArenaSpine(path: string): void {
  checkTree(path, true);
}

function checkTree(path: string, isSpineOnly: boolean): void {
  const pages = new ArenaPages(path);
  try {
    const meta = soundMeta(pages);
    const check = new TreeCheck(pages, meta, isSpineOnly);
    check.walk(meta.main);
    check.walk(meta.free);
    check.freeLists();
  } finally {
    pages.close();
  }
}

/** The meta that LMDB would take, when both are what two commits in a row leave. */
function soundMeta(pages: ArenaPages): Meta {
  const { path } = pages;
  const [first, second] = pages.metas();
  if (first === undefined && second === undefined) {
    throw new CorruptionError(`${path} is not an LMDB file`);
  }
  if (first === undefined || second === undefined) {
    throw new CorruptionError(`${path} has a damaged meta page ${first === undefined ? 0 : 1}`);
  }
  if (!areSuccessive(first.transaction, second.transaction)) {
    const found = `${first.transaction} and ${second.transaction}`;
    throw new CorruptionError(`the meta pages of ${path} are of transactions ${found}`);
  }
  // Of both: LMDB asks the first one whether the file is encrypted, also when it is the older one.
  if (first.pageBytes !== second.pageBytes || !hasOurFlags(first) || !hasOurFlags(second)) {
    throw new CorruptionError(`a meta page of ${path} is damaged`);
  }
  return second.transaction > first.transaction ? second : first;
}

/** Transactions alternate between the metas; a new file has two of transaction 0. */
function areSuccessive(first: number, second: number): boolean {
  if (first === 0 && second === 0) return true;
  return Math.abs(second - first) === 1 && first % 2 === 0;
}

interface Counts {
  depth: number;
  branchPages: number;
  leafPages: number;
  overflowPages: number;
  entries: number;
}

class TreeCheck {
  readonly #pages: ArenaPages;
  readonly #meta: Meta;
  readonly #fileBytes: number;
  /** A bit for each page of the file: it is in use or free. */
  readonly #taken: Uint8Array;
  readonly #freeLists: Value[] = [];
  readonly #isSpineOnly: boolean;
  #freeBehindFile = 0;

  constructor(pages: ArenaPages, meta: Meta, isSpineOnly: boolean) {
    this.#isSpineOnly = isSpineOnly;
    this.#pages = pages;
    this.#meta = meta;
    this.#fileBytes = pages.fileBytes;
    this.#taken = new Uint8Array(Math.ceil(this.#filePages / 8));
  }

  /** The last pages of a file can be absent: those that are free. */
  get #filePages(): number {
    return Math.floor(this.#fileBytes / this.#meta.pageBytes);
  }

  walk(tree: Tree): void {
    const counts = { depth: 0, branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
    if (tree.root !== undefined) {
      if (!isPage(tree.root, 1, this.#meta.lastPage)) this.#fail('a root is out of range');
      this.#use(tree.root, 1);
      this.#visit(tree, tree.root, { low: 0, end: Infinity, depth: 1 }, counts);
    }
    if (this.#isPartial(tree)) return;
    for (const [what, found] of Object.entries(counts)) {
      const expected = tree[what as keyof Counts];
      if (found === expected) continue;
      this.#fail(`its tree of ${tree.name} has ${found} ${what}, its meta page says ${expected}`);
    }
  }

  #isPartial(tree: Tree): boolean {
    return this.#isSpineOnly && tree.name === 'packs';
  }

  #visit(
    tree: Tree,
    number: number,
    range: { readonly low: number; readonly end: number; readonly depth: number },
    counts: Counts,
  ): void {
    if (range.depth > DEPTH_MAX) this.#fail(`its tree of ${tree.name} is too deep`);
    const page = this.#pages.nodePage(this.#meta, number, tree.name);
    const { keys, isLeaf } = page;
    this.#checkRange(number, page, range);
    if (isLeaf) {
      this.#countLeaf(tree, page, range.depth, counts);
      return;
    }
    counts.branchPages += 1;
    if (keys.length < 2 && tree.name === 'packs') this.#fail(`page ${number} has one child`);
    const first = this.#isPartial(tree) ? page.children.length - SPINE_CHILDREN : 0;
    for (const [index, child] of page.children.entries()) {
      if (index < first) continue;
      this.#use(child, 1);
      const low = Math.max(range.low, keys[index] ?? 0);
      const end = keys[index + 1] ?? range.end;
      this.#visit(tree, child, { low, end, depth: range.depth + 1 }, counts);
    }
  }

  #checkRange(number: number, page: NodePage, range: { low: number; end: number }): void {
    const [first, last] = [page.keys[0] ?? 0, page.keys.at(-1) ?? 0];
    // The first key of a branch stands for everything below the second one.
    if (page.isLeaf && first < range.low) this.#fail(`page ${number} has a key too low`);
    if (last >= range.end) this.#fail(`page ${number} has a key too high`);
  }

  #countLeaf(tree: Tree, page: NodePage, depth: number, counts: Counts): void {
    if (counts.leafPages > 0 && counts.depth !== depth) this.#fail('its leaves differ in depth');
    counts.depth = depth;
    counts.leafPages += 1;
    counts.entries += page.keys.length;
    for (const value of page.values) {
      counts.overflowPages += value.pages;
      this.#use(value.firstPage, value.pages);
      if (tree.name === 'free pages') this.#freeLists.push(value);
    }
  }

  /** Notes that pages are in use, which they may be once. */
  #use(first: number, count: number): void {
    const bytes = (first + count) * this.#meta.pageBytes;
    if (bytes > this.#fileBytes) {
      const { path } = this.#pages;
      throw new CorruptionError(`${path} has ${this.#fileBytes} bytes, expected at least ${bytes}`);
    }
    this.#take(first, count);
  }

  #take(first: number, count: number): void {
    const end = Math.min(first + count, this.#filePages);
    for (let page = first; page < end; page += 1) {
      const [bits, bit] = [this.#taken[page >>> 3] ?? 0, 1 << (page & 7)];
      if ((bits & bit) !== 0) this.#fail(`page ${page} is used twice`);
      this.#taken[page >>> 3] = bits | bit;
    }
  }

  /** What LMDB would write over must not be in use, nor be free twice. After both walks. */
  freeLists(): void {
    for (const value of this.#freeLists) this.#checkFreeList(value);
    const pages = this.#filePages + this.#freeBehindFile;
    if (this.#meta.lastPage < pages) return;
    this.#fail(`its last page is ${this.#meta.lastPage}, but it has ${pages} pages`);
  }

  /**
   * A free list: u64 count, then so many i64: a page number, or minus the length of a run that the number
   * after it begins, or 0 for none.
   */
  #checkFreeList(value: Value): void {
    this.#pages.checkOverflow(this.#meta, value); // LMDB frees a list that it has used up
    let run = 1;
    for (const entry of this.#freeEntries(value)) {
      if (entry < 0) {
        run = -entry;
      } else if (entry > 0) {
        this.#checkFree(entry, run);
        run = 1;
      }
    }
    if (run !== 1) this.#fail('a free list ends within a run');
  }

  #checkFree(first: number, count: number): void {
    if (!isPage(first, count, this.#meta.lastPage))
      this.#fail(`free page ${first} is out of range`);
    this.#take(first, count);
    this.#freeBehindFile += Math.max(0, first + count - Math.max(first, this.#filePages));
  }

  *#freeEntries({ offset, bytes }: Value): Generator<number> {
    const slice = Buffer.allocUnsafe(Math.min(FREE_SLICE_BYTES, Math.max(bytes, U64_BYTES)));
    if (bytes < U64_BYTES) this.#fail('a free list is too short');
    this.#pages.read(slice.subarray(0, U64_BYTES), offset);
    const end = U64_BYTES + readU64(slice, 0) * U64_BYTES;
    if (end > bytes) this.#fail('a free list is longer than its value');
    for (let at = U64_BYTES; at < end; at += slice.length) {
      const part = slice.subarray(0, Math.min(slice.length, end - at));
      this.#pages.read(part, offset + at);
      for (let entry = 0; entry < part.length; entry += U64_BYTES) yield readI64(part, entry);
    }
  }

  #fail(what: string): never {
    throw new CorruptionError(`${this.#pages.path} is damaged: ${what}`);
  }
}

function readI64(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset) + bytes.readInt32LE(offset + 4) * 0x1_0000_0000;
}
