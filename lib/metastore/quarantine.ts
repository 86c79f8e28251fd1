// Chunks found bad, by the fingerprint they should have (G6). A chunk whose content is not known any
// more (its row was rebuilt from the extents that name it) is damaged too, but has no row here:
// nothing can be recognised as what it was.

import type Database from 'better-sqlite3';
import type { ChunkId } from '../dedup/chunk-index.ts';
import type { StatementSource } from './database.ts';

export interface QuarantinedChunk {
  readonly chunk: ChunkId;
  readonly plainBytes: number;
}

export class QuarantineTable {
  readonly #find: Database.Statement;
  readonly #insert: Database.Statement;
  readonly #delete: Database.Statement;
  readonly #fingerprint: Database.Statement;
  /** Mostly 0, and then new chunks need no look into the table. */
  #count: number;

  constructor(connection: StatementSource) {
    this.#find = connection
      .prepare(
        `SELECT quarantine.chunk, chunk.bytes FROM quarantine JOIN chunk ON chunk.id = quarantine.chunk
         WHERE quarantine.h = ?`,
      )
      .raw();
    this.#insert = connection.prepare('INSERT OR IGNORE INTO quarantine (h, chunk) VALUES (?, ?)');
    this.#delete = connection.prepare('DELETE FROM quarantine WHERE chunk = ?');
    this.#fingerprint = connection.prepare('SELECT h FROM quarantine WHERE chunk = ?').pluck();
    this.#count = connection.prepare('SELECT count(*) FROM quarantine').pluck().get() as number;
  }

  get count(): number {
    return this.#count;
  }

  /** @param indexed first INDEXED_BYTES of the fingerprint */
  find(indexed: Buffer): QuarantinedChunk | undefined {
    if (this.#count === 0) return undefined;
    const row = this.#find.get(indexed) as [chunk: ChunkId, plainBytes: number] | undefined;
    return row === undefined ? undefined : { chunk: row[0], plainBytes: row[1] };
  }

  /** What the chunk should be, if that is known. */
  fingerprintOf(chunk: ChunkId): Buffer | undefined {
    return this.#fingerprint.get(chunk) as Buffer | undefined;
  }

  insert(indexed: Buffer, chunk: ChunkId): void {
    this.#count += this.#insert.run(indexed, chunk).changes;
  }

  /** The chunk is right again, or gone. */
  delete(chunk: ChunkId): void {
    if (this.#count > 0) this.#count -= this.#delete.run(chunk).changes;
  }
}
