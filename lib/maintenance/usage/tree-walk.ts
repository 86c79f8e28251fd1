// Which inodes a set of paths holds. Directories that are still to be listed are a set of bits, too, so
// memory grows with nothing but a bit or two for each inode number, however wide or deep the tree.

import type Database from 'better-sqlite3';
import { FileType } from '../../metastore/inodes.ts';
import { InodeSet } from './inode-set.ts';
import type { Slices } from './slices.ts';
import type { Target } from './targets.ts';

const NAMES_PER_STEP = 512;
const DIRECTORY = FileType.DIRECTORY >> 12;

export type Name = [cookie: number, ino: number, type: number];

export interface Tree {
  readonly directories: InodeSet;
  /** Everything else that has a name in the set. */
  readonly others: InodeSet;
  /** Names of others that were given one by one, in directories outside of the set. */
  readonly single: readonly Target[];
}

export class TreeWalk {
  readonly #list: Database.Statement;
  readonly #slices: Slices;

  constructor(connection: Database.Database, slices: Slices) {
    this.#slices = slices;
    this.#list = connection
      .prepare(
        'SELECT cookie, ino, type FROM dentry WHERE parent = ? AND cookie > ? ORDER BY cookie LIMIT ?',
      )
      .raw();
  }

  /** @param onFound told how many inodes there are so far */
  async collect(targets: readonly Target[], onFound: (count: number) => void): Promise<Tree> {
    const directories = new InodeSet();
    const others = new InodeSet();
    const waiting = new InodeSet();
    const add = (ino: number, isDirectory: boolean): void => {
      if (!isDirectory) others.add(ino);
      else if (directories.add(ino)) waiting.add(ino);
    };
    for (const { ino, isDirectory } of targets) add(ino, isDirectory);
    // Round and round in the order of their numbers, in which most trees were made.
    for (let from = 0; waiting.count > 0;) {
      const directory = waiting.next(from) ?? waiting.next(0) ?? 0;
      waiting.delete(directory);
      from = directory;
      for await (const page of this.names(directory)) {
        for (const [, ino, type] of page) add(ino, type === DIRECTORY);
        onFound(directories.count + others.count);
      }
    }
    return { directories, others, single: singleNames(targets, directories) };
  }

  /** Names in a directory, a page at a time. */
  async *names(directory: number): AsyncGenerator<Name[]> {
    let cookie = -1;
    for (;;) {
      const page = this.#list.all(directory, cookie, NAMES_PER_STEP) as Name[];
      const last = page.at(-1);
      if (last !== undefined) yield page;
      await this.#slices.rest();
      if (last === undefined || page.length < NAMES_PER_STEP) return;
      [cookie] = last;
    }
  }
}

/** Those that the directories of the set do not list; each once. */
function singleNames(targets: readonly Target[], directories: InodeSet): Target[] {
  const known = new Map<string, Target>();
  for (const target of targets) {
    if (target.isDirectory || directories.has(target.parent)) continue;
    known.set(target.path, target);
  }
  return [...known.values()];
}
