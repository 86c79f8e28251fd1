// Finds packs in an arena's file without LMDB: by pread through the tree that LMDB wrote. What lies under
// a damaged page cannot be found; everything else can. Packs that LMDB commits meanwhile are seen: the
// metas are read anew for each look, which costs about 1 % of reading a pack.

import { CorruptionError } from '../errors.ts';
import { ArenaPages } from './arena-pages.ts';
import type { Meta, NodePage, Value } from './lmdb-page.ts';

/** LMDB's own bound on the depth of a tree: what is deeper goes in a circle. */
export const DEPTH_MAX = 32;
/** Tree pages kept, of about 100 nodes each: those of a 1 GiB arena of full packs are 25. */
const PAGES_MAX = 32;

export class ArenaReader {
  readonly #pages: ArenaPages;
  /** Pages of the commit they were read in, the least recently used first. */
  readonly #known = new Map<number, NodePage>();
  #transaction = 0;

  /** @throws CorruptionError  there is no such file */
  constructor(path: string) {
    this.#pages = new ArenaPages(path);
  }

  /**
   * The pack's bytes, in `memory` if that is large enough or else in memory of their own. They are what
   * the file has: whether they are the pack is for `Pack` to see.
   * @throws CorruptionError  no such pack, or it cannot be read
   */
  get(packId: number, memory?: Buffer): Buffer {
    const value = this.#find(packId);
    if (value === undefined) {
      throw new CorruptionError(`pack ${packId} is missing from arena ${this.#pages.path}`);
    }
    const fits = memory !== undefined && memory.length >= value.bytes;
    const into = fits ? memory.subarray(0, value.bytes) : this.#allocate(value);
    this.#pages.read(into, value.offset);
    return into;
  }

  /** Fills `into` with the pack's bytes from `offset` on. @throws CorruptionError  as `get` */
  getPart(packId: number, offset: number, into: Buffer): void {
    const value = this.#find(packId);
    if (value === undefined || offset + into.length > value.bytes) {
      throw new CorruptionError(`pack ${packId} of arena ${this.#pages.path} is missing or short`);
    }
    this.#pages.read(into, value.offset + offset);
  }

  /** Never more than the file has, whatever a damaged length says. */
  #allocate(value: Value): Buffer {
    const { fileBytes, path } = this.#pages;
    if (value.offset + value.bytes > fileBytes) {
      throw new CorruptionError(`${path} ends at ${fileBytes}, inside of the pack`);
    }
    return Buffer.allocUnsafeSlow(value.bytes);
  }

  /** Ids of the packs from `first` on, in order. @throws CorruptionError  at a damaged page */
  *packIds(first = 0): Generator<number> {
    let from: number | undefined = first;
    while (from !== undefined) {
      const start: number = from;
      const found = this.#whileUnchanged((meta) => this.#leaf(meta, start));
      const end = found?.end ?? Infinity;
      yield* (found?.leaf.keys ?? []).filter((key) => key >= start && key < end);
      from = found?.end;
    }
  }

  /** @throws CorruptionError  LMDB would free other pages than the pack's */
  checkRemovable(packId: number): void {
    const value = this.#find(packId);
    if (value !== undefined) this.#pages.checkOverflow(this.#newestMeta(), value);
  }

  #find(packId: number): Value | undefined {
    return this.#whileUnchanged((meta) => {
      const leaf = this.#leaf(meta, packId)?.leaf;
      const index = leaf === undefined ? -1 : lastNotAbove(leaf.keys, packId);
      return leaf?.keys[index] === packId ? leaf.values[index] : undefined;
    });
  }

  /** LMDB may commit, and use pages again, while a look is under way: then it is taken once more. */
  #whileUnchanged<T>(look: (meta: Meta) => T | undefined): T | undefined {
    for (;;) {
      const meta = this.#newestMeta();
      const isLatest = (): boolean => this.#newestMeta().transaction === meta.transaction;
      try {
        const found = look(meta);
        if (found !== undefined || isLatest()) return found;
      } catch (error) {
        if (!(error instanceof CorruptionError) || isLatest()) throw error;
      }
    }
  }

  #newestMeta(): Meta {
    const meta = this.#pages.newestMeta();
    if (meta.transaction !== this.#transaction) this.#known.clear();
    this.#transaction = meta.transaction;
    return meta;
  }

  /** The leaf that a key belongs to, and the first key that belongs to the one after it. */
  #leaf(meta: Meta, key: number): { leaf: NodePage; end: number | undefined } | undefined {
    let number = meta.main.root;
    if (number === undefined) return undefined;
    let end: number | undefined;
    for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
      const page = this.#page(meta, number);
      if (page.isLeaf) return { leaf: page, end };
      const index = lastNotAbove(page.keys, key);
      end = page.keys[index + 1] ?? end;
      number = page.children[index] ?? 0;
    }
    throw new CorruptionError(`the tree of ${this.#pages.path} goes in a circle`);
  }

  #page(meta: Meta, number: number): NodePage {
    const page = this.#known.get(number) ?? this.#pages.nodePage(meta, number, 'packs');
    this.#known.delete(number);
    this.#known.set(number, page);
    for (const [oldest] of this.#known) {
      if (this.#known.size <= PAGES_MAX) break;
      this.#known.delete(oldest);
    }
    return page;
  }

  close(): void {
    this.#pages.close();
  }
}

/** Index of the last key that is not above `key`; -1 when all are. */
function lastNotAbove(keys: readonly number[], key: number): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? Infinity) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
