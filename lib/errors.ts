// The errors dedupfs throws on purpose. Each has a stable `code`; an `errno` for the kernel when a
// request caused it; an `exitCode` for the shell when a command caused it. Mapped at two places
// only: kernel/dispatch.ts (errno) and cli/main.ts (exit code).

import { Errno, errnoName, type ErrnoNumber } from './errno.ts';

/** Exit codes of the command line; printed by each command's --help. */
export const ExitCode = {
  OK: 0,
  FAILED: 1,
  USAGE: 2,
  DAMAGED: 3,
  REPAIRED: 4,
  NO_STORE: 10,
  LOCKED: 11,
  WRONG_FORMAT: 12,
  STORE_CONFLICT: 13,
  STORE_INCONSISTENT: 14,
  BAD_CONFIG: 15,
  NO_FUSE_DEVICE: 20,
  NO_PERMISSION: 21,
  STORE_INSIDE_MOUNT: 22,
  NO_MOUNTPOINT: 23,
  MOUNTPOINT_NOT_EMPTY: 24,
  DISK_FULL: 25,
  BUSY: 26,
  NOT_MOUNTED: 27,
  MOUNT_FAILED: 28,
  INTERRUPTED: 130,
} as const;

export type ExitCodeNumber = (typeof ExitCode)[keyof typeof ExitCode];

/** Base of every error thrown on purpose. Messages: the thing, expected, found, then the remedy. */
export class DedupfsError extends Error {
  readonly code: string = 'DEDUPFS_FAILED';
  readonly errno: ErrnoNumber = Errno.EIO;
  readonly exitCode: ExitCodeNumber = ExitCode.FAILED;
}

/** A mistake or a condition that the person at the command line can act on: printed as one line. */
export class UserError extends DedupfsError {
  override readonly code: string;
  override readonly exitCode: ExitCodeNumber;

  constructor(exitCode: ExitCodeNumber, code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
    this.code = code;
  }
}

/** Arguments or options that cannot be meant. @param message the thing, what it is, what to do */
export function usageError(message: string): UserError {
  return new UserError(ExitCode.USAGE, 'DEDUPFS_USAGE', message);
}

/** The answer POSIX prescribes for a request, such as ENOENT. Not a fault of the store. */
export class PosixError extends DedupfsError {
  override readonly code: string;
  override readonly errno: ErrnoNumber;

  constructor(errno: ErrnoNumber) {
    super(errnoName(errno));
    this.errno = errno;
    this.code = errnoName(errno);
  }
}

const posixErrors = new Map<number, PosixError>();

/**
 * The one shared error for an errno: such answers are frequent (a build asks for hundreds of absent
 * files a second), and capturing a stack for each would cost more than the request.
 */
export function posixError(errno: ErrnoNumber): PosixError {
  let error = posixErrors.get(errno);
  if (error === undefined) {
    error = new PosixError(errno);
    posixErrors.set(errno, error);
  }
  return error;
}

/**
 * ENOSPC while what is under way takes room beforehand, with what it may need: worth a second try when that is
 * stored.
 */
export class NoRoomYetError extends PosixError {
  constructor() {
    super(Errno.ENOSPC);
  }
}

/** The shared one, as with `posixError`. */
export const noRoomYet = new NoRoomYetError();

/** Bytes at rest are not what they should be (G2): the range that needs them reads as EIO. */
export class CorruptionError extends DedupfsError {
  override readonly code = 'DEDUPFS_CORRUPT';
  override readonly exitCode = ExitCode.DAMAGED;
}

/** The host's file system or quota has no room; the batch is kept and may be retried. */
export class NoSpaceError extends DedupfsError {
  override readonly code = 'DEDUPFS_NO_SPACE';
  override readonly errno = Errno.ENOSPC;
  override readonly exitCode = ExitCode.DISK_FULL;
}

/** The text of anything thrown, with its chain of causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `: ${describeError(error.cause)}`;
  return `${error.message}${cause}`;
}
