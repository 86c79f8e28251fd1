// Which files of a set of paths stay when the set is deleted: those with a name outside of it.

import { FileType } from '../../metastore/inodes.ts';
import type { InodeSet } from './inode-set.ts';
import type { Name, Tree, TreeWalk } from './tree-walk.ts';

const DIRECTORY = FileType.DIRECTORY >> 12;
/** Files with several names counted in one walk over the names of the set, at 20 bytes each. */
const LINKED_MAX = 512 * 1024;

/** Files with several names, to be met in the order of their numbers. */
export class LinkedFiles {
  readonly #max: number;
  /** Twice as long each time it is full: most stores have few. */
  #inos = new Float64Array(1024);
  /** Names that were not met in the set yet. */
  #missing = new Float64Array(1024);
  #count = 0;

  constructor(max = LINKED_MAX) {
    this.#max = max;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  get isFull(): boolean {
    return this.#count === this.#max;
  }

  add(ino: number, nlink: number): void {
    if (this.#count === this.#inos.length) {
      this.#inos = grown(this.#inos);
      this.#missing = grown(this.#missing);
    }
    this.#inos[this.#count] = ino;
    this.#missing[this.#count] = nlink;
    this.#count += 1;
  }

  /** Counts the names of the set, and adds those that have others to `staying`. Empty then. */
  async settle(tree: Tree, walk: TreeWalk, staying: InodeSet): Promise<void> {
    for (const { ino } of tree.single) this.#noteName(ino);
    for (const directory of tree.directories.members()) {
      for await (const page of walk.names(directory)) this.#noteNames(page);
    }
    for (let at = 0; at < this.#count; at += 1) {
      if ((this.#missing[at] ?? 0) > 0) staying.add(this.#inos[at] ?? 0);
    }
    this.#count = 0;
  }

  #noteNames(page: readonly Name[]): void {
    for (const [, ino, type] of page) if (type !== DIRECTORY) this.#noteName(ino);
  }

  #noteName(ino: number): void {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#inos[middle] ?? 0) < ino) low = middle + 1;
      else high = middle;
    }
    if (low < this.#count && this.#inos[low] === ino) {
      this.#missing[low] = (this.#missing[low] ?? 0) - 1;
    }
  }
}

function grown(array: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}
