// Looks at an arena's file before LMDB does. LMDB reads through a map of the file: a page behind the
// end of a file that was cut short kills the process with SIGBUS, and opening an absent file
// creates it.
//
//   offset of each meta page + 24   u32 magic 0xbeefc0de
//                            + 48   u32 page size
//                            + 144  u64 number of the last page in use
//                            + 152  u64 transaction; the greater one of the two counts

import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from 'node:fs';

const MAGIC = 0xbeefc0de;
const META_BYTES = 160;
/** The second meta page begins after the first page; arenas are written with 4 KiB pages. */
const META_OFFSETS = [0, 4096];

/** LMDB's two meta pages: all that an arena holds until its creation is synced (arena.ts). */
const CREATED_BYTES_MAX = 8192;

/** Whether a crash has cut off the creation of the arena at `path`: it never held anything. */
export function isCreationCutOff(path: string): boolean {
  return statSync(path).size <= CREATED_BYTES_MAX && arenaFileDefect(path) !== undefined;
}

/** Why the arena at `path` cannot be opened; undefined when it can. */
export function arenaFileDefect(path: string): string | undefined {
  if (!existsSync(path)) return `the file ${path} is missing`;
  const descriptor = openSync(path, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const metas = META_OFFSETS.map((offset) => readMeta(descriptor, offset));
    const [first, second] = metas;
    if (first === undefined || second === undefined) return `${path} is not an LMDB file`;
    const newer = second.transaction > first.transaction ? second : first;
    const bytes = (newer.lastPage + 1) * newer.pageBytes;
    return size < bytes ? `${path} has ${size} bytes, expected at least ${bytes}` : undefined;
  } finally {
    closeSync(descriptor);
  }
}

function readMeta(
  descriptor: number,
  offset: number,
): { pageBytes: number; lastPage: number; transaction: bigint } | undefined {
  const meta = Buffer.alloc(META_BYTES);
  if (readSync(descriptor, meta, 0, META_BYTES, offset) < META_BYTES) return undefined;
  if (meta.readUInt32LE(24) !== MAGIC) return undefined;
  return {
    pageBytes: meta.readUInt32LE(48),
    lastPage: Number(meta.readBigUInt64LE(144)),
    transaction: meta.readBigUInt64LE(152),
  };
}
