// What one file takes, as of this moment: from memory where rows lag behind it, so that no commit is
// needed. At once, so only for files of bounded size.

import type { Inode } from '../../metastore/inodes.ts';
import type { Metastore } from '../../metastore/metastore.ts';
import { bytesInArena } from '../../blockstore/pack.ts';
import type { ChunkId } from '../../dedup/chunk-index.ts';

/** A few milliseconds' worth of chunks. */
const BYTES_MAX = 8 * 1024 * 1024;

export interface FileUsage {
  readonly referencedBytes: number;
  readonly chunks: number;
  readonly storedBytes: number;
  readonly exclusiveDiskBytes: number;
}

/** Whether its chunks are few enough to be looked at in one go. */
export function isSmallFile(inode: Inode): boolean {
  return inode.isRegular && inode.size <= BYTES_MAX;
}

/** What has been given to ingest counts, what is still dirty does not. */
export function fileUsageNow(metastore: Metastore, inode: Inode): FileUsage {
  const references = new Map<ChunkId, number>();
  const extents = metastore.extents.find(inode.ino, { offset: 0, end: inode.size });
  for (const { chunk } of extents) references.set(chunk, (references.get(chunk) ?? 0) + 1);
  let storedBytes = 0;
  const own = { storedBytes: 0, chunks: 0 };
  for (const [chunk, ours] of references) {
    const found = metastore.chunks.describe(chunk);
    if (found === undefined || found.storedBytes === 0) continue;
    storedBytes += found.storedBytes;
    if (ours < found.references) continue;
    own.storedBytes += found.storedBytes;
    own.chunks += 1;
  }
  const exclusiveDiskBytes = bytesInArena(own.storedBytes, own.chunks);
  return {
    referencedBytes: inode.mapped,
    chunks: references.size,
    storedBytes,
    exclusiveDiskBytes,
  };
}
