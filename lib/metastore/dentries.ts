// Directory entries: (parent, name) -> inode. Written straight to the batch.

import type Database from 'better-sqlite3';
import type { Counters } from './counters.ts';
import type { InodeNumber } from './inodes.ts';

export interface Dentry {
  readonly ino: InodeNumber;
  /** S_IFMT bits >> 12. */
  readonly type: number;
}

export type ListedDentry = [name: Buffer, ino: InodeNumber, type: number, cookie: number];

export class DentryTable {
  readonly #counters: Counters;
  readonly #find: Database.Statement;
  readonly #insert: Database.Statement;
  readonly #remove: Database.Statement;
  readonly #any: Database.Statement;
  readonly #list: Database.Statement;

  constructor(connection: Database.Database, counters: Counters) {
    this.#counters = counters;
    this.#find = connection
      .prepare('SELECT ino, type FROM dentry WHERE parent = ? AND name = ?')
      .raw();
    this.#insert = connection.prepare(
      'INSERT INTO dentry (parent, name, ino, type, cookie) VALUES (?, ?, ?, ?, ?)',
    );
    this.#remove = connection.prepare('DELETE FROM dentry WHERE parent = ? AND name = ?');
    this.#any = connection.prepare('SELECT 1 FROM dentry WHERE parent = ? LIMIT 1').pluck();
    this.#list = connection
      .prepare(
        'SELECT name, ino, type, cookie FROM dentry WHERE parent = ? AND cookie > ? ' +
          'ORDER BY cookie LIMIT ?',
      )
      .raw();
  }

  find(parent: InodeNumber, name: Buffer): Dentry | undefined {
    const row = this.#find.get(parent, name) as [number, number] | undefined;
    return row === undefined ? undefined : { ino: row[0], type: row[1] };
  }

  insert(parent: InodeNumber, name: Buffer, ino: InodeNumber, mode: number): void {
    this.#insert.run(parent, name, ino, mode >> 12, this.#counters.nextCookie);
    this.#counters.nextCookie += 1;
  }

  remove(parent: InodeNumber, name: Buffer): void {
    this.#remove.run(parent, name);
  }

  isEmpty(parent: InodeNumber): boolean {
    return this.#any.get(parent) === undefined;
  }

  /** Up to `count` entries after `cookie`, in the order of their insertion. */
  list(parent: InodeNumber, cookie: number, count: number): ListedDentry[] {
    return this.#list.all(parent, cookie, count) as ListedDentry[];
  }
}
