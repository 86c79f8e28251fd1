// STORE/lock: held by flock(2) as long as a process has the store open (G8). Its content tells the
// others who that is; the lock itself is what counts, so a stale file of a dead process is harmless.

import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, UserError } from '../errors.ts';
import { native } from '../native.ts';
import type { StoreOwner } from './contract.ts';

/** `lockState` takes the lock for a moment: an opener tries again for this long. */
const RETRY_MS_MAX = 300;
const RETRY_MS = 20;
/** A pid and a path of PATH_MAX bytes, each of which JSON may write as 6. */
const OWNER_BYTES = 32 * 1024;

export class StoreLock {
  #descriptor: number | undefined;

  private constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** @throws UserError LOCKED  names the owner's pid  @throws UserError NO_PERMISSION  the host is read-only */
  static async acquire(storePath: string, mountpoint: string | undefined): Promise<StoreLock> {
    const descriptor = openLock(storePath);
    const endMs = Date.now() + RETRY_MS_MAX;
    while (native.tryLock(descriptor) < 0) {
      if (Date.now() >= endMs) {
        const owner = parseOwner(descriptor);
        closeSync(descriptor);
        throw lockedError(storePath, owner);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    writeOwner(descriptor, JSON.stringify({ pid: process.pid, mountpoint } satisfies StoreOwner));
    return new StoreLock(descriptor);
  }

  release(): void {
    if (this.#descriptor === undefined) return;
    writeOwner(this.#descriptor, '');
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

function openLock(storePath: string): number {
  // Never through a symlink: whoever can write the directory could aim it at any file.
  const { O_CREAT, O_NOFOLLOW, O_RDWR } = constants;
  try {
    return openSync(join(storePath, 'lock'), O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EROFS') throw error;
    throw new UserError(
      ExitCode.NO_PERMISSION,
      'DEDUPFS_READ_ONLY_HOST',
      `store ${storePath} lies on a file system that is mounted read-only, and must be locked to be used; remount that for writing`,
      { cause: error },
    );
  }
}

/** In place, over the blocks the file has: a store on a full disk must be mountable too. */
function writeOwner(descriptor: number, text: string): void {
  const line = Buffer.alloc(OWNER_BYTES, ' ');
  line.write(text, 'utf8');
  line.write('\n', OWNER_BYTES - 1);
  try {
    writeSync(descriptor, line, 0, OWNER_BYTES, 0);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Who holds the lock is a courtesy; the lock itself is held.
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
  }
}

function lockedError(storePath: string, owner: StoreOwner | undefined): UserError {
  const who = owner === undefined ? 'another process' : `process ${owner.pid}`;
  const remedy =
    owner?.mountpoint === undefined
      ? 'wait for it to finish'
      : `it is mounted at ${owner.mountpoint}; unmount it with 'dedupfs umount ${owner.mountpoint}'`;
  return new UserError(
    ExitCode.LOCKED,
    'DEDUPFS_LOCKED',
    `store ${storePath} is in use by ${who}; ${remedy}`,
  );
}

export type LockState =
  /** There is no lock file: no store, or not the one that was here before. Its owner may well live. */
  | { readonly state: 'absent' }
  /** Nobody has the store open. */
  | { readonly state: 'free' }
  /** @property owner undefined: the file does not tell */
  | { readonly state: 'held'; readonly owner: StoreOwner | undefined };

/** Who holds the lock of a store now; undefined when nobody does, it is not told, or there is no store. */
export function readOwner(storePath: string): StoreOwner | undefined {
  const lock = lockState(storePath);
  return lock.state === 'held' ? lock.owner : undefined;
}

/** @throws Error of the host, such as EACCES */
export function lockState(storePath: string): LockState {
  let descriptor: number;
  try {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    descriptor = openSync(join(storePath, 'lock'), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // What is no lock file, opening the store will tell.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return { state: 'absent' };
    throw error;
  }
  try {
    if (!fstatSync(descriptor).isFile()) return { state: 'absent' };
    if (native.tryLock(descriptor) >= 0) return { state: 'free' };
    return { state: 'held', owner: parseOwner(descriptor) };
  } finally {
    closeSync(descriptor);
  }
}

function parseOwner(descriptor: number): StoreOwner | undefined {
  try {
    const line = Buffer.alloc(OWNER_BYTES);
    const bytes = readSync(descriptor, line, 0, line.length, 0);
    const { pid, mountpoint } = JSON.parse(line.toString('utf8', 0, bytes)) as Partial<StoreOwner>;
    if (!Number.isSafeInteger(pid)) return undefined;
    return {
      pid: Number(pid),
      mountpoint: mountpoint === undefined ? undefined : String(mountpoint),
    };
  } catch {
    return undefined; // the owner is just writing it
  }
}
