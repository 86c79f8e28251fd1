// fsck --rebuild-index: the rows of chunks, packs and arenas are made anew from the arenas.
//
//   meta.db.index      the copy that is worked on
//   meta.db.index-new  what becomes of it, written anew: pages that nobody can read stay behind
//
// The rename over meta.db is the moment when it happens; before, the store is as it was.

import { constants, copyFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DedupfsError, ExitCode, UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { rebuildIndex, type RebuildIndexReport } from '../maintenance/rebuild-index.ts';
import { MetaDatabase } from '../metastore/database.ts';
import { isFullError } from '../host-room.ts';
import { removeDatabase } from '../metastore/remove-database.ts';
import { syncFile, syncFolder } from '../sync-folder.ts';
import { withOfflineStore, type OfflineStore } from './offline.ts';

export interface RebuildIndexOptions {
  readonly log: Logger;
  onProgress(bytesDone: number, bytesTotal: number): void;
  /** Ends it, with its reason, until the new file takes the old one's place. */
  readonly signal?: AbortSignal;
}

/**
 * @throws UserError LOCKED NO_STORE WRONG_FORMAT STORE_INCONSISTENT DISK_FULL NO_PERMISSION
 * @throws CorruptionError  more than those rows cannot be read
 */
export async function rebuildStoreIndex(
  path: string,
  options: RebuildIndexOptions,
): Promise<RebuildIndexReport> {
  return withOfflineStore(path, options.log, async (store) => {
    const original = join(store.path, 'meta.db');
    const copy = `${original}.index`;
    const target = `${copy}-new`;
    removeDatabase(copy);
    removeDatabase(target);
    try {
      foldLog(original);
      // A power cut must not bring the old file's log back beside the new file.
      syncFolder(store.path);
      copyFileSync(original, copy, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      const report = await rebuildInto(store, { copy, target }, options);
      syncFile(target);
      renameSync(target, original);
      syncFolder(store.path);
      return report;
    } catch (error) {
      throw isFullError(error) ? diskFull(store.path, error) : error;
    } finally {
      removeDatabase(copy);
      removeDatabase(target);
    }
  });
}

async function rebuildInto(
  store: OfflineStore,
  { copy, target }: { readonly copy: string; readonly target: string },
  options: RebuildIndexOptions,
): Promise<RebuildIndexReport> {
  const { blockStore, hash, log } = store;
  const database = new MetaDatabase(copy, { create: false });
  try {
    const { connection } = database;
    const report = await rebuildIndex({
      connection,
      blockStore,
      hash,
      log,
      onProgress: ({ bytesDone, bytesTotal }) => {
        options.signal?.throwIfAborted();
        options.onProgress(bytesDone, bytesTotal);
      },
    });
    connection.exec('COMMIT');
    connection.prepare('VACUUM INTO ?').run(target);
    return report;
  } finally {
    database.close();
  }
}

/** Leaves everything in one file: SQLite would play a log that it finds into whatever is meta.db. */
function foldLog(path: string): void {
  const database = new MetaDatabase(path, { create: false });
  try {
    database.connection.exec('COMMIT');
    database.connection.pragma('wal_checkpoint(TRUNCATE)');
  } finally {
    database.close();
  }
  const log = `${path}-wal`;
  if ((statSync(log, { throwIfNoEntry: false })?.size ?? 0) > 0) {
    throw new DedupfsError(`${log} could not be folded in; nothing was changed`);
  }
  rmSync(log, { force: true });
}

function diskFull(storePath: string, cause: unknown): UserError {
  return new UserError(
    ExitCode.DISK_FULL,
    'DEDUPFS_DISK_FULL',
    `no room to rebuild the index of ${storePath}: two copies of its meta.db are needed; free some space`,
    { cause },
  );
}
