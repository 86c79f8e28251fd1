// What a path on the command line stands for: a store, or the mount point of one. Mount points are
// recognised by /proc/self/mountinfo alone, because asking a mount whose daemon hangs would hang us.

import { readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

import { FILE_SYSTEM_TYPE, readMounts, type Mount } from '../kernel/mountinfo.ts';

/** Bound on symbolic links in one path, as in the kernel (MAXSYMLINKS). */
const LINKS_MAX = 40;

export interface Place {
  /** Absolute path of the store, without symbolic links as far as it exists. */
  readonly storePath: string;
  /** Absolute path of the mount point, when that is what the path named. */
  readonly mountpoint: string | undefined;
}

/** @param path STORE or DIR as the user gave it */
export function findPlace(path: string): Place {
  const absolute = resolveUntouched(path);
  const mount = findDedupfsMount(absolute);
  if (mount !== undefined) return { storePath: mount.source, mountpoint: absolute };
  return { storePath: realpathAsFarAsItExists(absolute), mountpoint: undefined };
}

/** The dedupfs mount that is visible at this absolute path, alive or dead. */
export function findDedupfsMount(mountpoint: string): Mount | undefined {
  // Of stacked mounts the last one is visible, and is what umount2(2) takes away.
  const visible = readMounts().findLast((mount) => mount.mountpoint === mountpoint);
  return visible?.type === FILE_SYSTEM_TYPE ? visible : undefined;
}

/**
 * The absolute path without symbolic links, found without asking the file system mounted at its end:
 * readlink(2) on the root of a mount is refused by the kernel itself, since it is no link.
 */
export function resolveUntouched(path: string): string {
  let absolute = resolve(path);
  for (let links = 0; links < LINKS_MAX; links += 1) {
    if (absolute === '/') return absolute;
    absolute = join(realpathAsFarAsItExists(dirname(absolute)), basename(absolute));
    const target = readLinkIfLink(absolute);
    if (target === undefined) return absolute;
    absolute = resolve(dirname(absolute), target);
  }
  return absolute;
}

/** realpath(3) of the part of the path that exists, followed by the rest as it is. */
export function realpathAsFarAsItExists(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(realpathAsFarAsItExists(parent), basename(path));
  }
}

function readLinkIfLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Whether `path` is `folder` or lies below it; both absolute. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
