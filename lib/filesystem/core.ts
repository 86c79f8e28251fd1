// What the parts of the filesystem share, and small steps that all of them take.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { HAS_XATTRS, type Inode } from '../metastore/inodes.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { now } from './clock.ts';
import type { ContentTable } from './content-table.ts';
import { BLOCK_BYTES, type Attributes, type Ino, type Semantics } from './contract.ts';
import type { CommitGate } from './gate.ts';
import type { OrphanReclaimer } from './orphans.ts';

/** The store's side of a change: may it happen, is there room, when is it durable. */
export interface ChangeControl {
  /** To be called before each change. @throws EROFS when the mount is read-only */
  begin(): void;
  /** A failure ended all changes: what is not durable yet never will be. */
  isReadOnly(): boolean;
  /** @throws ENOSPC when the host has no room for so many more bytes */
  admit(bytes: number): void;
  /** Resolves when every change so far is durable. @throws EIO EROFS ENOSPC */
  commit(): Promise<void>;
}

export interface Core {
  readonly metastore: Metastore;
  readonly contents: ContentTable;
  readonly orphans: OrphanReclaimer;
  readonly changes: ChangeControl;
  readonly gate: CommitGate;
  readonly semantics: Semantics;
  readonly log: Logger;
}

const SET_USER_ID = 0o4000;
const SET_GROUP_ID = 0o2000;
const GROUP_EXECUTE = 0o010;
const CAPABILITY = Buffer.from('security.capability');

/** @throws ENOENT */
export function findInode(core: Core, ino: Ino): Inode {
  const inode = core.metastore.inodes.get(ino);
  if (inode === undefined) throw posixError(Errno.ENOENT);
  return inode;
}

/** @throws ENOENT ENOTDIR */
export function findDirectory(core: Core, ino: Ino): Inode {
  const inode = findInode(core, ino);
  if (!inode.isDirectory) throw posixError(Errno.ENOTDIR);
  return inode;
}

/** The status of a file changed: ctime is now. */
export function touchStatus(core: Core, inode: Inode): void {
  const { sec, nsec } = now();
  inode.ctimeSec = sec;
  inode.ctimeNsec = nsec;
  core.metastore.inodes.touch(inode);
}

/** The content of a file or directory changed: mtime and ctime are now. */
export function touchContent(core: Core, inode: Inode): void {
  touchStatus(core, inode);
  inode.mtimeSec = inode.ctimeSec;
  inode.mtimeNsec = inode.ctimeNsec;
}

/**
 * The content or owner of a file changed: file capabilities go, and with `killSuidgid` setuid, and
 * setgid if the group may execute. The kernel's side of HANDLE_KILLPRIV_V2.
 */
export function dropPrivileges(core: Core, inode: Inode, killSuidgid: boolean): void {
  if (killSuidgid && !inode.isDirectory) {
    inode.mode &= ~SET_USER_ID;
    if ((inode.mode & GROUP_EXECUTE) !== 0) inode.mode &= ~SET_GROUP_ID;
    core.metastore.inodes.touch(inode);
  }
  if ((inode.flags & HAS_XATTRS) === 0 || !inode.isRegular) return;
  if (core.metastore.xattrs.delete(inode.ino, CAPABILITY)) refreshXattrFlag(core, inode);
}

export function refreshXattrFlag(core: Core, inode: Inode): void {
  const hasAny = core.metastore.xattrs.hasAny(inode.ino);
  inode.flags = hasAny ? inode.flags | HAS_XATTRS : inode.flags & ~HAS_XATTRS;
  core.metastore.inodes.touch(inode);
}

/** A snapshot of the inode for a reply. */
export function attributesOf(core: Core, inode: Inode): Attributes {
  const pending = core.contents.pendingBytes(inode.ino);
  // What is not chunked yet may turn out to be holes or to lie over mapped bytes.
  const allocated = pending === 0 ? inode.mapped : Math.min(inode.mapped + pending, inode.size);
  return {
    ino: inode.ino as Ino,
    mode: inode.mode,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    rdev: inode.rdev,
    size: inode.size,
    blocks: Math.ceil(allocated / BLOCK_BYTES) * (BLOCK_BYTES / 512),
    atimeSec: inode.atimeSec,
    atimeNsec: inode.atimeNsec,
    mtimeSec: inode.mtimeSec,
    mtimeNsec: inode.mtimeNsec,
    ctimeSec: inode.ctimeSec,
    ctimeNsec: inode.ctimeNsec,
    btimeSec: inode.btimeSec,
    btimeNsec: inode.btimeNsec,
    isProvisional: pending !== 0,
  };
}
