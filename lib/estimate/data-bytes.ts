// How much of a file is data. Blocks do not tell where the file system compresses (btrfs, ZFS), keeps small
// files in their inodes, or has not yet chosen the blocks: there a file without holes has fewer than its size.

import { closeSync, constants, openSync, type Stats } from 'node:fs';
import { native } from '../native.ts';

const BLOCK_BYTES = 512;
/** Stretches of data looked for in one file; what follows is taken to be as dense. */
const STRETCHES_MAX = 1024;

/** @param stats of a regular file */
export function dataBytesOf(path: Buffer, stats: Stats): number {
  const blockBytes = stats.blocks * BLOCK_BYTES;
  if (blockBytes >= stats.size) return stats.size;
  // What turned into a FIFO meanwhile must not hang, a symlink not lead anywhere.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  let fd: number;
  try {
    fd = openSync(path, flags);
  } catch {
    return blockBytes; // whoever reads it names it
  }
  try {
    return stretchesOf(fd, stats.size);
  } finally {
    closeSync(fd);
  }
}

function stretchesOf(fd: number, size: number): number {
  let data = 0;
  let position = 0;
  for (let count = 0; count < STRETCHES_MAX; count += 1) {
    const begin = native.seekData(fd, position);
    if (begin < 0 || begin >= size) return data; // ENXIO: a hole up to the end
    const end = native.seekHole(fd, begin);
    // No answer, or one that leads nowhere: it cannot tell holes.
    position = end > begin ? Math.min(end, size) : size;
    data += position - begin;
    if (position === size) return data;
  }
  return Math.round((data / position) * size);
}
