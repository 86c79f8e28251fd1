// Changing attributes: chmod, chown, truncate, utimens, all of which arrive as one SETATTR.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import { FileType, type Inode } from '../metastore/inodes.ts';
import { followMode } from './acls.ts';
import type { AttributeChanges, Caller, Timestamp } from './contract.ts';
import {
  clearSetIds,
  dropCapability,
  hasCapability,
  touchContent,
  touchStatus,
  type Core,
} from './core.ts';

/** Largest file: sizes and offsets are exact as JavaScript numbers up to here. */
export const FILE_BYTES_MAX = Number.MAX_SAFE_INTEGER;

const PERMISSION_BITS = 0o7777;
const SET_ID_BITS = 0o6000;

/** @throws EISDIR EINVAL EFBIG EROFS */
export function setAttributes(
  core: Core,
  inode: Inode,
  changes: AttributeChanges,
  caller: Caller,
): void {
  core.changes.begin();
  const { size, uid, gid } = changes;
  if (changes.killSuidgid === true) clearSetIds(core, inode, caller);
  if (size !== undefined) setSize(core, inode, size);
  if (uid !== undefined || gid !== undefined) {
    inode.uid = uid ?? inode.uid;
    inode.gid = gid ?? inode.gid;
    dropCapability(core, inode);
  }
  if (changes.mode !== undefined) {
    inode.mode = (inode.mode & FileType.MASK) | (changes.mode & PERMISSION_BITS);
    followMode(core, inode);
  }
  if (size === undefined) touchStatus(core, inode);
  setTimes(inode, changes);
}

/**
 * A SETATTR without content: the kernel sends it before a write, fallocate or copy when the file has
 * setuid, setgid or capabilities and the caller may not keep all of them, and for a chown to nobody.
 * fs/fuse/dir.c (fuse_setattr) leaves it at that, and FALLOCATE and COPY_FILE_RANGE say nothing of it.
 * Root may keep setuid and setgid when it writes, and comes here then for capabilities. A stranger who
 * has not the file open to write wanted a chown, which the kernel does not check when nothing is set.
 * @throws EPERM
 */
export function suspectPrivileges(core: Core, inode: Inode, caller: Caller): void {
  const isStranger = caller.uid !== 0 && caller.uid !== inode.uid;
  const isWritten = (core.contents.find(inode.ino)?.writingHandles ?? 0) > 0;
  const hasSetIds = inode.isRegular && (inode.mode & SET_ID_BITS) !== 0;
  if (hasSetIds && isStranger && !isWritten) throw posixError(Errno.EPERM);
  core.changes.begin();
  const isAboutCapability = caller.uid === 0 && hasCapability(core, inode);
  if (!isAboutCapability) clearSetIds(core, inode, caller);
  touchStatus(core, inode);
}

function setTimes(inode: Inode, changes: AttributeChanges): void {
  if (changes.atime !== undefined) {
    const { sec, nsec } = resolveTime(inode, changes.atime);
    inode.atimeSec = sec;
    inode.atimeNsec = nsec;
  }
  if (changes.mtime !== undefined) {
    const { sec, nsec } = resolveTime(inode, changes.mtime);
    inode.mtimeSec = sec;
    inode.mtimeNsec = nsec;
  }
  if (changes.ctime !== undefined) {
    inode.ctimeSec = changes.ctime.sec;
    inode.ctimeNsec = changes.ctime.nsec;
  }
}

/** `now` is the moment of the change, which ctime already has: all times of one call are equal. */
function resolveTime(inode: Inode, time: Timestamp | 'now'): Timestamp {
  return time === 'now' ? { sec: inode.ctimeSec, nsec: inode.ctimeNsec } : time;
}

/** Truncates or extends a regular file; an extension is a hole. @throws EISDIR EINVAL EFBIG */
export function setSize(core: Core, inode: Inode, size: number): void {
  if (inode.isDirectory) throw posixError(Errno.EISDIR);
  if (!inode.isRegular) throw posixError(Errno.EINVAL);
  if (size > FILE_BYTES_MAX) throw posixError(Errno.EFBIG);
  const content = core.contents.open(inode);
  if (size < inode.size) content.truncate(size);
  core.metastore.inodes.resize(inode, size);
  dropCapability(core, inode);
  touchContent(core, inode);
  core.contents.release(content);
}
