// What a store takes on the host for given contents. The row costs were measured with SQLite's dbstat on
// stores filled by `cp -a` from /usr/include (8,900 inodes) and /usr/share (58,000): both are met within
// 3 % (m). Extended attributes are left out.

import { PACK_BYTES_TARGET, PACK_HEADER_BYTES } from '../blockstore/pack.ts';
import { ENTRY_BYTES } from '../blockstore/directory.ts';
import type { TreeCounts } from './tree-walk.ts';

/** What a fresh store has besides arenas and metastore: its reserve at rest, locks, FORMAT, last-close. */
const FIXED_BYTES = 1024 * 1024 + (32 + 12 + 4 + 4) * 1024;
/** Of an arena: its lock file, and LMDB's tree and free pages. */
const ARENA_BYTES = (12 + 24) * 1024;
const ARENA_CAPACITY = 1024 ** 3;
/** Of a pack: half a page that it does not fill, and its place in the tree. */
const PACK_EXTRA_BYTES = 2270;

/** Of the metastore, bytes for each row with its share of half-filled pages. */
const INODE_BYTES = 53;
const CHUNK_BYTES = 37 + 27.5;
const SYMLINK_BYTES = 9;
const PACK_ROW_BYTES = 60;
/** A name costs its bytes and so many more... */
const NAME_EXTRA_BYTES = 20.7;
/** ...in pages that are so much larger than what is in them. */
const NAME_PAGES = 1.16;
/** A segment's extents, and each of them. */
const SEGMENT_EXTRA_BYTES = 9.3;
const EXTENT_BYTES = 6.4;
const SEGMENT_PAGES = 1.17;
/** The schema, the counters, and tables with a page each. */
const METASTORE_FIXED_BYTES = 9 * 8192;
/** A metadata checkpoint, compressed by lz4, beside what it is of. */
const CHECKPOINT_SHARE = 0.61;
const CHECKPOINT_FIXED_BYTES = 32 * 1024;

export interface Contents {
  readonly counts: TreeCounts;
  /** Extents of all files: chunks as often as they are referred to. */
  readonly extents: number;
  readonly chunks: number;
  /** As stored in frames. */
  readonly storedBytes: number;
  /** Mean of the frames' stored bytes. */
  readonly frameBytes: number;
}

export function storeBytesOf(contents: Contents): number {
  const { chunks, storedBytes, frameBytes } = contents;
  const recordBytes = storedBytes + chunks * ENTRY_BYTES;
  // A pack is closed by the frame that makes it full.
  const packs = Math.ceil(recordBytes / (PACK_BYTES_TARGET + frameBytes / 2));
  const packBytes = recordBytes + packs * (PACK_HEADER_BYTES + PACK_EXTRA_BYTES);
  const arenas = Math.ceil(packBytes / ARENA_CAPACITY);
  const metastore = metastoreBytesOf(contents, packs);
  const checkpoint = metastore * CHECKPOINT_SHARE + CHECKPOINT_FIXED_BYTES;
  return Math.round(FIXED_BYTES + packBytes + arenas * ARENA_BYTES + metastore + checkpoint);
}

function metastoreBytesOf({ counts, extents, chunks }: Contents, packs: number): number {
  const { files, directories, symlinks, specials, hardLinks } = counts;
  const inodes = files + directories + symlinks + specials;
  const names = inodes + hardLinks;
  return (
    METASTORE_FIXED_BYTES +
    inodes * INODE_BYTES +
    (names * NAME_EXTRA_BYTES + counts.nameBytes) * NAME_PAGES +
    symlinks * SYMLINK_BYTES +
    counts.targetBytes +
    (counts.segments * SEGMENT_EXTRA_BYTES + extents * EXTENT_BYTES) * SEGMENT_PAGES +
    chunks * CHUNK_BYTES +
    packs * PACK_ROW_BYTES
  );
}
