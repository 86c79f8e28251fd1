// Totals of the store, kept in step with every change so that stats and statfs cost O(1), and saved
// with each commit. fsck recomputes them (I6).

import type { StatementSource } from './database.ts';

export interface Totals {
  files: number;
  directories: number;
  otherInodes: number;
  /**
   * Sum of the sizes of regular files, in two parts: each size's whole LOGICAL_UNITs, and the bytes
   * beyond them. A few sparse files of 2^53 bytes, and their sum is no exact number.
   */
  logicalUnits: number;
  logicalRest: number;
  /** Sum of the lengths of all extents. */
  referencedBytes: number;
  chunks: number;
  /** Sum of chunk.bytes. */
  uniqueBytes: number;
  /** Sum of chunk.stored. */
  storedBytes: number;
  /** Quarantined chunks, and the sum of their bytes; they count in `chunks` and `uniqueBytes` too. */
  damagedChunks: number;
  damagedBytes: number;
  packs: number;
  /** Sum of pack.bytes. */
  packBytes: number;
}

/** Counters that only rise. */
export interface Sequences {
  batch: number;
  nextIno: number;
  nextChunk: number;
  nextPack: number;
  nextArena: number;
}

export type Counters = Totals & Sequences;

export const INITIAL_COUNTERS: Counters = {
  files: 0,
  directories: 0,
  otherInodes: 0,
  logicalUnits: 0,
  logicalRest: 0,
  referencedBytes: 0,
  chunks: 0,
  uniqueBytes: 0,
  storedBytes: 0,
  damagedChunks: 0,
  damagedBytes: 0,
  packs: 0,
  packBytes: 0,
  batch: 0,
  nextIno: 1,
  nextChunk: 1,
  nextPack: 1,
  nextArena: 1,
};

export const LOGICAL_UNIT = 2 ** 32;

/** The sum of all sizes; rounded when it is beyond 2^53. */
export function logicalBytes({ logicalUnits, logicalRest }: Totals): number {
  return logicalUnits * LOGICAL_UNIT + logicalRest;
}

export const COUNTER_NAMES = Object.keys(INITIAL_COUNTERS) as (keyof Counters)[];

export function loadCounters(connection: StatementSource): Counters {
  const counters = { ...INITIAL_COUNTERS };
  const get = connection.prepare('SELECT v FROM meta WHERE k = ?').pluck();
  for (const name of COUNTER_NAMES) {
    const value = get.get(name) as number | undefined;
    if (value !== undefined) counters[name] = value;
  }
  return counters;
}

export function saveCounters(connection: StatementSource, counters: Counters): void {
  const put = connection.prepare('INSERT OR REPLACE INTO meta (k, v) VALUES (?, ?)');
  for (const name of COUNTER_NAMES) put.run(name, counters[name]);
}
