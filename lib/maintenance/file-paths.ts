// From inodes to their paths. Names lead to inodes only, so all of them are walked, in slices.

import { isUtf8 } from 'node:buffer';
import type { Metastore } from '../metastore/metastore.ts';
import { pages } from './checks/paging.ts';
import { Slices } from './usage/slices.ts';

/** Names told of one inode: hard links. */
const NAMES_MAX = 10;
/** Of all names held together; those behind are counted only. */
const NAME_BYTES_MAX = 32 * 1024 * 1024;
/** Paths of directories remembered, and their length together. */
const DIRECTORIES_MAX = 4096;
const DIRECTORY_BYTES_MAX = 4 * 1024 * 1024;
/** Deeper trees do not exist: a chain this long is a loop, which fsck reports. */
const DEPTH_MAX = 4096;
/** Names looked at in one step for that of a directory. */
const NAMES_PER_STEP = 4096;
const ROOT = 1;

export interface InodePaths {
  /** Sorted; from the root of the mount, beginning with '/'. */
  readonly names: readonly string[];
  readonly omitted: number;
}

export interface PathsWanted {
  /** Names below this directory only; others are counted as omitted. Default: all. */
  readonly within?: number;
  /** Names told of one inode, the first ones. */
  readonly namesMax?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Paths of inodes; those without a name are left out. @throws the signal's reason */
export async function findPaths(
  metastore: Metastore,
  inos: ReadonlySet<number>,
  { within = ROOT, namesMax = NAMES_MAX, signal }: PathsWanted = {},
): Promise<Map<number, InodePaths>> {
  const found = new FoundNames(namesMax);
  if (inos.size === 0) return found.ofInode;
  const slices = new Slices(signal);
  const directories = new DirectoryPaths(metastore, slices);
  const isWanted = await directories.below(within);
  for await (const page of namesIn(metastore, slices)) {
    for (const [parent, , name, ino] of page) {
      if (!inos.has(ino)) continue;
      const path = `${await directories.of(parent)}/${printable(name)}`;
      found.add(ino, path, isWanted(path));
      await slices.rest();
    }
  }
  return found.ofInode;
}

/** The first names of each inode, as far as there is room. */
class FoundNames {
  readonly ofInode = new Map<number, { readonly names: string[]; omitted: number }>();
  readonly #namesMax: number;
  #room = NAME_BYTES_MAX;

  constructor(namesMax: number) {
    this.#namesMax = namesMax;
  }

  add(ino: number, path: string, isWanted: boolean): void {
    let paths = this.ofInode.get(ino);
    if (paths === undefined) this.ofInode.set(ino, (paths = { names: [], omitted: 0 }));
    const { names } = paths;
    const isKept = isWanted && this.#room >= 0;
    if (isKept) {
      names.push(path);
      names.sort();
      this.#room -= path.length;
    }
    if (isKept && names.length <= this.#namesMax) return;
    paths.omitted += 1;
    if (isKept) this.#room += names.pop()?.length ?? 0;
  }
}

function namesIn(metastore: Metastore, slices: Slices) {
  const { connection } = metastore.database;
  return pages<[parent: number, cookie: number, name: Buffer, ino: number]>(
    { connection, progress: () => undefined, turn: async () => slices.rest() },
    {
      sql: `SELECT parent, cookie, name, ino FROM dentry WHERE (parent, cookie) > (?, ?)
            ORDER BY parent, cookie LIMIT ?`,
      start: [0, 0],
      keyOf: ([parent, cookie]) => [parent, cookie],
      total: metastore.counters.nextIno,
    },
  );
}

class DirectoryPaths {
  readonly #metastore: Metastore;
  readonly #slices: Slices;
  readonly #step;
  readonly #known = new Map<number, string>();
  #knownBytes = 0;

  constructor(metastore: Metastore, slices: Slices) {
    this.#metastore = metastore;
    this.#slices = slices;
    // Names are not found by inode: a large directory is looked through in steps.
    this.#step = metastore.database.connection
      .prepare(
        `SELECT max(cookie), max(CASE WHEN ino = ? THEN name END) FROM
           (SELECT cookie, ino, name FROM dentry WHERE parent = ? AND cookie > ? ORDER BY cookie LIMIT ?)`,
      )
      .raw();
  }

  /** Tells whether a path is below a directory. */
  async below(ino: number): Promise<(path: string) => boolean> {
    if (ino === ROOT) return () => true;
    const start = `${await this.of(ino)}/`;
    return (path) => path.startsWith(start);
  }

  /** Without a slash at its end: '' for the root. */
  async of(ino: number, depth = 0): Promise<string> {
    if (ino === ROOT) return '';
    const known = this.#known.get(ino);
    if (known !== undefined) return known;
    const parent = this.#metastore.inodes.get(ino)?.parent ?? 0;
    const name = await this.#nameOf(parent, ino);
    // A directory that nothing names, or a loop: fsck's business.
    if (name === undefined || depth > DEPTH_MAX) return `(inode ${ino})`;
    const path = `${await this.of(parent, depth + 1)}/${printable(name)}`;
    this.#remember(ino, path);
    return path;
  }

  #remember(ino: number, path: string): void {
    const isFull = this.#known.size >= DIRECTORIES_MAX || this.#knownBytes >= DIRECTORY_BYTES_MAX;
    if (isFull) {
      this.#known.clear();
      this.#knownBytes = 0;
    }
    this.#known.set(ino, path);
    this.#knownBytes += path.length;
  }

  async #nameOf(parent: number, ino: number): Promise<Buffer | undefined> {
    let after = Number.MIN_SAFE_INTEGER;
    for (;;) {
      const row = this.#step.get(ino, parent, after, NAMES_PER_STEP);
      const [last, name] = row as [number | null, Buffer | null];
      if (name !== null) return name;
      if (last === null) return undefined;
      after = last;
      await this.#slices.rest();
    }
  }
}

/** The name as text; bytes that a terminal or JSON would not take are written as \xNN. */
export function printable(name: Buffer): string {
  const isText = isUtf8(name) && !name.some((byte) => byte < 0x20 || byte === 0x7f);
  if (isText) return name.toString('utf8');
  let text = '';
  for (const byte of name) {
    const isPlain = byte >= 0x20 && byte < 0x7f;
    text += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}
