// What the parts of the filesystem share, and small steps that all of them take.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { BLOCK_BYTES } from '../metastore/coverage.ts';
import { HAS_XATTRS, type Inode } from '../metastore/inodes.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { now } from './clock.ts';
import type { ContentTable } from './content-table.ts';
import type { FileContent } from './file-content.ts';
import type { Attributes, Caller, Ino, Semantics } from './contract.ts';
import type { CommitGate } from './gate.ts';
import type { KernelListings } from './kernel-listings.ts';
import type { OrphanReclaimer } from './orphans.ts';
import type { InodeUsage } from './usage-attributes.ts';

/** The store's side of a change: may it happen, is there room, when is it durable. */
export interface ChangeControl {
  /** To be called before each change. @throws EROFS when the mount is read-only */
  begin(): void;
  /** Whether what is worth no error may change: access times. False when read-only or short of room. */
  mayTouch(): boolean;
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
  readonly listings: KernelListings;
  readonly changes: ChangeControl;
  readonly gate: CommitGate;
  readonly semantics: Semantics;
  readonly log: Logger;
  /** A read of the file met damage; returns whether that is worth a line in the log. */
  noteDamage(ino: number): boolean;
  /**
   * What a regular file or a directory takes of the store. Given up when the signal comes.
   * @throws EINTR, also as a rejection
   */
  usageOf(inode: Inode, signal: AbortSignal): InodeUsage | Promise<InodeUsage>;
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

/** Most files have no xattrs, and their flag says so without a query. */
export function findXattr(core: Core, inode: Inode, name: Buffer): Buffer | undefined {
  if ((inode.flags & HAS_XATTRS) === 0) return undefined;
  return core.metastore.xattrs.get(inode.ino, name);
}

export function putXattr(core: Core, inode: Inode, name: Buffer, value: Buffer): void {
  core.metastore.xattrs.put(inode.ino, name, value);
  inode.flags |= HAS_XATTRS;
  core.metastore.inodes.touch(inode);
}

/** Returns whether there was one. */
export function deleteXattr(core: Core, inode: Inode, name: Buffer): boolean {
  const { xattrs, inodes } = core.metastore;
  if ((inode.flags & HAS_XATTRS) === 0 || !xattrs.delete(inode.ino, name)) return false;
  if (!xattrs.hasAny(inode.ino)) inode.flags &= ~HAS_XATTRS;
  inodes.touch(inode);
  return true;
}

/** The content or owner of a file changed: its capabilities go. */
export function dropCapability(core: Core, inode: Inode): void {
  if (inode.isRegular) deleteXattr(core, inode, CAPABILITY);
}

export function hasCapability(core: Core, inode: Inode): boolean {
  return inode.isRegular && findXattr(core, inode, CAPABILITY) !== undefined;
}

/**
 * The kernel said that setuid and setgid go (HANDLE_KILLPRIV_V2). Without group execution setgid goes
 * only for a caller outside of the file's group (fs/attr.c, setattr_should_drop_sgid). Of the caller's
 * groups the protocol tells the first: somebody who is in the file's group by another one loses a
 * setgid that means nothing.
 */
export function clearSetIds(core: Core, inode: Inode, caller: Caller): void {
  if (inode.isDirectory) return;
  const isOutside = caller.uid !== 0 && caller.gid !== inode.gid;
  const clearsGroup = (inode.mode & GROUP_EXECUTE) !== 0 || isOutside;
  inode.mode &= ~(clearsGroup ? SET_USER_ID | SET_GROUP_ID : SET_USER_ID);
  core.metastore.inodes.touch(inode);
}

/** A snapshot of the inode for a reply. */
export function attributesOf(core: Core, inode: Inode): Attributes {
  const content = core.contents.find(inode.ino);
  const isProvisional = content !== undefined && mayLoseBlocks(inode, content);
  const blocks = content === undefined ? inode.blocks : upcomingBlocks(inode, content);
  return {
    ino: inode.ino as Ino,
    mode: inode.mode,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    rdev: inode.rdev,
    size: inode.size,
    blocks: blocks * (BLOCK_BYTES / 512),
    atimeSec: inode.atimeSec,
    atimeNsec: inode.atimeNsec,
    mtimeSec: inode.mtimeSec,
    mtimeNsec: inode.mtimeNsec,
    ctimeSec: inode.ctimeSec,
    ctimeNsec: inode.ctimeNsec,
    btimeSec: inode.btimeSec,
    btimeNsec: inode.btimeNsec,
    isProvisional,
  };
}

/** What is not chunked yet may turn out to be holes or to lie over mapped bytes. */
function mayLoseBlocks(inode: Inode, content: FileContent): boolean {
  if (content.mayHaveUnseenStores) return true;
  return !content.isSettled && !content.solidStart.covers(inode.size);
}

function upcomingBlocks(inode: Inode, content: FileContent): number {
  if (content.isSettled && !content.mayHaveUnseenStores) return inode.blocks;
  const isWhole = content.mayHaveUnseenStores || content.solidStart.covers(inode.size);
  const bytes = isWhole ? inode.size : Math.min(inode.mapped + content.pendingBytes, inode.size);
  return Math.max(inode.blocks, Math.ceil(bytes / BLOCK_BYTES));
}
