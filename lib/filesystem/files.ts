// Regular files: open, read, write, seek, allocate.

import type { ReadAhead } from '../dedup/read-ahead.ts';
import { Errno } from '../errno.ts';
import { CorruptionError, DedupfsError, posixError } from '../errors.ts';
import type { Inode } from '../metastore/inodes.ts';
import { cachingOf, noteAccess } from './access-times.ts';
import { FILE_BYTES_MAX } from './attributes.ts';
import type {
  Caller,
  FileHandle,
  OpenArguments,
  OpenedFile,
  Payload,
  WriteArguments,
} from './contract.ts';
import type { ContentIngest } from './content-ingest.ts';
import { clearSetIds, dropCapability, touchContent, type Core } from './core.ts';
import type { GatherBuffer } from './gather-buffer.ts';
import type { HandleTable, OpenFile } from './handles.ts';
import { ReadStream } from './read-stream.ts';

/** open(2) flags (asm-generic/fcntl.h). */
const O_ACCMODE = 0o3;
const O_RDONLY = 0o0;
const O_RDWR = 0o2;
const O_APPEND = 0o2000;
const O_NOATIME = 0o1000000;

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** fallocate(2) modes. */
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const ZERO_RANGE = 0x10;

export interface FileParts {
  readonly core: Core;
  readonly handles: HandleTable;
  readonly ingest: ContentIngest;
  readonly gather: GatherBuffer;
  readonly ahead: ReadAhead;
}

/** @throws EISDIR ENXIO EROFS */
export function openFile(parts: FileParts, inode: Inode, open: OpenArguments): OpenedFile {
  const { core, handles } = parts;
  if (inode.isDirectory) throw posixError(Errno.EISDIR);
  if (!inode.isRegular) throw posixError(Errno.ENXIO); // fifos and devices are the kernel's own
  const content = core.contents.open(inode);
  const mode = open.flags & O_ACCMODE;
  const access = { isWriting: mode !== O_RDONLY, isMappable: mode === O_RDWR };
  content.noteOpened(access);
  core.orphans.noteOpened(inode.ino);
  const isQuiet = (open.flags & O_NOATIME) !== 0;
  const stream = new ReadStream(content, parts.ahead);
  const fh = handles.addFile({ inode, content, notesAccess: !isQuiet, access, stream });
  // Reads that fill no pages leave it known whether a mapping may have stored something (seekFile).
  if (content.mappableHandles > 0) return { fh, caching: 'none' };
  return { fh, caching: isQuiet ? 'keep' : cachingOf(core, inode) };
}

export function releaseFile(parts: FileParts, fh: FileHandle): void {
  const file = parts.handles.removeFile(fh);
  if (file === undefined) return;
  const { content, inode, stream } = file;
  stream.close();
  content.noteClosed(file.access);
  if (content.handles === 0) parts.ingest.noteClosed(content);
  parts.core.contents.release(content);
  parts.core.orphans.noteClosed(inode.ino);
}

/** Fills `into`; returns the bytes that lie inside the file. @throws EIO a chunk is damaged */
export function readFile(core: Core, file: OpenFile, offset: number, into: Buffer): number {
  const { inode, content } = file;
  const bytes = Math.min(into.length, Math.max(0, inode.size - offset));
  if (file.notesAccess && into.length > 0) noteAccess(core, inode);
  if (bytes === 0) return 0;
  if (content.isLost) throw posixError(Errno.EIO);
  try {
    content.read(offset, into.subarray(0, bytes));
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    // Who reads a damaged file in a loop must not fill the log.
    if (!core.noteDamage(inode.ino)) throw posixError(Errno.EIO);
    throw new DedupfsError(`inode ${inode.ino}, bytes ${offset} to ${offset + bytes}`, {
      cause: error,
    });
  }
  return bytes;
}

/**
 * close(2) of a descriptor: the last word a program without fsync hears about its data.
 * @throws EIO what was written is lost, or will be: the mount turned read-only
 */
export function flushFile(core: Core, file: OpenFile): void {
  const { content } = file;
  const isDoomed = core.changes.isReadOnly() && !content.isSettled;
  if (content.isLost || isDoomed) throw posixError(Errno.EIO);
}

/** @throws ENOSPC EFBIG EROFS */
export function writeFile(
  parts: FileParts,
  file: OpenFile,
  write: WriteArguments & { readonly payload: Payload },
  caller: Caller,
): number {
  const { core, gather, ingest } = parts;
  const { inode, content } = file;
  const { payload } = write;
  if (payload.bytes === 0) return 0;
  core.changes.begin();
  // The kernel sends its idea of the end; ours cannot be behind another writer's.
  const offset = (write.flags & O_APPEND) !== 0 ? inode.size : write.offset;
  // POSIX: as many bytes as there is room for.
  const bytes = Math.min(payload.bytes, FILE_BYTES_MAX - offset);
  if (bytes <= 0) throw posixError(Errno.EFBIG);
  const end = offset + bytes;
  core.changes.admit(bytes);
  content.solidStart.noteWrite(offset, payload.slab.bytes, payload.offset, bytes);
  content.dirty.put({ offset, bytes, ...gather.keep({ ...payload, bytes }) });
  if (end > inode.size) core.metastore.inodes.resize(inode, end);
  if (write.killSuidgid) clearSetIds(core, inode, caller);
  dropCapability(core, inode);
  touchContent(core, inode);
  ingest.noteWrite(content, offset);
  return bytes;
}

/** @throws ENXIO EINVAL */
export function seekFile(file: OpenFile, offset: number, whence: number): number {
  const { inode, content } = file;
  if (offset >= inode.size) throw posixError(Errno.ENXIO);
  if (whence !== SEEK_HOLE && whence !== SEEK_DATA) throw posixError(Errno.EINVAL);
  // LSEEK does not make the kernel write what a mapping stored: a copy by holes would leave it out.
  if (content.mayHaveUnseenStores) return whence === SEEK_DATA ? offset : inode.size;
  if (whence === SEEK_HOLE) return content.nextHoleBlock(offset);
  const found = content.nextDataBlock(offset);
  if (found === undefined || found >= inode.size) throw posixError(Errno.ENXIO);
  return found;
}

/**
 * fallocate(2). Space cannot be reserved in a deduplicating store, since what will be written is not
 * known; a plain allocation only extends the file. @throws EOPNOTSUPP EFBIG EINVAL ENOSPC EROFS
 */
export function allocate(
  core: Core,
  file: OpenFile,
  range: { readonly offset: number; readonly bytes: number },
  mode: number,
): void {
  const { inode, content } = file;
  const end = range.offset + range.bytes;
  const keepsSize = (mode & KEEP_SIZE) !== 0;
  const kind = mode & ~KEEP_SIZE;
  if (range.bytes <= 0) throw posixError(Errno.EINVAL);
  if (end > FILE_BYTES_MAX) throw posixError(Errno.EFBIG);
  if (kind !== 0 && kind !== ZERO_RANGE && !(kind === PUNCH_HOLE && keepsSize)) {
    throw posixError(Errno.EOPNOTSUPP);
  }
  core.changes.begin();
  if (kind === 0) core.changes.admit(range.bytes);
  else content.replaceStored({ offset: range.offset, end }, []);
  const extends_ = !keepsSize && end > inode.size;
  if (extends_) core.metastore.inodes.resize(inode, end);
  dropCapability(core, inode);
  touchContent(core, inode);
}
