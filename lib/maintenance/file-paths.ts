// From inodes to their paths. Names lead to inodes only, so all of them are walked, in slices.

import { setImmediate } from 'node:timers/promises';
import type { Metastore } from '../metastore/metastore.ts';
import { printable } from '../printable.ts';
import { pages } from './checks/paging.ts';

/** Names told of one inode: hard links. */
const NAMES_MAX = 10;
/** Paths of directories remembered. */
const DIRECTORIES_MAX = 4096;
/** Deeper trees do not exist: a chain this long is a loop, which fsck reports. */
const DEPTH_MAX = 4096;
const ROOT = 1;

export interface InodePaths {
  /** Sorted; from the root of the mount, beginning with '/'. */
  readonly names: readonly string[];
  readonly omitted: number;
}

/** Paths of inodes; those without a name are left out. */
export async function findPaths(
  metastore: Metastore,
  inos: ReadonlySet<number>,
): Promise<Map<number, InodePaths>> {
  const found = new Map<number, { names: string[]; omitted: number }>();
  if (inos.size === 0) return found;
  const directories = new DirectoryPaths(metastore);
  const { connection } = metastore.database;
  const rows = pages<[parent: number, cookie: number, name: Buffer, ino: number]>(
    { connection, progress: () => undefined, turn: async () => setImmediate() },
    {
      sql: `SELECT parent, cookie, name, ino FROM dentry WHERE (parent, cookie) > (?, ?)
            ORDER BY parent, cookie LIMIT ?`,
      start: [0, 0],
      keyOf: ([parent, cookie]) => [parent, cookie],
      total: metastore.counters.nextIno,
    },
  );
  for await (const page of rows) {
    for (const [parent, , name, ino] of page) {
      if (!inos.has(ino)) continue;
      const paths = found.get(ino) ?? { names: [], omitted: 0 };
      found.set(ino, paths);
      if (paths.names.length >= NAMES_MAX) paths.omitted += 1;
      else paths.names.push(`${directories.of(parent)}/${printable(name)}`);
    }
  }
  for (const { names } of found.values()) names.sort();
  return found;
}

class DirectoryPaths {
  readonly #metastore: Metastore;
  readonly #nameOf;
  readonly #known = new Map<number, string>();

  constructor(metastore: Metastore) {
    this.#metastore = metastore;
    this.#nameOf = metastore.database.connection
      .prepare('SELECT name FROM dentry WHERE parent = ? AND ino = ? LIMIT 1')
      .pluck();
  }

  /** Without a slash at its end: '' for the root. */
  of(ino: number, depth = 0): string {
    if (ino === ROOT) return '';
    const known = this.#known.get(ino);
    if (known !== undefined) return known;
    const parent = this.#metastore.inodes.get(ino)?.parent ?? 0;
    const name = this.#nameOf.get(parent, ino) as Buffer | undefined;
    // A directory that nothing names, or a loop: fsck's business.
    if (name === undefined || depth > DEPTH_MAX) return `(inode ${ino})`;
    const path = `${this.of(parent, depth + 1)}/${printable(name)}`;
    if (this.#known.size >= DIRECTORIES_MAX) this.#known.clear();
    this.#known.set(ino, path);
    return path;
  }
}
