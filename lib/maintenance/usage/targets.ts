// Paths inside a store, as the root of its mount shows them, and what they name.

import { posix } from 'node:path';
import { ExitCode, UserError } from '../../errors.ts';
import { FileType } from '../../metastore/inodes.ts';
import type { Metastore } from '../../metastore/metastore.ts';

export const ROOT_INO = 1;
const DIRECTORY = FileType.DIRECTORY >> 12;

/** A name in a directory, or the root of the store. */
export interface Target {
  /** Absolute, from the root of the store. */
  readonly path: string;
  /** The directory that has the name; 0 for the root. */
  readonly parent: number;
  readonly ino: number;
  readonly isDirectory: boolean;
}

/**
 * Symbolic links are not followed: a link is what it says, not what it points to.
 * @throws UserError DEDUPFS_NO_SUCH_PATH
 */
export function findTarget(metastore: Metastore, path: string): Target {
  const absolute = posix.resolve('/', path);
  const names = absolute.split('/').filter((name) => name !== '');
  let target: Target = { path: absolute, parent: 0, ino: ROOT_INO, isDirectory: true };
  for (const name of names) {
    const found = metastore.dentries.find(target.ino, Buffer.from(name));
    if (found === undefined || !target.isDirectory) throw noSuchPath(absolute, name);
    const isDirectory = found.type === DIRECTORY;
    target = { path: absolute, parent: target.ino, ino: found.ino, isDirectory };
  }
  return target;
}

function noSuchPath(path: string, name: string): UserError {
  const what = `no ${path} in the store: it has no '${name}' there`;
  return new UserError(
    ExitCode.USAGE,
    'DEDUPFS_NO_SUCH_PATH',
    `${what}; paths count from the root of the mount`,
  );
}
