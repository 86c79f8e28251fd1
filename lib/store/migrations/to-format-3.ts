// Format 2 -> 3: pages of meta.db carry checksums, and there is a table of quarantined chunks. Packs stay
// as they are: those of version 1 are read for ever, new ones are of version 2.
//
//   copy     meta.db, its WAL folded in, is written to meta.db.format-3 with checksums
//   extend   the copy gets its table and number, is checked and synced
//   declare  FORMAT says 3: from here on an earlier dedupfs refuses the store, and there is no way back
//   swap     meta.db stays as meta.db.format-2, the copy becomes meta.db
//   clean    meta.db.format-2 goes
//
// Cut off before `declare`, all begins again; after it, the copy is known to be whole.

import {
  copyFileSync,
  existsSync,
  linkSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import type Database from 'better-sqlite3';
import { assert } from '../../assert.ts';
import { CorruptionError, ExitCode, UserError } from '../../errors.ts';
import { explainDamage, hasChecksums, openChecked } from '../../metastore/checked-database.ts';
import { isFullError } from '../../host-room.ts';
import { loadCounters, saveCounters } from '../../metastore/counters.ts';
import { removeDatabase } from '../../metastore/remove-database.ts';
import { syncFile, syncFolder } from '../../sync-folder.ts';
import { formatText, restoreFormat } from '../format.ts';
import type { Migration, MigrationContext } from './migration.ts';

/** Left free on the host beside the copy. */
const MARGIN_BYTES = 16 * 1024 * 1024;

const QUARANTINE = `
CREATE TABLE quarantine (
  h     BLOB PRIMARY KEY,
  chunk INTEGER NOT NULL UNIQUE
) WITHOUT ROWID, STRICT
`;

interface Paths {
  readonly metastore: string;
  readonly copy: string;
  readonly kept: string;
}

function pathsOf(storePath: string): Paths {
  const metastore = join(storePath, 'meta.db');
  return { metastore, copy: `${metastore}.format-3`, kept: `${metastore}.format-2` };
}

export const toFormat3: Migration = {
  to: 3,

  isUnfinished(storePath) {
    const { copy, kept } = pathsOf(storePath);
    return existsSync(copy) || existsSync(kept);
  },

  progress(storePath) {
    const { metastore, copy } = pathsOf(storePath);
    // Whatever lies at that path: it may be no store at all, and no folder.
    if (!existsSync(copy) || !existsSync(metastore)) return undefined;
    const bytesDone = statSync(copy, { throwIfNoEntry: false })?.size;
    const bytesTotal = statSync(metastore, { throwIfNoEntry: false })?.size;
    if (bytesDone === undefined || bytesTotal === undefined) return undefined;
    return { bytesDone: Math.min(bytesDone, bytesTotal), bytesTotal };
  },

  run(context) {
    const { storePath, formatFile } = context;
    const paths = pathsOf(storePath);
    if (formatFile['format'] === 2) {
      makeCopy(context, paths);
      context.onStep?.('declare');
      restoreFormat(storePath, formatText({ ...formatFile, format: 3 }));
    }
    context.onStep?.('swap');
    if (existsSync(paths.copy)) swap(storePath, paths);
    context.onStep?.('clean');
    rmSync(paths.kept, { force: true });
    syncFolder(storePath);
  },
};

function makeCopy(context: MigrationContext, paths: Paths): void {
  if (!existsSync(paths.metastore)) {
    throw new UserError(
      ExitCode.NO_STORE,
      'DEDUPFS_NO_METASTORE',
      `the metastore ${paths.metastore} is missing; restore it from a backup of the store`,
    );
  }
  // Of a run that was cut off.
  for (const path of [paths.copy, paths.kept]) removeDatabase(path);
  assertRoom(context.storePath, paths.metastore);
  try {
    context.onStep?.('copy');
    withConnection(paths.metastore, (connection) => copyTo(connection, paths.copy));
    context.onStep?.('extend');
    withConnection(paths.copy, extend);
    syncFile(paths.copy);
    syncFolder(context.storePath);
  } catch (error) {
    removeDatabase(paths.copy);
    throw isFullError(error) ? diskFull(context.storePath, undefined, error) : error;
  }
}

function withConnection(path: string, work: (connection: Database.Database) => void): void {
  const connection = openChecked(path, { fileMustExist: true });
  try {
    work(connection);
  } catch (error) {
    throw explainDamage(connection, error);
  } finally {
    connection.close();
  }
}

function copyTo(connection: Database.Database, copy: string): void {
  connection.pragma('locking_mode = EXCLUSIVE');
  // From here on checksums would vouch for what is wrong already.
  assertSound(connection);
  connection.pragma('wal_checkpoint(TRUNCATE)');
  connection.prepare('VACUUM INTO ?').run(copy);
}

function extend(connection: Database.Database): void {
  connection.exec(QUARANTINE);
  connection.prepare(`UPDATE meta SET v = '3' WHERE k = 'format'`).run();
  // What the totals did not have: a store that nobody changes is never committed.
  saveCounters(connection, loadCounters(connection));
  assert(hasChecksums(connection), 'the copy has checksums');
  // Reads each page, and so compares each with its checksum.
  assertSound(connection);
}

function assertSound(connection: Database.Database): void {
  const found = connection.prepare('PRAGMA integrity_check(1)').pluck().get() as string;
  if (found === 'ok') return;
  throw new CorruptionError(
    `the metastore ${connection.name} is damaged (${found}): it is left as it is; restore it from a backup of the store`,
  );
}

/** At no moment is there no meta.db. */
function swap(storePath: string, { metastore, copy, kept }: Paths): void {
  // Folded and empty: SQLite must not play it into the new file.
  for (const suffix of ['-wal', '-shm']) rmSync(`${metastore}${suffix}`, { force: true });
  if (!existsSync(kept)) keep(metastore, kept);
  renameSync(copy, metastore);
  syncFolder(storePath);
}

function keep(metastore: string, kept: string): void {
  try {
    linkSync(metastore, kept);
  } catch (error) {
    // Some file systems have no hard links.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EPERM' && code !== 'ENOTSUP') throw error;
    copyFileSync(metastore, kept);
    syncFile(kept);
  }
}

function assertRoom(storePath: string, metastore: string): void {
  const log = statSync(`${metastore}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  // The copy, what the WAL adds to both files, and room to go on working in.
  const needed = statSync(metastore).size + 2 * log + MARGIN_BYTES;
  const host = statfsSync(storePath);
  if (host.bavail * host.bsize < needed) throw diskFull(storePath, needed);
}

function diskFull(storePath: string, needed: number | undefined, cause?: unknown): UserError {
  const room = needed === undefined ? '' : `: it needs ${Math.ceil(needed / 2 ** 20)} MiB free`;
  return new UserError(
    ExitCode.DISK_FULL,
    'DEDUPFS_DISK_FULL',
    `no room to bring store ${storePath} from format 2 to format 3${room}; free some space. The store is unchanged`,
    { cause },
  );
}
