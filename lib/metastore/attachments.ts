// What hangs on an inode besides its row: symlink target, xattrs, and its place among the orphans.

import type Database from 'better-sqlite3';
import type { InodeNumber } from './inodes.ts';
import type { StatementSource } from './database.ts';

export class SymlinkTable {
  readonly #select: Database.Statement;
  readonly #insert: Database.Statement;
  readonly #delete: Database.Statement;

  constructor(connection: StatementSource) {
    this.#select = connection.prepare('SELECT target FROM symlink WHERE ino = ?').pluck();
    this.#insert = connection.prepare('INSERT INTO symlink (ino, target) VALUES (?, ?)');
    this.#delete = connection.prepare('DELETE FROM symlink WHERE ino = ?');
  }

  get(ino: InodeNumber): Buffer | undefined {
    return this.#select.get(ino) as Buffer | undefined;
  }

  insert(ino: InodeNumber, target: Buffer): void {
    this.#insert.run(ino, target);
  }

  delete(ino: InodeNumber): void {
    this.#delete.run(ino);
  }
}

export class XattrTable {
  readonly #select: Database.Statement;
  readonly #names: Database.Statement;
  readonly #put: Database.Statement;
  readonly #delete: Database.Statement;
  readonly #deleteAll: Database.Statement;
  readonly #any: Database.Statement;

  constructor(connection: StatementSource) {
    this.#select = connection.prepare('SELECT value FROM xattr WHERE ino = ? AND name = ?').pluck();
    this.#names = connection.prepare('SELECT name FROM xattr WHERE ino = ? ORDER BY name').pluck();
    this.#put = connection.prepare(
      'INSERT OR REPLACE INTO xattr (ino, name, value) VALUES (?, ?, ?)',
    );
    this.#delete = connection.prepare('DELETE FROM xattr WHERE ino = ? AND name = ?');
    this.#deleteAll = connection.prepare('DELETE FROM xattr WHERE ino = ?');
    this.#any = connection.prepare('SELECT 1 FROM xattr WHERE ino = ? LIMIT 1').pluck();
  }

  get(ino: InodeNumber, name: Buffer): Buffer | undefined {
    return this.#select.get(ino, name) as Buffer | undefined;
  }

  names(ino: InodeNumber): Buffer[] {
    return this.#names.all(ino) as Buffer[];
  }

  put(ino: InodeNumber, name: Buffer, value: Buffer): void {
    this.#put.run(ino, name, value);
  }

  /** Returns whether there was one. */
  delete(ino: InodeNumber, name: Buffer): boolean {
    return this.#delete.run(ino, name).changes > 0;
  }

  deleteAll(ino: InodeNumber): void {
    this.#deleteAll.run(ino);
  }

  hasAny(ino: InodeNumber): boolean {
    return this.#any.get(ino) !== undefined;
  }
}

/** Most orphans are gone before the batch is committed: only those that are left by then get a row. */
export class OrphanTable {
  readonly #insert: Database.Statement;
  readonly #delete: Database.Statement;
  readonly #list: Database.Statement;
  /** Without a row yet. */
  readonly #added = new Set<InodeNumber>();

  constructor(connection: StatementSource) {
    this.#insert = connection.prepare('INSERT OR IGNORE INTO orphan (ino) VALUES (?)');
    this.#delete = connection.prepare('DELETE FROM orphan WHERE ino = ?');
    this.#list = connection
      .prepare('SELECT ino FROM orphan WHERE ino > ? ORDER BY ino LIMIT ?')
      .pluck();
  }

  insert(ino: InodeNumber): void {
    this.#added.add(ino);
  }

  delete(ino: InodeNumber): void {
    if (!this.#added.delete(ino)) this.#delete.run(ino);
  }

  /** Those that `flush` will write. */
  get dirtyCount(): number {
    return this.#added.size;
  }

  /** Gives a row to each that has none. */
  flush(): void {
    for (const ino of [...this.#added].sort((left, right) => left - right)) this.#insert.run(ino);
    this.#added.clear();
  }

  list(after: InodeNumber, count: number): InodeNumber[] {
    this.flush();
    return this.#list.all(after, count) as InodeNumber[];
  }
}
