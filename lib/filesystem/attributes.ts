// Changing attributes: chmod, chown, truncate, utimens, all of which arrive as one SETATTR.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import { FileType, type Inode } from '../metastore/inodes.ts';
import { followMode } from './acls.ts';
import { now } from './clock.ts';
import type { AttributeChanges, Timestamp } from './contract.ts';
import { dropPrivileges, touchContent, touchStatus, type Core } from './core.ts';

/** Largest file: sizes and offsets are exact as JavaScript numbers up to here. */
export const FILE_BYTES_MAX = Number.MAX_SAFE_INTEGER;

const PERMISSION_BITS = 0o7777;

/** @throws EISDIR EINVAL EFBIG EROFS */
export function setAttributes(core: Core, inode: Inode, changes: AttributeChanges): void {
  core.changes.begin();
  const { size, uid, gid } = changes;
  if (size !== undefined) setSize(core, inode, size);
  if (uid !== undefined || gid !== undefined) {
    inode.uid = uid ?? inode.uid;
    inode.gid = gid ?? inode.gid;
    dropPrivileges(core, inode, changes.killSuidgid === true);
  } else if (changes.killSuidgid === true) {
    dropPrivileges(core, inode, true);
  }
  if (changes.mode !== undefined) {
    inode.mode = (inode.mode & FileType.MASK) | (changes.mode & PERMISSION_BITS);
    followMode(core, inode);
  }
  if (size === undefined) touchStatus(core, inode);
  setTimes(inode, changes);
}

function setTimes(inode: Inode, changes: AttributeChanges): void {
  if (changes.atime !== undefined) {
    const { sec, nsec } = resolveTime(changes.atime);
    inode.atimeSec = sec;
    inode.atimeNsec = nsec;
  }
  if (changes.mtime !== undefined) {
    const { sec, nsec } = resolveTime(changes.mtime);
    inode.mtimeSec = sec;
    inode.mtimeNsec = nsec;
  }
  if (changes.ctime !== undefined) {
    inode.ctimeSec = changes.ctime.sec;
    inode.ctimeNsec = changes.ctime.nsec;
  }
}

function resolveTime(time: Timestamp | 'now'): Timestamp {
  return time === 'now' ? now() : time;
}

/** Truncates or extends a regular file; an extension is a hole. @throws EISDIR EINVAL EFBIG */
export function setSize(core: Core, inode: Inode, size: number): void {
  if (inode.isDirectory) throw posixError(Errno.EISDIR);
  if (!inode.isRegular) throw posixError(Errno.EINVAL);
  if (size > FILE_BYTES_MAX) throw posixError(Errno.EFBIG);
  const content = core.contents.open(inode);
  if (size < inode.size) content.truncate(size);
  core.metastore.inodes.resize(inode, size);
  dropPrivileges(core, inode, false);
  touchContent(core, inode);
  core.contents.release(content);
}
