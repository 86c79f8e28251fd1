// A database of SQLite and the files that it keeps beside it.

import { rmSync } from 'node:fs';

/** Removes them all; none need be there. Nobody may have the database open. */
export function removeDatabase(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) {
    rmSync(`${path}${suffix}`, { force: true });
  }
}
