// What lies in a store's directory, before any of it is opened. Whoever could write there once may have
// left a symbolic or hard link to a file elsewhere, which we would overwrite, or a FIFO that hangs
// whoever opens it. So nobody but its owner may write a store's directory, and every entry that could be
// opened must be what dedupfs makes. Once that has been seen, nobody can change it behind our back.

import { chmodSync, lstatSync, readdirSync, statSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, UserError } from '../errors.ts';

const ARENAS = 'arenas';
const SOCKET = 'control.sock';
/** Entries of other names may be folders (such as lost+found): nothing opens them. */
const OUR_FILES = /^(FORMAT|lock|meta\.db|last-close|reserve|config\.toml)/;
const WRITABLE_BY_OTHERS = 0o022;
const ACCESSIBLE_TO_OTHERS = 0o077;

/**
 * The directory is ours alone: one that others could read or enter is closed to them.
 * @returns whether that had to be done
 * @throws UserError NO_PERMISSION  another user's, or others may write there
 */
export function closeToOthers(storePath: string): boolean {
  const { uid, mode } = statSync(storePath);
  checkOwner(storePath, uid);
  if ((mode & WRITABLE_BY_OTHERS) !== 0) {
    throw unsafe(
      storePath,
      `can be written by others (mode ${octal(mode)})`,
      `see that nobody left anything in it, then 'chmod 700' it`,
    );
  }
  if ((mode & ACCESSIBLE_TO_OTHERS) === 0) return false;
  chmodSync(storePath, 0o700);
  return true;
}

/** Like `closeToOthers` for a directory in which a store is about to be made: it need not be closed. */
export function claimFolder(storePath: string): void {
  checkOwner(storePath, statSync(storePath).uid);
  chmodSync(storePath, 0o700);
}

/**
 * Every entry of the store is a file of ours with one name, or a directory or socket where one belongs.
 * @throws UserError NO_PERMISSION  names the entry and what it is
 */
export function checkEntries(storePath: string): void {
  for (const name of readdirSync(storePath)) {
    const path = join(storePath, name);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats !== undefined) checkEntry(path, name, stats);
  }
  const arenas = join(storePath, ARENAS);
  if (lstatSync(arenas, { throwIfNoEntry: false }) === undefined) return;
  for (const name of readdirSync(arenas)) {
    const path = join(arenas, name);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats !== undefined) checkFile(path, stats);
  }
}

function checkEntry(path: string, name: string, stats: Stats): void {
  if (name === ARENAS) {
    if (!stats.isDirectory()) throw misplaced(path, stats, 'a directory');
    checkOwner(path, stats.uid);
    if ((stats.mode & WRITABLE_BY_OTHERS) === 0) return;
    throw unsafe(path, `can be written by others (mode ${octal(stats.mode)})`, "'chmod 700' it");
  } else if (name === SOCKET) {
    if (!stats.isSocket()) throw misplaced(path, stats, 'a socket');
    checkOwner(path, stats.uid);
  } else if (!stats.isDirectory() || OUR_FILES.test(name)) {
    checkFile(path, stats);
  }
}

/** As `checkEntries` does for all, for a file that is read before. @throws UserError NO_PERMISSION */
export function checkStoreFile(path: string, stats: Stats = lstatSync(path)): void {
  checkFile(path, stats);
}

function checkFile(path: string, stats: Stats): void {
  if (!stats.isFile()) throw misplaced(path, stats, 'a regular file');
  checkOwner(path, stats.uid);
  if (stats.nlink === 1) return;
  throw unsafe(
    path,
    `has ${stats.nlink} names (hard links), expected one`,
    'a change would show under the others too: replace it by a copy of itself',
  );
}

function checkOwner(path: string, uid: number): void {
  const own = process.geteuid?.();
  if (own === undefined || uid === own) return;
  throw unsafe(path, `belongs to user ${uid}, not to you (${own})`, 'run as its owner or chown it');
}

function misplaced(path: string, stats: Stats, expected: string): UserError {
  return unsafe(path, `is ${typeOf(stats)}, expected ${expected}`, 'move it out of the store');
}

function typeOf(stats: Stats): string {
  if (stats.isSymbolicLink()) return 'a symbolic link';
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isSocket()) return 'a socket';
  return stats.isFile() ? 'a regular file' : 'a device';
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}

function unsafe(path: string, what: string, remedy: string): UserError {
  return new UserError(
    ExitCode.NO_PERMISSION,
    'DEDUPFS_UNSAFE_STORE',
    `${path} ${what}; ${remedy}`,
  );
}
