// Fingerprints of stored chunks that were met lately, or are likely to be met next: a set-associative
// table in typed arrays, since a stream asks for 32 fingerprints each MiB and objects for all of
// them would keep the garbage collector busy.
//
// Streams repeat in the order in which they were stored: a chunk found in the index brings those with
// the next ids, more of them each time that is where the stream goes on.

import type Database from 'better-sqlite3';
import type { ChunkId } from '../dedup/chunk-index.ts';
import type { StatementSource } from './database.ts';

/** Rows that come with one that was found: at first, and at most. */
const AHEAD_MIN = 16;
const AHEAD_MAX = 512;

/** 128 Ki chunks of 24 bytes, 3 MiB: 4 GiB of a stream at the default chunk size. */
const SETS = 16 * 1024;
const WAYS = 8;
const WORDS = 4;

export class KnownChunks {
  readonly #selectAhead: Database.Statement;
  /** How many rows came with the one found last, and the last of their ids. */
  #ahead = { count: AHEAD_MIN, end: -Infinity };
  /** The indexed fingerprint of each entry. */
  readonly #words = new Uint32Array(SETS * WAYS * WORDS);
  /** 0: free. */
  readonly #chunks = new Float64Array(SETS * WAYS);
  /** For each set, the entry that is replaced next. */
  readonly #next = new Uint8Array(SETS);

  constructor(connection: StatementSource) {
    this.#selectAhead = connection
      .prepare('SELECT id, h FROM chunk WHERE id > ? ORDER BY id LIMIT ?')
      .raw();
  }

  /** @param indexed the first 16 bytes of the fingerprint */
  find(indexed: Buffer): ChunkId | undefined {
    const entry = this.#entryOf(indexed);
    return entry === undefined ? undefined : (this.#chunks[entry] as ChunkId);
  }

  /** The row was found in the index: makes it known, and some of those behind it. */
  learn(indexed: Buffer, found: ChunkId): void {
    this.#add(indexed, found);
    const { count, end } = this.#ahead;
    const goesOn = found > end && found <= end + AHEAD_MIN;
    const limit = goesOn ? Math.min(2 * count, AHEAD_MAX) : AHEAD_MIN;
    const rows = this.#selectAhead.all(found, limit) as [ChunkId, Buffer | null][];
    for (const [chunk, h] of rows) if (h !== null) this.#add(h, chunk);
    this.#ahead = { count: limit, end: rows.at(-1)?.[0] ?? found };
  }

  /** Takes the place of the oldest in its set. */
  #add(indexed: Buffer, chunk: ChunkId): void {
    if (this.#entryOf(indexed) !== undefined) return;
    const set = indexed.readUInt32LE(0) % SETS;
    const way = this.#next[set] ?? 0;
    this.#next[set] = (way + 1) % WAYS;
    const entry = set * WAYS + way;
    this.#chunks[entry] = chunk;
    for (let word = 0; word < WORDS; word += 1) {
      this.#words[entry * WORDS + word] = indexed.readUInt32LE(word * 4);
    }
  }

  delete(indexed: Buffer): void {
    const entry = this.#entryOf(indexed);
    if (entry !== undefined) this.#chunks[entry] = 0;
  }

  #entryOf(indexed: Buffer): number | undefined {
    const first = indexed.readUInt32LE(0);
    const start = (first % SETS) * WAYS;
    for (let entry = start; entry < start + WAYS; entry += 1) {
      const isEntry =
        this.#words[entry * WORDS] === first &&
        this.#chunks[entry] !== 0 &&
        this.#words[entry * WORDS + 1] === indexed.readUInt32LE(4) &&
        this.#words[entry * WORDS + 2] === indexed.readUInt32LE(8) &&
        this.#words[entry * WORDS + 3] === indexed.readUInt32LE(12);
      if (isEntry) return entry;
    }
    return undefined;
  }
}
