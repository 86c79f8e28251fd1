// Room on the host for what is about to be written. Files get their blocks before they are written,
// so that a write cannot meet a full disk: LMDB corrupts the process's memory when its writes do,
// and SQLite gives up the whole batch.

import { closeSync, fstatSync, openSync } from 'node:fs';
import { Errno } from './errno.ts';
import { native } from './native.ts';

export interface HostRoom {
  /**
   * Runs `allocate`, which gets blocks for `bytes` and returns 0 or a negative errno. When the host
   * is full, as many of the reserve are given up for it and it runs again.
   * @throws NoSpaceError  @throws Error  any other errno
   */
  secure(bytes: number, allocate: () => number): void;
  /** Whether the reserve is whole and there is room beyond it. */
  readonly isRoomy: boolean;
  /** Whether so many bytes fit and writes still have as much as the reserve: for what can wait. */
  hasRoomToSpare(bytes: number): boolean;
}

/** Gives a file blocks for so many bytes behind its end. @returns 0 or negative errno */
export function allocateBehindEnd(path: string, bytes: number): number {
  const descriptor = openSync(path, 'r+');
  try {
    return native.allocate(descriptor, fstatSync(descriptor).size, bytes, true);
  } finally {
    closeSync(descriptor);
  }
}

/** The host's file system, or a quota on it, has no room (negative errno of a system call). */
export function isFull(result: number): boolean {
  return result === -Errno.ENOSPC || result === -Errno.EDQUOT;
}

/** The same of an error that Node or SQLite threw. */
export function isFullError(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'SQLITE_FULL';
}
