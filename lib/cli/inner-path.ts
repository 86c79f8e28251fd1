// From paths in mounts to paths in the store behind them, by /proc/self/mountinfo.

import { realpathSync } from 'node:fs';
import { basename, dirname, join, posix, resolve } from 'node:path';
import { ExitCode, UserError } from '../errors.ts';
import { FILE_SYSTEM_TYPE, readMounts, type Mount } from '../kernel/mountinfo.ts';
import { isWithin, resolveUntouched } from './place.ts';

export interface InnerPath {
  /** Absolute path of the store. */
  readonly storePath: string;
  /** From the root of the store, beginning with '/'. */
  readonly path: string;
}

/**
 * What a path in a mount is in its store. A symbolic link at its end is not followed.
 * @param path absolute, or relative to the working directory
 * @returns undefined when it lies in no dedupfs mount
 * @throws UserError DEDUPFS_NO_SUCH_PATH
 */
export function findInnerPath(path: string): InnerPath | undefined {
  const mounts = readMounts();
  // The mount point itself is not asked: its daemon may hang, and there is nothing to find out.
  const untouched = resolveUntouched(path);
  if (isRootOfOurs(untouched, mounts)) return innerPathOf(untouched, mounts);
  return innerPathOf(realFolder(resolve(path)), mounts);
}

/** The mount that shows a path, absolute and without symbolic links: the longest, of stacked ones the last. */
function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  let found: Mount | undefined;
  for (const mount of mounts) {
    if (!isWithin(path, mount.mountpoint)) continue;
    if (mount.mountpoint.length >= (found?.mountpoint.length ?? 0)) found = mount;
  }
  return found;
}

function isRootOfOurs(path: string, mounts: readonly Mount[]): boolean {
  const mount = mountOf(path, mounts);
  return mount?.mountpoint === path && mount.type === FILE_SYSTEM_TYPE;
}

/** @param mounts of this process, oldest first */
export function innerPathOf(path: string, mounts: readonly Mount[]): InnerPath | undefined {
  const mount = mountOf(path, mounts);
  if (mount?.type !== FILE_SYSTEM_TYPE) return undefined;
  const below = posix.relative(mount.mountpoint, path);
  return { storePath: mount.source, path: posix.join(mount.root, below) };
}

/** The path with all symbolic links but one at its end followed. @throws UserError DEDUPFS_NO_SUCH_PATH */
function realFolder(path: string): string {
  try {
    return path === '/' ? path : join(realpathSync.native(dirname(path)), basename(path));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const message = `no ${path}: its directory cannot be reached (${code ?? 'failed'})`;
    throw new UserError(ExitCode.USAGE, 'DEDUPFS_NO_SUCH_PATH', message, { cause });
  }
}
