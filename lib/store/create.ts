// Finding out what lies at a path, and making a store there.

import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { ExitCode, UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { FileType } from '../metastore/inodes.ts';
import { Metastore } from '../metastore/metastore.ts';
import { FORMAT_VERSION } from '../metastore/schema.ts';
import { isFullError } from '../host-room.ts';
import { syncFolder } from '../sync-folder.ts';
import {
  createFormat,
  finishFormat,
  readFormat,
  UNFINISHED_FORMAT,
  writeUnfinishedFormat,
  type Format,
} from './format.ts';
import { migrateStore, needsMigration } from './migrations/migrate.ts';
import { checkEntries, claimFolder, closeToOthers } from './safe-entries.ts';

/** A store smaller than this cannot take its first commit. */
const HOST_BYTES_MIN = 32 * 1024 * 1024;
/** What may lie in a directory that is taken as empty. */
const EMPTY_NAMES = /^(lock|lost\+found|config\.toml)$/;

export interface FoundStore {
  readonly format: Format;
  readonly created: boolean;
  /** The format it had before this call, if it was migrated. */
  readonly migratedFrom: number | undefined;
}

/**
 * Makes sure that `path` can hold a store, and holds nothing that would lead out of it.
 * @returns whether the directory had to be closed to other users
 * @throws UserError NO_STORE NO_PERMISSION
 */
export function prepareFolder(path: string, create: boolean): boolean {
  const isStore = findFolder(path, create);
  return guard(path, () => {
    if (!isStore) claimFolder(path);
    const wasOpen = closeToOthers(path);
    checkEntries(path);
    return wasOpen;
  });
}

/** Whether there is a store already. */
function findFolder(path: string, create: boolean): boolean {
  const stats = guard(path, () => statSync(path, { throwIfNoEntry: false }));
  if (stats === undefined) {
    if (!create) throw noStore(path, 'does not exist', create);
    makeFolder(path);
    return false;
  }
  if (!stats.isDirectory()) throw noStore(path, 'is not a directory', create);
  if (hasEntry(path, 'FORMAT')) return true;
  // A creation that was cut off may begin again; a store that lost its FORMAT must not be touched.
  const isUnfinished = hasEntry(path, UNFINISHED_FORMAT);
  const names = guard(path, () => readdirSync(path)).filter((name) => !EMPTY_NAMES.test(name));
  if (!isUnfinished && (names.includes('meta.db') || names.includes('arenas'))) {
    throw lostFormat(path);
  }
  if (!isUnfinished && names.length > 0) {
    throw noStore(path, `is not a dedupfs store and not empty (it has ${names[0]})`, create);
  }
  if (!create) throw noStore(path, 'is not a dedupfs store', create);
  return false;
}

function makeFolder(path: string): void {
  const parent = dirname(path);
  if (!existsSync(parent)) {
    throw noStore(path, `cannot be created: ${parent} does not exist`, true);
  }
  guard(path, () => mkdirSync(path, { mode: 0o700 }));
}

/** Whether a directory holds nothing that a store could be lost with. @throws Error of readdir(2) */
export function isUnused(path: string): boolean {
  return readdirSync(path).every((name) => EMPTY_NAMES.test(name));
}

/** Also when it is a symbolic link that leads nowhere. */
function hasEntry(path: string, name: string): boolean {
  return guard(path, () => lstatSync(join(path, name), { throwIfNoEntry: false })) !== undefined;
}

/**
 * Reads what the store is, or creates it; one of an earlier format is brought to this one when `migrate`
 * is set. The lock must be held. @throws UserError  @throws CorruptionError  its metastore is too damaged to be migrated
 */
export function findOrCreate(
  path: string,
  options: {
    readonly create: boolean;
    readonly chunkBytes?: number | undefined;
    readonly migrate?: boolean | undefined;
    readonly log: Logger;
  },
): FoundStore {
  if (options.migrate !== true && needsMigration(path)) throw mustBeMounted(path);
  const migratedFrom = migrateStore(path, options.log);
  const format = readFormat(path);
  if (format === undefined) {
    return { format: createStore(path, options.chunkBytes), created: true, migratedFrom };
  }
  const { bytesMean } = format.chunking;
  if (options.chunkBytes !== undefined && options.chunkBytes !== bytesMean) {
    throw new UserError(
      ExitCode.STORE_CONFLICT,
      'DEDUPFS_CHUNK_SIZE_CONFLICT',
      `store ${path} was created with chunk size ${bytesMean / 1024}K, asked for ` +
        `${options.chunkBytes / 1024}K; leave --chunk-size out or create another store`,
    );
  }
  return { format, created: false, migratedFrom };
}

function createStore(path: string, chunkBytes: number | undefined): Format {
  const host = statfsSync(path);
  const format = createFormat(chunkBytes, host.blocks * host.bsize);
  try {
    if (host.bavail * host.bsize < HOST_BYTES_MIN) throw diskFull(path);
    for (const name of ['meta.db', 'meta.db-wal', 'meta.db-shm']) {
      rmSync(join(path, name), { force: true }); // of a creation that was cut off
    }
    writeUnfinishedFormat(path, format);
    mkdirSync(join(path, 'arenas'), { recursive: true, mode: 0o700 });
    createMetastore(join(path, 'meta.db'), format.uuid);
    syncFolder(path);
    syncName(path);
    finishFormat(path);
  } catch (error) {
    throw isFullError(error) ? diskFull(path, error) : error;
  }
  return format;
}

/** The store's own name must be as durable as what is in it. */
function syncName(path: string): void {
  try {
    syncFolder(dirname(path));
  } catch (error) {
    // Who may not read the folder above cannot sync it: its name is left to the host.
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
  }
}

function createMetastore(path: string, uuid: string): void {
  const metastore = new Metastore(path, { create: true });
  try {
    metastore.setMeta('uuid', uuid);
    metastore.setMeta('format', String(FORMAT_VERSION));
    const root = metastore.inodes.create(FileType.DIRECTORY | 0o755);
    root.nlink = 2;
    root.parent = root.ino;
    root.uid = process.getuid?.() ?? 0;
    root.gid = process.getgid?.() ?? 0;
    const seconds = Math.floor(Date.now() / 1000);
    root.atimeSec = root.mtimeSec = root.ctimeSec = root.btimeSec = seconds;
    metastore.commit();
  } finally {
    metastore.close(); // SQLite syncs the main file when the last connection closes
  }
}

function diskFull(path: string, cause?: unknown): UserError {
  return new UserError(
    ExitCode.DISK_FULL,
    'DEDUPFS_DISK_FULL',
    `no room to create store ${path}: its file system needs ${HOST_BYTES_MIN / 2 ** 20} MiB free; free some space or choose another place`,
    { cause },
  );
}

function lostFormat(path: string): UserError {
  return new UserError(
    ExitCode.STORE_INCONSISTENT,
    'DEDUPFS_FORMAT_MISSING',
    `store ${path} lacks its FORMAT file; 'dedupfs fsck --rebuild ${path}' makes it from the last checkpoint`,
  );
}

function mustBeMounted(path: string): UserError {
  return new UserError(
    ExitCode.WRONG_FORMAT,
    'DEDUPFS_WRONG_FORMAT',
    `store ${path} is not of format ${FORMAT_VERSION} yet; mount it once: that brings it there`,
  );
}

function noStore(path: string, why: string, create: boolean): UserError {
  const remedy = create
    ? 'name an existing store, or an absent or empty directory to create one'
    : 'name the directory of a store, or its mount point';
  return new UserError(ExitCode.NO_STORE, 'DEDUPFS_NO_STORE', `${path} ${why}; ${remedy}`);
}

function guard<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') throw error;
    throw new UserError(
      ExitCode.NO_PERMISSION,
      'DEDUPFS_NO_PERMISSION',
      `no permission to use store ${path} (${code}); run as its owner or choose another place`,
      { cause: error },
    );
  }
}
