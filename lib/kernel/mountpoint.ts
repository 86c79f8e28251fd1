// The directory to mount on: resolved and checked without touching a mount of our own, because
// the daemon behind it may be dead (errors) or hang.

import { lstatSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { ExitCode, UserError, type ExitCodeNumber } from '../errors.ts';
import { dedupfsMounts, readMounts, type Mount } from './mountinfo.ts';

/** As the kernel's own limit (include/linux/namei.h, MAXSYMLINKS). */
const LINKS_MAX = 40;

/**
 * The absolute path, without symbolic links, as mountinfo shows it. A path that is a mount of
 * dedupfs is returned without a look at it.
 * @throws UserError NO_MOUNTPOINT
 */
export function resolveMountpoint(target: string, mounts: readonly Mount[] = readMounts()): string {
  let path = resolve(target);
  for (let links = 0; links < LINKS_MAX; links += 1) {
    if (path === '/') return path;
    const real = join(
      looked(target, () => realpathSync(dirname(path))),
      basename(path),
    );
    if (dedupfsMounts({ mountpoint: real }, mounts).length > 0) return real;
    if (!looked(target, () => lstatSync(real)).isSymbolicLink()) return real;
    path = resolve(
      dirname(real),
      looked(target, () => readlinkSync(real)),
    );
  }
  throw badMountpoint(target, 'has too many symbolic links');
}

/**
 * @param path from resolveMountpoint
 * @throws UserError NO_MOUNTPOINT, MOUNTPOINT_NOT_EMPTY, or BUSY when dedupfs is mounted there
 */
export function checkMountpoint(path: string, allowNonempty: boolean): void {
  const [mounted] = dedupfsMounts({ mountpoint: path });
  if (mounted !== undefined) {
    throw fault(
      ExitCode.BUSY,
      'DEDUPFS_MOUNTPOINT_BUSY',
      `${path} already has ${mounted.source} mounted; unmount it with 'dedupfs umount ${path}'`,
    );
  }
  if (!looked(path, () => lstatSync(path)).isDirectory()) {
    throw badMountpoint(path, 'is not a directory');
  }
  if (allowNonempty || looked(path, () => readdirSync(path)).length === 0) return;
  throw fault(
    ExitCode.MOUNTPOINT_NOT_EMPTY,
    'DEDUPFS_MOUNTPOINT_NOT_EMPTY',
    `mountpoint ${path} is not empty; a mount would hide its contents (-o nonempty allows it)`,
  );
}

function looked<T>(target: string, look: () => T): T {
  try {
    return look();
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    if (isMissing) throw badMountpoint(target, 'does not exist; create it first');
    throw badMountpoint(target, 'cannot be looked at', cause);
  }
}

function badMountpoint(target: string, problem: string, cause?: unknown): UserError {
  const message = `mountpoint ${target} ${problem}`;
  return fault(ExitCode.NO_MOUNTPOINT, 'DEDUPFS_NO_MOUNTPOINT', message, cause);
}

function fault(
  exitCode: ExitCodeNumber,
  code: string,
  message: string,
  cause?: unknown,
): UserError {
  return new UserError(exitCode, code, message, cause === undefined ? undefined : { cause });
}
