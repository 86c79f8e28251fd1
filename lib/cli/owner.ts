// Who has a store open, for commands: a store we may not look at is an error with a remedy.

import { ExitCode, UserError } from '../errors.ts';
import type { StoreOwner } from '../store/contract.ts';
import { readOwner } from '../store/store.ts';

/** undefined: nobody, or there is no store. @throws UserError NO_PERMISSION */
export function findOwner(storePath: string): StoreOwner | undefined {
  try {
    return readOwner(storePath);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code !== 'EACCES' && code !== 'EPERM') throw cause;
    const message = `no permission to read store ${storePath}; run as its owner or as root`;
    throw new UserError(ExitCode.NO_PERMISSION, 'DEDUPFS_NO_PERMISSION', message);
  }
}

/** The error for a store that is not mounted any more, and not closed yet. */
export function stillCommitting(storePath: string, { pid }: StoreOwner): UserError {
  const how = `is unmounted, and process ${pid} is still at its final commit; wait until that ends`;
  return new UserError(ExitCode.LOCKED, 'DEDUPFS_LOCKED', `store ${storePath} ${how}`);
}

/** The error for a store that another process has open. */
export function lockedBy(storePath: string, { pid, mountpoint }: StoreOwner): UserError {
  const how =
    mountpoint === undefined
      ? `is in use by process ${pid}; wait until that ends`
      : `is mounted at ${mountpoint} by process ${pid}; unmount it with 'dedupfs umount ${mountpoint}'`;
  return new UserError(ExitCode.LOCKED, 'DEDUPFS_LOCKED', `store ${storePath} ${how}`);
}
