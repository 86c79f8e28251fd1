// Sums over counted chunks: all of them, and those whose every reference was counted as leaving.

import type Database from 'better-sqlite3';
import { leavingOf, type ChunkCounts, type CountedPage } from './chunk-counts.ts';
import type { Slices } from './slices.ts';

/** With a smaller share of a page's ids, rows are looked up one by one. */
const DENSE_SHARE = 1 / 8;
const ROWS_PER_STEP = 512;

export interface ChunkSum {
  chunks: number;
  plainBytes: number;
  storedBytes: number;
  /** Chunks that have a record: not in quarantine. */
  records: number;
}

type Row = [id: number, refs: number, plainBytes: number, storedBytes: number];

export class ChunkSums {
  readonly unique = nothing();
  readonly exclusive = nothing();
  readonly #range: Database.Statement;
  readonly #one: Database.Statement;
  readonly #slices: Slices;

  constructor(connection: Database.Database, slices: Slices) {
    this.#slices = slices;
    const columns = 'SELECT id, refs, bytes, stored FROM chunk';
    this.#range = connection
      .prepare(`${columns} WHERE id >= ? AND id < ? ORDER BY id LIMIT ?`)
      .raw();
    this.#one = connection.prepare(`${columns} WHERE id = ?`).raw();
  }

  async add(counts: ChunkCounts): Promise<void> {
    for (const page of counts.counted()) {
      if (page.met < page.counters.length * DENSE_SHARE) await this.#lookUp(page);
      else await this.#scan(page);
    }
  }

  async #scan({ base, counters }: CountedPage): Promise<void> {
    const end = base + counters.length;
    for (let from = base; from < end;) {
      const rows = this.#range.all(from, end, ROWS_PER_STEP) as Row[];
      for (const row of rows) this.#note(row, counters[row[0] - base] ?? 0);
      await this.#slices.rest();
      if (rows.length < ROWS_PER_STEP) return;
      from = (rows.at(-1)?.[0] ?? end) + 1;
    }
  }

  async #lookUp({ base, counters }: CountedPage): Promise<void> {
    for (const [at, counter] of counters.entries()) {
      if (counter === 0) continue;
      const row = this.#one.get(base + at) as Row | undefined;
      // Gone since its extent was met.
      if (row !== undefined) this.#note(row, counter);
      await this.#slices.rest();
    }
  }

  #note([, refs, plainBytes, storedBytes]: Row, counter: number): void {
    if (counter === 0) return;
    const isExclusive = leavingOf(counter) >= refs;
    for (const sum of isExclusive ? [this.unique, this.exclusive] : [this.unique]) {
      sum.chunks += 1;
      sum.plainBytes += plainBytes;
      sum.storedBytes += storedBytes;
      sum.records += storedBytes === 0 ? 0 : 1;
    }
  }
}

function nothing(): ChunkSum {
  return { chunks: 0, plainBytes: 0, storedBytes: 0, records: 0 };
}
