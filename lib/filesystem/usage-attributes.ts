// What a file or a directory takes of the store, as xattrs that nobody stores: read-only, and left out
// of listings, so that programs that copy all xattrs of a file do not copy these. Of a directory they
// tell of everything below it.
//
// They are told to root and to the user who serves the mount only: by what a file of his own shares,
// anybody else could find out what others have stored.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import type { Inode } from '../metastore/inodes.ts';
import type { Caller } from './contract.ts';

export interface InodeUsage {
  /** Bytes that extents show. */
  readonly referencedBytes: number;
  /** Distinct chunks, and what they take compressed. */
  readonly chunks: number;
  readonly storedBytes: number;
  /** What deleting it gives back; of a file: with all its names. */
  readonly exclusiveDiskBytes: number;
}

const formats = new Map<string, (usage: InodeUsage) => string>([
  ['user.dedupfs.stored', ({ storedBytes }) => String(storedBytes)],
  ['user.dedupfs.exclusive', ({ exclusiveDiskBytes }) => String(exclusiveDiskBytes)],
  ['user.dedupfs.chunks', ({ chunks }) => String(chunks)],
  [
    'user.dedupfs.ratio',
    ({ referencedBytes, storedBytes }) =>
      (storedBytes === 0 ? 1 : referencedBytes / storedBytes).toFixed(2),
  ],
]);
/** As long as the longest value. */
const ROOM = Buffer.alloc(String(Number.MAX_SAFE_INTEGER).length + 3);

export function isUsageName(name: Buffer): boolean {
  return formats.has(name.toString('latin1'));
}

/** Room for any of the values. */
export function usageAttributeRoom(): Buffer {
  return ROOM;
}

/** @throws ENODATA  not for this caller, or not for a file of this type */
export function checkUsageAsker(inode: Inode, { uid }: Caller): void {
  const isAllowed = uid === 0 || uid === process.geteuid?.();
  if (!isAllowed || (!inode.isRegular && !inode.isDirectory)) throw posixError(Errno.ENODATA);
}

export function formatUsage(name: Buffer, usage: InodeUsage): Buffer {
  const format = formats.get(name.toString('latin1'));
  return Buffer.from(format?.(usage) ?? '');
}
