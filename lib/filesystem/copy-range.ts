// copy_file_range(2) by reference: the target shows the source's chunks. No data is read or written.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import type { Extent } from '../metastore/extent-codec.ts';
import { clip } from '../metastore/extent-range.ts';
import type { Inode } from '../metastore/inodes.ts';
import { noteAccess } from './access-times.ts';
import { FILE_BYTES_MAX } from './attributes.ts';
import type { CopyArguments } from './contract.ts';
import { dropCapability, findInode, touchContent } from './core.ts';
import type { FileContent } from './file-content.ts';
import type { FileParts } from './files.ts';

/** Most bytes one call moves, so that it blocks others for milliseconds only; callers go on. */
const COPY_BYTES_MAX = 256 * 1024 * 1024;
/** Rounds of waiting for a source that is being written at the same time. */
const SETTLE_ROUNDS_MAX = 8;

/** @throws EINVAL EFBIG ENOSPC EROFS EXDEV (the kernel then copies the data itself) */
export async function copyRange(parts: FileParts, copy: CopyArguments): Promise<number> {
  const { core } = parts;
  const source = findInode(core, copy.from.ino);
  const target = findInode(core, copy.to.ino);
  checkRange(source, target, copy);
  const content = core.contents.open(source);
  try {
    for (let round = 0; round < SETTLE_ROUNDS_MAX; round += 1) {
      if (core.gate.isOpen && isSettled(content, copy))
        return copyNow(parts, content, target, copy);
      await parts.ingest.settle(content);
      await new Promise<void>((resolve) => core.gate.whenOpen(resolve));
    }
  } finally {
    core.contents.release(content);
  }
  throw posixError(Errno.EXDEV);
}

/** Whether the extents tell all there is of the range. */
function isSettled(content: FileContent, copy: CopyArguments): boolean {
  const range = { offset: copy.from.offset, end: copy.from.offset + copy.bytes };
  return (
    content.dirty.find(range).length === 0 &&
    content.stretches.every((stretch) => stretch.pieces.find(range).length === 0)
  );
}

function checkRange(source: Inode, target: Inode, copy: CopyArguments): void {
  if (!source.isRegular || !target.isRegular) throw posixError(Errno.EINVAL);
  if (copy.to.offset >= FILE_BYTES_MAX) throw posixError(Errno.EFBIG);
  const distance = Math.abs(copy.from.offset - copy.to.offset);
  if (source === target && distance < copy.bytes) throw posixError(Errno.EINVAL);
}

/** Synchronous, so that source and target change at one moment. */
function copyNow(
  parts: FileParts,
  content: FileContent,
  target: Inode,
  copy: CopyArguments,
): number {
  const { core } = parts;
  const source = content.inode;
  const { from, to } = copy;
  const room = FILE_BYTES_MAX - to.offset;
  const bytes = Math.min(copy.bytes, COPY_BYTES_MAX, source.size - from.offset, room);
  if (bytes <= 0) return 0;
  core.changes.begin();
  core.changes.admit(0);
  const range = { offset: from.offset, end: from.offset + bytes };
  const shift = to.offset - from.offset;
  const extents = core.metastore.extents.find(source.ino, range).map((whole): Extent => {
    const extent = clip(whole, range);
    return { ...extent, offset: extent.offset + shift };
  });
  const targetContent = core.contents.open(target);
  const end = to.offset + bytes;
  noteAccess(core, source);
  targetContent.replaceStored({ offset: to.offset, end }, extents);
  if (end > target.size) core.metastore.inodes.resize(target, end);
  // What the request does not say of setuid and setgid, a SETATTR before it did (attributes.ts).
  dropCapability(core, target);
  touchContent(core, target);
  core.contents.release(targetContent);
  return bytes;
}
