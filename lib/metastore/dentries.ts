// Directory entries: (parent, name) -> inode. Written straight to the batch.

import type Database from 'better-sqlite3';
import { assert } from '../assert.ts';
import type { InodeNumber } from './inodes.ts';
import type { StatementSource } from './database.ts';

/** Smaller numbers stand for the start of a directory, '.' and '..'. */
export const COOKIE_MIN = 3;

/**
 * Names whose hash is taken get one of the numbers behind it. With 47 bits a collision is met once
 * in about 10 million names of one directory, so the window never fills but on purpose.
 */
const PROBES_MAX = 16;

export interface Dentry {
  readonly ino: InodeNumber;
  /** S_IFMT bits >> 12. */
  readonly type: number;
}

export type ListedDentry = [name: Buffer, ino: InodeNumber, type: number, cookie: number];

export class DentryTable {
  readonly #find: Database.Statement;
  readonly #taken: Database.Statement;
  readonly #insert: Database.Statement;
  readonly #remove: Database.Statement;
  readonly #any: Database.Statement;
  readonly #list: Database.Statement;

  constructor(connection: StatementSource) {
    const isInWindow = `parent = ? AND cookie >= ? AND cookie < ? + ${PROBES_MAX}`;
    this.#find = connection
      .prepare(`SELECT ino, type, cookie FROM dentry WHERE ${isInWindow} AND name = ?`)
      .raw();
    this.#taken = connection
      .prepare(`SELECT cookie FROM dentry WHERE ${isInWindow} ORDER BY cookie`)
      .pluck();
    this.#insert = connection.prepare(
      'INSERT INTO dentry (parent, cookie, name, ino, type) VALUES (?, ?, ?, ?, ?)',
    );
    this.#remove = connection.prepare('DELETE FROM dentry WHERE parent = ? AND cookie = ?');
    this.#any = connection.prepare('SELECT 1 FROM dentry WHERE parent = ? LIMIT 1').pluck();
    this.#list = connection
      .prepare(
        'SELECT name, ino, type, cookie FROM dentry WHERE parent = ? AND cookie > ? ' +
          'ORDER BY cookie LIMIT ?',
      )
      .raw();
  }

  find(parent: InodeNumber, name: Buffer): Dentry | undefined {
    const row = this.#row(parent, name);
    return row === undefined ? undefined : { ino: row[0], type: row[1] };
  }

  #row(parent: InodeNumber, name: Buffer): [ino: number, type: number, cookie: number] | undefined {
    const hash = nameHash(name);
    return this.#find.get(parent, hash, hash, name) as [number, number, number] | undefined;
  }

  /** Whether a name can be inserted: the numbers for its hash are not all taken. */
  hasRoom(parent: InodeNumber, name: Buffer): boolean {
    const hash = nameHash(name);
    return this.#taken.all(parent, hash, hash).length < PROBES_MAX;
  }

  /** The name must not be there yet, and there must be room. */
  insert(parent: InodeNumber, name: Buffer, ino: InodeNumber, mode: number): void {
    const hash = nameHash(name);
    const taken = this.#taken.all(parent, hash, hash) as number[];
    let cookie = hash;
    while (taken.includes(cookie)) cookie += 1;
    assert(cookie < hash + PROBES_MAX, 'a directory has room for one more name of this hash');
    this.#insert.run(parent, cookie, name, ino, mode >> 12);
  }

  remove(parent: InodeNumber, name: Buffer): void {
    const row = this.#row(parent, name);
    assert(row !== undefined, 'a name that is removed exists');
    this.#remove.run(parent, row[2]);
  }

  isEmpty(parent: InodeNumber): boolean {
    return this.#any.get(parent) === undefined;
  }

  /** Up to `count` entries after `cookie`, in the order of their cookies. */
  list(parent: InodeNumber, cookie: number, count: number): ListedDentry[] {
    return this.#list.all(parent, cookie, count) as ListedDentry[];
  }
}

/**
 * Position of a name in its directory, in [COOKIE_MIN, 2^47 + COOKIE_MIN): two rounds of 32-bit
 * FNV-1a with different starts. Part of the format.
 */
export function nameHash(name: Uint8Array): number {
  let low = 0x811c9dc5;
  let high = 0x9747b28c;
  for (const byte of name) {
    low = Math.imul(low ^ byte, 0x01000193);
    high = Math.imul(high ^ byte, 0x85ebca6b);
  }
  // The last bytes have only reached the lower bits: fold them up.
  high ^= high >>> 15;
  high = Math.imul(high, 0xc2b2ae35);
  return ((high >>> 17) & 0x7fff) * 2 ** 32 + (low >>> 0) + COOKIE_MIN;
}
