// fsck --repair: a copy of meta.db is repaired and checked, and then takes the place of the original.
//
//   meta.db.repair        the copy that is worked on
//   meta.db.repair.jsonl  its journal, until the copy has taken its place
//   meta.db.before-repair the metastore as it was, until somebody removes it
//   repair-<time>.jsonl   the journal of a repair that was done
//
// The rename of the copy over meta.db is the moment when the repair happens: before it the store is the
// old one, after it the new one, whatever stops us. SQLite would replay any meta.db-wal it finds into
// whatever is called meta.db, so the old one's is folded in and gone, durably, before that rename.

import {
  constants,
  copyFileSync,
  createReadStream,
  existsSync,
  linkSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { checkpointArenaPath } from '../blockstore/checkpoint-arena.ts';
import { CorruptionError, DedupfsError, ExitCode, UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Finding } from '../maintenance/checks/check.ts';
import { RepairJournal, type RepairChange } from '../maintenance/repair-journal.ts';
import { repairMetastore, type RepairOutcome } from '../maintenance/repair.ts';
import { MetaDatabase } from '../metastore/database.ts';
import { Metastore } from '../metastore/metastore.ts';
import { syncFile, syncFolder } from '../sync-folder.ts';
import type { FsckProgress } from './contract.ts';
import { countingArenas, withOfflineStore, type OfflineStore } from './offline.ts';
import { checkIdentity } from './open-metastore.ts';
import { putArenaAside } from './recover.ts';

export interface RepairReport {
  /** clean: nothing to do. repaired, or repairable in a dry run. damaged: could not be repaired. */
  readonly result: 'clean' | 'repaired' | 'repairable' | 'damaged';
  readonly findings: readonly Finding[];
  readonly findingsOmitted: number;
  /** What would still be found after the repair, which was therefore not done. */
  readonly left: readonly Finding[];
  /** The first changes, and their number. */
  readonly changes: readonly RepairChange[];
  readonly changesTotal: number;
  /** Path of the journal; undefined when nothing was done. */
  readonly journal: string | undefined;
  /** Path of the metastore as it was before; undefined when nothing was done. */
  readonly before: string | undefined;
  /** Paths of arena files that nobody can read, under their new names. */
  readonly filesPutAside: readonly string[];
}

export interface RepairOptions {
  /** Repair the copy only, and remove it again. */
  readonly dryRun: boolean;
  readonly log: Logger;
  readonly onProgress?: (progress: FsckProgress) => void;
  /** Ends it, with its reason, until the copy takes the original's place; nothing is changed then. */
  readonly signal?: AbortSignal;
  /** Gets the changes before they take effect. */
  readonly onPlan?: (changes: AsyncIterable<RepairChange>) => Promise<void>;
}

/** @throws UserError LOCKED NO_STORE WRONG_FORMAT STORE_INCONSISTENT DISK_FULL NO_PERMISSION */
export async function repairStore(path: string, options: RepairOptions): Promise<RepairReport> {
  return withOfflineStore(path, options.log, async (store) => {
    const files = new RepairFiles(store.path);
    files.finishEarlier();
    files.removeWork();
    const arenasMade = new Set<number>();
    try {
      files.makeCopy();
      return await repairCopy(store, files, options, arenasMade);
    } catch (error) {
      throw explain(store.path, error);
    } finally {
      // Those of a repair that took effect are no longer among them.
      for (const id of arenasMade) await store.blockStore.remove(id);
      files.removeWork();
    }
  });
}

async function repairCopy(
  store: OfflineStore,
  files: RepairFiles,
  options: RepairOptions,
  arenasMade: Set<number>,
): Promise<RepairReport> {
  const journal = new RepairJournal(files.workJournal);
  let outcome: RepairOutcome;
  try {
    outcome = await repairMetastore({
      ...options,
      path: files.copy,
      hash: store.hash,
      blockStore: openCountingArenas(store, files.copy),
      journal,
      arenasMade,
    });
  } finally {
    journal.finish();
  }
  const changesTotal = journal.count;
  const report = { ...outcome, changes: journal.listed, changesTotal };
  const nothing = { journal: undefined, before: undefined, filesPutAside: [] };
  if (outcome.findings.length === 0) return { ...report, ...nothing, result: 'clean' };
  await options.onPlan?.(readJournal(files.workJournal));
  options.signal?.throwIfAborted();
  if (outcome.left.length > 0) return { ...report, ...nothing, result: 'damaged' };
  if (options.dryRun) return { ...report, ...nothing, result: 'repairable' };
  await store.blockStore.close();
  if (changesTotal > 0) {
    finishCopy(files.copy);
    files.replace();
    arenasMade.clear();
  }
  const filesPutAside = putFilesAside(store.blockStore, outcome);
  if (changesTotal === 0) return { ...report, ...nothing, filesPutAside, result: 'repaired' };
  const journalPath = files.keepJournal();
  return {
    ...report,
    result: 'repaired',
    journal: journalPath,
    before: files.before,
    filesPutAside,
  };
}

function openCountingArenas(store: OfflineStore, copy: string): ReturnType<typeof countingArenas> {
  const metastore = new Metastore(copy, { create: false });
  try {
    checkIdentity(store.path, store.uuid, metastore);
    return countingArenas(store, metastore);
  } finally {
    metastore.close();
  }
}

function putFilesAside(
  blockStore: OfflineStore['blockStore'],
  { arenasPutAside, checkpointsPutAside }: RepairOutcome,
): string[] {
  const { folder } = blockStore;
  const paths = [
    ...arenasPutAside.map((id) => blockStore.path(id)),
    ...checkpointsPutAside.map((id) => checkpointArenaPath(folder, id)),
  ];
  const asides = paths.map((path) => putArenaAside(path));
  if (asides.length > 0) syncFolder(folder);
  return asides;
}

/** Moves everything into the copy's one file, gives free pages back, and makes it durable. */
function finishCopy(path: string): void {
  const database = new MetaDatabase(path, { create: false });
  database.connection.exec('COMMIT');
  database.connection.pragma('incremental_vacuum');
  database.connection.pragma('wal_checkpoint(TRUNCATE)');
  database.close();
  syncFile(path);
}

class RepairFiles {
  readonly copy: string;
  readonly workJournal: string;
  readonly before: string;
  readonly #folder: string;
  readonly #original: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.#original = join(folder, 'meta.db');
    this.copy = `${this.#original}.repair`;
    this.workJournal = `${this.copy}.jsonl`;
    this.before = `${this.#original}.before-repair`;
  }

  /** A repair that was stopped right after its rename: all that it lacks is its journal's name. */
  finishEarlier(): void {
    if (existsSync(this.workJournal) && !existsSync(this.copy)) this.keepJournal();
  }

  /** The journal first: one without a copy is that of a repair that was done. */
  removeWork(): void {
    rmSync(this.workJournal, { force: true });
    for (const suffix of ['', '-wal', '-shm', '-journal']) {
      rmSync(`${this.copy}${suffix}`, { force: true });
    }
  }

  /** The WAL goes along: the copy is what a mount would see, and the original stays as it is. */
  makeCopy(): void {
    if (!existsSync(this.#original)) throw unreadable(this.#folder, 'is missing');
    for (const suffix of ['-wal', '']) {
      if (!existsSync(`${this.#original}${suffix}`)) continue;
      copyFileSync(
        `${this.#original}${suffix}`,
        `${this.copy}${suffix}`,
        constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE,
      );
    }
  }

  /** The copy takes the original's place. */
  replace(): void {
    this.#foldOriginal();
    rmSync(this.before, { force: true });
    keepUnder(this.#original, this.before);
    syncFolder(this.#folder);
    renameSync(this.copy, this.#original);
    syncFolder(this.#folder);
  }

  /** Afterwards the original has no WAL, also after a power cut. */
  #foldOriginal(): void {
    const database = new MetaDatabase(this.#original, { create: false });
    database.connection.exec('COMMIT');
    database.connection.pragma('wal_checkpoint(TRUNCATE)');
    database.close();
    for (const name of [`${this.#original}-wal`, `${this.copy}-wal`]) {
      if ((statSync(name, { throwIfNoEntry: false })?.size ?? 0) > 0) {
        throw new DedupfsError(`${name} could not be folded in; nothing was changed`);
      }
      rmSync(name, { force: true });
    }
    syncFile(this.#original);
    syncFolder(this.#folder);
  }

  keepJournal(): string {
    const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
    const path = join(this.#folder, `repair-${time}.jsonl`);
    renameSync(this.workJournal, path);
    syncFolder(this.#folder);
    return path;
  }
}

/** A second name for a file; a copy where the file system has no links. */
function keepUnder(path: string, name: string): void {
  try {
    linkSync(path, name);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EMLINK') throw error;
    copyFileSync(path, name);
    syncFile(name);
  }
}

async function* readJournal(path: string): AsyncGenerator<RepairChange> {
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Infinity });
  for await (const line of lines) yield JSON.parse(line) as RepairChange;
}

function explain(storePath: string, error: unknown): unknown {
  if (error instanceof UserError) return error;
  const { code, message } = error as { code?: unknown; message?: string };
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'SQLITE_FULL') {
    return new UserError(
      ExitCode.DISK_FULL,
      'DEDUPFS_DISK_FULL',
      `no room to repair ${storePath}: a copy of its meta.db is needed; free some space and try again`,
      { cause: error },
    );
  }
  const isUnreadable =
    error instanceof CorruptionError ||
    (typeof code === 'string' && /^SQLITE_(CORRUPT|NOTADB|IOERR|ERROR)/.test(code));
  return isUnreadable ? unreadable(storePath, `cannot be read (${message})`, error) : error;
}

function unreadable(storePath: string, what: string, cause?: unknown): UserError {
  return new UserError(
    ExitCode.STORE_INCONSISTENT,
    'DEDUPFS_METASTORE_UNREADABLE',
    `the metastore ${join(storePath, 'meta.db')} ${what}; ` +
      `make it anew from its last checkpoint with 'dedupfs fsck --rebuild ${storePath}'`,
    cause === undefined ? undefined : { cause },
  );
}
