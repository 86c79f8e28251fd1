// Reply encoders: each writes one struct at a place of a caller's buffer and returns its length.
// The out header comes last, when the length of the whole message is known.

import * as structs from './reply-structs.ts';
import { setI32, setI64, setU16, setU32, setU64 } from './struct.ts';

/** Attributes as stat(2) shows them; `lib/filesystem/contract.ts` has the same shape. */
export interface WireAttributes {
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  readonly blocks: number;
  readonly atimeSec: number;
  readonly atimeNsec: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
  readonly btimeSec: number;
  readonly btimeNsec: number;
  readonly isProvisional?: boolean;
}

/**
 * Seconds that the kernel may believe names and attributes, present or absent. Every change goes
 * through this kernel (one writer, one mount), which updates what it caches, so a day is safe.
 */
export const CACHE_SECONDS = 86_400;

/** st_blksize: the page. The kernel derives the inode's block bits from it. */
const BLOCK_BYTES = 4096;

const attrAt = structs.attr.at;

export function encodeOutHeader(
  view: DataView,
  at: number,
  reply: { bytes: number; errno: number; uniqueLow: number; uniqueHigh: number },
): void {
  setU32(view, at, structs.outHeader.at.len, reply.bytes);
  setI32(view, at, structs.outHeader.at.error, -reply.errno);
  view.setUint32(at + structs.outHeader.at.unique, reply.uniqueLow, true);
  view.setUint32(at + structs.outHeader.at.unique + 4, reply.uniqueHigh, true);
}

export function encodeAttr(view: DataView, at: number, attributes: WireAttributes): number {
  setU64(view, at, attrAt.ino, attributes.ino);
  setU64(view, at, attrAt.size, attributes.size);
  setU64(view, at, attrAt.blocks, attributes.blocks);
  setI64(view, at, attrAt.atime, attributes.atimeSec);
  setI64(view, at, attrAt.mtime, attributes.mtimeSec);
  setI64(view, at, attrAt.ctime, attributes.ctimeSec);
  setU32(view, at, attrAt.atimensec, attributes.atimeNsec);
  setU32(view, at, attrAt.mtimensec, attributes.mtimeNsec);
  setU32(view, at, attrAt.ctimensec, attributes.ctimeNsec);
  setU32(view, at, attrAt.mode, attributes.mode);
  setU32(view, at, attrAt.nlink, attributes.nlink);
  setU32(view, at, attrAt.uid, attributes.uid);
  setU32(view, at, attrAt.gid, attributes.gid);
  setU32(view, at, attrAt.rdev, attributes.rdev);
  setU32(view, at, attrAt.blksize, BLOCK_BYTES);
  setU32(view, at, attrAt.flags, 0);
  return structs.attr.bytes;
}

/** How long the kernel may believe attributes: not at all while `blocks` can change by itself. */
function attributesValidSeconds(attributes: WireAttributes | undefined): number {
  return attributes?.isProvisional === true ? 0 : CACHE_SECONDS;
}

/** The entry of a name; undefined: there is none, which the kernel may cache as well. */
export function encodeEntry(
  view: DataView,
  at: number,
  attributes: WireAttributes | undefined,
): number {
  const entryAt = structs.entryOut.at;
  setU64(view, at, entryAt.nodeid, attributes?.ino ?? 0);
  // Inode numbers are never reused (I3), so one generation is enough.
  setU64(view, at, entryAt.generation, 0);
  setU64(view, at, entryAt.entry_valid, CACHE_SECONDS);
  setU64(view, at, entryAt.attr_valid, attributesValidSeconds(attributes));
  setU32(view, at, entryAt.entry_valid_nsec, 0);
  setU32(view, at, entryAt.attr_valid_nsec, 0);
  if (attributes === undefined) clear(view, at + entryAt.attr, structs.attr.bytes);
  else encodeAttr(view, at + entryAt.attr, attributes);
  return structs.entryOut.bytes;
}

export function encodeAttrOut(view: DataView, at: number, attributes: WireAttributes): number {
  setU64(view, at, structs.attrOut.at.attr_valid, attributesValidSeconds(attributes));
  setU32(view, at, structs.attrOut.at.attr_valid_nsec, 0);
  setU32(view, at, structs.attrOut.at.dummy, 0);
  encodeAttr(view, at + structs.attrOut.at.attr, attributes);
  return structs.attrOut.bytes;
}

/** STATX_BASIC_STATS | STATX_BTIME (include/uapi/linux/stat.h). */
const STATX_MASK = 0x7ff | 0x800;

export function encodeStatxOut(view: DataView, at: number, attributes: WireAttributes): number {
  clear(view, at, structs.statxOut.bytes);
  setU64(view, at, structs.statxOut.at.attr_valid, attributesValidSeconds(attributes));
  const stat = at + structs.statxOut.at.stat;
  const statAt = structs.statx.at;
  setU32(view, stat, statAt.mask, STATX_MASK);
  setU32(view, stat, statAt.blksize, BLOCK_BYTES);
  setU32(view, stat, statAt.nlink, attributes.nlink);
  setU32(view, stat, statAt.uid, attributes.uid);
  setU32(view, stat, statAt.gid, attributes.gid);
  setU16(view, stat, statAt.mode, attributes.mode);
  setU64(view, stat, statAt.ino, attributes.ino);
  setU64(view, stat, statAt.size, attributes.size);
  setU64(view, stat, statAt.blocks, attributes.blocks);
  encodeSxTime(view, stat + statAt.atime, attributes.atimeSec, attributes.atimeNsec);
  encodeSxTime(view, stat + statAt.btime, attributes.btimeSec, attributes.btimeNsec);
  encodeSxTime(view, stat + statAt.ctime, attributes.ctimeSec, attributes.ctimeNsec);
  encodeSxTime(view, stat + statAt.mtime, attributes.mtimeSec, attributes.mtimeNsec);
  // new_encode_dev (include/linux/kdev_t.h): minor bits 0-7 and 20-31, major bits 8-19.
  const { rdev } = attributes;
  setU32(view, stat, statAt.rdev_major, (rdev >>> 8) & 0xfff);
  setU32(view, stat, statAt.rdev_minor, (rdev & 0xff) | ((rdev >>> 12) & 0xfff00));
  return structs.statxOut.bytes;
}

function encodeSxTime(view: DataView, at: number, sec: number, nsec: number): void {
  setI64(view, at, structs.sxTime.at.tv_sec, sec);
  setU32(view, at, structs.sxTime.at.tv_nsec, nsec);
}

export function encodeOpenOut(view: DataView, at: number, fh: number, flags: number): number {
  setU64(view, at, structs.openOut.at.fh, fh);
  setU32(view, at, structs.openOut.at.open_flags, flags);
  setI32(view, at, structs.openOut.at.backing_id, 0);
  return structs.openOut.bytes;
}

/** WRITE and COPY_FILE_RANGE. */
export function encodeWriteOut(view: DataView, at: number, bytes: number): number {
  setU32(view, at, structs.writeOut.at.size, bytes);
  setU32(view, at, structs.writeOut.at.padding, 0);
  return structs.writeOut.bytes;
}

/** The answer to a probe of GETXATTR or LISTXATTR with no room. */
export function encodeGetxattrOut(view: DataView, at: number, bytes: number): number {
  setU32(view, at, structs.getxattrOut.at.size, bytes);
  setU32(view, at, structs.getxattrOut.at.padding, 0);
  return structs.getxattrOut.bytes;
}

/** LSEEK (offset) and COPY_FILE_RANGE_64 (bytes): one u64. */
export function encodeU64Out(view: DataView, at: number, value: number): number {
  setU64(view, at, structs.lseekOut.at.offset, value);
  return structs.lseekOut.bytes;
}

export interface WireStatistics {
  readonly blockBytes: number;
  readonly blocks: number;
  readonly blocksFree: number;
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly nameBytesMax: number;
}

export function encodeStatfsOut(view: DataView, at: number, statistics: WireStatistics): number {
  clear(view, at, structs.statfsOut.bytes);
  const { at: field } = structs.kstatfs;
  setU64(view, at, field.blocks, statistics.blocks);
  setU64(view, at, field.bfree, statistics.blocksFree);
  setU64(view, at, field.bavail, statistics.blocksAvailable);
  setU64(view, at, field.files, statistics.files);
  setU64(view, at, field.ffree, statistics.filesFree);
  setU32(view, at, field.bsize, statistics.blockBytes);
  setU32(view, at, field.namelen, statistics.nameBytesMax);
  setU32(view, at, field.frsize, statistics.blockBytes);
  return structs.statfsOut.bytes;
}

function clear(view: DataView, at: number, bytes: number): void {
  for (let offset = 0; offset < bytes; offset += 4) view.setUint32(at + offset, 0, true);
}
