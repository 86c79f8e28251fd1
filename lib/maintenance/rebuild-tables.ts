// What rebuilding the index collects, as tables of the database that is being rebuilt. They come and go
// within its batch.

import { setImmediate } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import { CorruptionError } from '../errors.ts';
import { explainDamage } from '../metastore/checked-database.ts';
import { INDEXED_BYTES } from '../metastore/chunks.ts';
import { decodeExtents, SEGMENT_BYTES } from '../metastore/extent-codec.ts';
import { ArenaState } from '../metastore/packs.ts';
import { definitionsOf } from '../metastore/schema.ts';

const ROWS_PER_SLICE = 1024;
const MAPS_PER_SLICE = 64;
/** Fingerprints are read from the index in stretches that begin alike, so that damage loses one. */
const INDEX_STRETCHES = 4096;

/** Worse ones first: a record replaces one of a lesser kind, or an older one of its own. */
export const RecordKind = { DAMAGED: 0, BY_FINGERPRINT: 1, BY_ID: 2 } as const;

const TABLES = `
-- Chunks that extents name.
CREATE TABLE rebuild_named (
  chunk INTEGER PRIMARY KEY,
  refs  INTEGER NOT NULL,
  bytes INTEGER NOT NULL           -- at least so many plain bytes
) STRICT;
-- Fingerprints of chunks as the old rows say.
CREATE TABLE rebuild_known (
  h     BLOB PRIMARY KEY,
  chunk INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX rebuild_known_chunk ON rebuild_known (chunk);
-- The best record of each chunk.
CREATE TABLE rebuild_record (
  chunk  INTEGER PRIMARY KEY,
  kind   INTEGER NOT NULL,         -- RecordKind
  h      BLOB NOT NULL,
  pack   INTEGER NOT NULL,
  idx    INTEGER NOT NULL,
  bytes  INTEGER NOT NULL,
  stored INTEGER NOT NULL
) STRICT;
CREATE TABLE rebuild_pack (
  id    INTEGER PRIMARY KEY,
  arena INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE rebuild_arena (
  id INTEGER PRIMARY KEY
) STRICT;
`;

const NAMES = ['named', 'known', 'record', 'pack', 'arena'].map((name) => `rebuild_${name}`);
/** The tables that are rebuilt. */
const REBUILT = ['chunk', 'quarantine', 'pack', 'arena'];

export interface FoundRecord {
  readonly chunk: number;
  readonly fingerprint: Buffer;
  readonly packId: number;
  readonly index: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
  readonly kind: number;
}

export interface IndexTotals {
  chunks: number;
  quarantined: number;
  uniqueBytes: number;
  storedBytes: number;
  packs: number;
  packBytes: number;
}

type NamedRow = [
  chunk: number,
  refs: number,
  named: number,
  kind: number | null,
  h: Buffer | null,
  pack: number | null,
  index: number | null,
  bytes: number | null,
  stored: number | null,
  known: Buffer | null,
];

export class RebuildTables {
  readonly #connection: Database.Database;
  readonly #statements = new Map<string, Database.Statement>();

  constructor(connection: Database.Database) {
    this.#connection = connection;
  }

  create(): void {
    this.#connection.exec(TABLES);
  }

  drop(): void {
    this.#statements.clear();
    for (const name of NAMES) this.#connection.exec(`DROP TABLE ${name}`);
  }

  #prepare(sql: string): Database.Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#connection.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Remembers what can be read of the old rows. */
  async collectKnown(chunkEnd: number): Promise<void> {
    const keep = 'INSERT OR IGNORE INTO rebuild_known (h, chunk)';
    const rows = this.#prepare(
      `${keep} SELECT h, id FROM chunk WHERE id >= ? AND id < ? AND h IS NOT NULL`,
    );
    let isWhole = this.#try(() => this.#prepare(`${keep} SELECT h, chunk FROM quarantine`).run());
    for (let from = 0; from < chunkEnd; from += ROWS_PER_SLICE) {
      isWhole = this.#try(() => rows.run(from, from + ROWS_PER_SLICE)) && isWhole;
      await setImmediate();
    }
    if (isWhole) return;
    // The index has the same pairs in other pages.
    const pairs = this.#prepare(
      `${keep} SELECT h, id FROM chunk INDEXED BY chunk_h WHERE h >= ? AND h < ?`,
    );
    for (let stretch = 0; stretch < INDEX_STRETCHES; stretch += 1) {
      this.#try(() => pairs.run(stretchStart(stretch), stretchStart(stretch + 1)));
      await setImmediate();
    }
  }

  /** Whether the work met no damaged page. */
  #try(work: () => unknown): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (!(explainDamage(this.#connection, error) instanceof CorruptionError)) throw error;
      return false;
    }
  }

  /** Counts what extents name. */
  async collectNamed(): Promise<{ mapsDamaged: number; chunkMax: number }> {
    const page = this.#prepare(
      'SELECT ino, seg, map FROM fmap WHERE (ino, seg) > (?, ?) ORDER BY ino, seg LIMIT ?',
    ).raw();
    let [mapsDamaged, chunkMax] = [0, 0];
    let key: [number, number] = [Number.MIN_SAFE_INTEGER, 0];
    for (;;) {
      const maps = page.all(...key, MAPS_PER_SLICE) as [number, number, Buffer][];
      const last = maps.at(-1);
      if (last === undefined) return { mapsDamaged, chunkMax };
      for (const [, segment, map] of maps) {
        const highest = this.#nameAll(map, segment);
        if (highest === undefined) mapsDamaged += 1;
        else chunkMax = Math.max(chunkMax, highest);
      }
      key = [last[0], last[1]];
      await setImmediate();
    }
  }

  /** The highest chunk of a segment's extents; undefined when they cannot be decoded. */
  #nameAll(map: Buffer, segment: number): number | undefined {
    const name = this.#prepare(
      `INSERT INTO rebuild_named (chunk, refs, bytes) VALUES (?, 1, ?) ON CONFLICT (chunk)
       DO UPDATE SET refs = refs + 1, bytes = max(bytes, excluded.bytes)`,
    );
    try {
      let highest = 0;
      for (const { chunk, chunkOffset, bytes } of decodeExtents(map, segment * SEGMENT_BYTES)) {
        name.run(chunk, chunkOffset + bytes);
        highest = Math.max(highest, chunk);
      }
      return highest;
    } catch (error) {
      if (error instanceof CorruptionError) return undefined;
      throw error;
    }
  }

  /** The needed chunks that a record with this id and fingerprint is, or may be. @param chunk 0: no id */
  wanted(chunk: number, fingerprint: Buffer): { chunk: number; isById: boolean }[] {
    const isNamed = this.#prepare('SELECT 1 FROM rebuild_named WHERE chunk = ?').pluck();
    const known = this.#prepare('SELECT chunk FROM rebuild_known WHERE h = ?').pluck();
    const found: { chunk: number; isById: boolean }[] = [];
    if (isNamed.get(chunk) !== undefined) found.push({ chunk, isById: true });
    const other = known.get(fingerprint.subarray(0, INDEXED_BYTES)) as number | undefined;
    if (other !== undefined && other !== chunk && isNamed.get(other) !== undefined) {
      found.push({ chunk: other, isById: false });
    }
    return found;
  }

  addRecord(record: FoundRecord): void {
    this.#prepare(
      `INSERT INTO rebuild_record (chunk, kind, h, pack, idx, bytes, stored)
       VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (chunk) DO UPDATE SET kind = excluded.kind,
       h = excluded.h, pack = excluded.pack, idx = excluded.idx, bytes = excluded.bytes,
       stored = excluded.stored WHERE (excluded.kind, excluded.pack) > (kind, pack)`,
    ).run(
      record.chunk,
      record.kind,
      record.fingerprint.subarray(0, INDEXED_BYTES),
      record.packId,
      record.index,
      record.plainBytes,
      record.storedBytes,
    );
  }

  addArena(arena: number): void {
    this.#prepare('INSERT INTO rebuild_arena (id) VALUES (?)').run(arena);
  }

  addPack(packId: number, arena: number, bytes: number): void {
    this.#prepare('INSERT OR REPLACE INTO rebuild_pack (id, arena, bytes) VALUES (?, ?, ?)').run(
      packId,
      arena,
      bytes,
    );
  }

  /** A pack that cannot be read keeps a row, so that gc knows of it. */
  addDamagedPack(packId: number, arena: number): void {
    this.#prepare('INSERT OR IGNORE INTO rebuild_pack (id, arena, bytes) VALUES (?, ?, 0)').run(
      packId,
      arena,
    );
  }

  /** Empties the tables that are rebuilt. Returns whether one had to be given up, pages and all. */
  empty(): boolean {
    this.#statements.clear();
    const isWhole = this.#try(() => {
      this.#connection.exec('SAVEPOINT emptying');
      try {
        for (const table of REBUILT) this.#connection.exec(`DELETE FROM ${table}`);
        this.#connection.exec('RELEASE emptying');
      } catch (error) {
        this.#connection.exec('ROLLBACK TO emptying; RELEASE emptying');
        throw error;
      }
    });
    if (!isWhole) this.#giveUp();
    return !isWhole;
  }

  /** Takes the tables out of the schema, where their pages cannot be read to be freed. */
  #giveUp(): void {
    const connection = this.#connection;
    connection.unsafeMode(true);
    connection.pragma('writable_schema = ON');
    const list = REBUILT.map((table) => `'${table}'`).join(', ');
    connection.exec(`DELETE FROM sqlite_schema WHERE tbl_name IN (${list})`);
    connection.pragma('writable_schema = RESET');
    connection.unsafeMode(false);
    for (const table of REBUILT) connection.exec(definitionsOf(table));
  }

  /** Writes the new rows. */
  async fill(): Promise<IndexTotals> {
    const totals: IndexTotals = {
      chunks: 0,
      quarantined: 0,
      uniqueBytes: 0,
      storedBytes: 0,
      packs: 0,
      packBytes: 0,
    };
    this.#fillPacks(totals);
    const page = this.#prepare(
      `SELECT named.chunk, refs, named.bytes, kind, record.h, pack, idx, record.bytes, stored,
         (SELECT h FROM rebuild_known WHERE rebuild_known.chunk = named.chunk LIMIT 1)
       FROM rebuild_named AS named LEFT JOIN rebuild_record AS record USING (chunk)
       WHERE named.chunk > ? ORDER BY named.chunk LIMIT ?`,
    ).raw();
    let after = Number.MIN_SAFE_INTEGER;
    for (;;) {
      const rows = page.all(after, ROWS_PER_SLICE) as NamedRow[];
      const last = rows.at(-1);
      if (last === undefined) break;
      for (const row of rows) this.#fillChunk(row, totals);
      after = last[0];
      await setImmediate();
    }
    this.#connection.exec(
      'UPDATE arena SET live = (SELECT coalesce(sum(live), 0) FROM pack WHERE pack.arena = arena.id)',
    );
    return totals;
  }

  #fillPacks(totals: IndexTotals): void {
    const { SEALED } = ArenaState;
    this.#connection.exec(`
      INSERT INTO pack (id, arena, bytes, live, nlive) SELECT id, arena, bytes, 0, 0 FROM rebuild_pack;
      INSERT INTO arena (id, state, bytes, live) SELECT id, ${SEALED}, 0, 0 FROM rebuild_arena;
      UPDATE arena SET bytes =
        (SELECT coalesce(sum(bytes), 0) FROM pack WHERE pack.arena = arena.id);
    `);
    const sums = this.#prepare('SELECT count(*), coalesce(sum(bytes), 0) FROM pack').raw();
    [totals.packs, totals.packBytes] = sums.get() as [number, number];
  }

  #fillChunk(row: NamedRow, totals: IndexTotals): void {
    const [chunk, refs, named, kind, h, pack, index, bytes, stored, known] = row;
    totals.chunks += 1;
    totals.uniqueBytes += bytes ?? named;
    if (kind !== null && kind !== RecordKind.DAMAGED) {
      // No two chunks have one fingerprint; if they did, the second would be quarantined.
      const insert = this.#prepare('INSERT OR IGNORE INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?)');
      if (insert.run(chunk, h, refs, pack, index, bytes, stored).changes === 1) {
        this.#prepare('UPDATE pack SET live = live + ?, nlive = nlive + 1 WHERE id = ?').run(
          stored,
          pack,
        );
        totals.storedBytes += stored ?? 0;
        return;
      }
    }
    totals.quarantined += 1;
    const insert = this.#prepare('INSERT INTO chunk VALUES (?, NULL, ?, 0, 0, ?, 0)');
    insert.run(chunk, refs, bytes ?? named);
    const fingerprint = h ?? known;
    if (fingerprint === null) return;
    this.#prepare(
      `INSERT OR IGNORE INTO quarantine (h, chunk)
       SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM chunk WHERE h = ?)`,
    ).run(fingerprint, chunk, fingerprint);
  }
}

/** The least fingerprint of a stretch; that of the last one's end is above all. */
function stretchStart(stretch: number): Buffer {
  const start = Buffer.alloc(INDEXED_BYTES);
  if (stretch === INDEX_STRETCHES) return Buffer.alloc(INDEXED_BYTES + 1, 0xff);
  start.writeUInt16BE(stretch * (0x10000 / INDEX_STRETCHES), 0);
  return start;
}
