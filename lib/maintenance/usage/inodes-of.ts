// The rows of a set of inodes.

import type Database from 'better-sqlite3';
import type { InodeSet } from './inode-set.ts';
import type { Slices } from './slices.ts';

const ROWS_PER_STEP = 512;

export type InodeRow = [ino: number, mode: number, nlink: number, size: number];

/** Pages of rows, never empty. */
export async function* inodesOf(
  connection: Database.Database,
  inodes: InodeSet,
  slices: Slices,
): AsyncGenerator<InodeRow[]> {
  const select = connection
    .prepare(
      'SELECT ino, mode, nlink, size FROM inode WHERE ino >= ? AND ino <= ? ORDER BY ino LIMIT ?',
    )
    .raw();
  for (const { first, last } of inodes.runs()) {
    for (let from = first; from <= last;) {
      const rows = select.all(from, last, ROWS_PER_STEP) as InodeRow[];
      if (rows.length > 0) yield rows;
      await slices.rest();
      if (rows.length < ROWS_PER_STEP) break;
      from = (rows.at(-1)?.[0] ?? last) + 1;
    }
  }
}
