// Extended attributes: user, trusted and security names, stored as they come, and access control lists.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import { HAS_XATTRS, type Inode } from '../metastore/inodes.ts';
import { isAclName, removeAcl, setAcl } from './acls.ts';
import type { Caller, XattrAsker } from './contract.ts';
import { deleteXattr, findXattr, putXattr, touchStatus, type Core } from './core.ts';
import {
  checkUsageAsker,
  formatUsage,
  isUsageName,
  usageAttributeRoom,
} from './usage-attributes.ts';

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const NAME_BYTES_MAX = 255;
/** XATTR_SIZE_MAX and XATTR_LIST_MAX of the kernel (include/uapi/linux/limits.h). */
const VALUE_BYTES_MAX = 64 * 1024;
const LIST_BYTES_MAX = 64 * 1024;

/** Who may use trusted.* and security.* is the kernel's to check. */
const PREFIXES = ['user.', 'trusted.', 'security.'];

/** @throws ENODATA EOPNOTSUPP */
export function getXattr(
  core: Core,
  inode: Inode,
  name: Buffer,
  asker: XattrAsker,
): Buffer | Promise<Buffer> {
  checkXattrName(core, name);
  if (isUsageName(name)) return getUsage(core, inode, name, asker);
  const value = findXattr(core, inode, name);
  if (value === undefined) throw posixError(Errno.ENODATA);
  return value;
}

function getUsage(
  core: Core,
  inode: Inode,
  name: Buffer,
  asker: XattrAsker,
): Buffer | Promise<Buffer> {
  checkUsageAsker(inode, asker);
  if (asker.wantsLength) return usageAttributeRoom();
  const usage = core.usageOf(inode, asker.signal);
  if (!(usage instanceof Promise)) return formatUsage(name, usage);
  const copy = Buffer.from(name); // the request's bytes are gone by then
  return usage.then((found) => formatUsage(copy, found));
}

/** Names, each closed by a NUL: those the caller may know of. */
export function listXattr(core: Core, inode: Inode, caller: Caller): Buffer {
  if ((inode.flags & HAS_XATTRS) === 0) return Buffer.alloc(0);
  const end = Buffer.from([0]);
  const names = core.metastore.xattrs
    .names(inode.ino)
    .filter((name) => isShown(core, name, caller));
  return Buffer.concat(names.flatMap((name) => [name, end]));
}

/** trusted.* shows to the one who may read it; the protocol tells no more of a caller than the uid. */
function isShown(core: Core, name: Buffer, caller: Caller): boolean {
  if (isAclName(name)) return core.semantics.acls;
  // One that a copy of another store brought stays hidden behind ours.
  if (isUsageName(name)) return false;
  return caller.uid === 0 || !name.toString('latin1').startsWith('trusted.');
}

/** @throws EEXIST ENODATA EOPNOTSUPP E2BIG ENOSPC EPERM */
export function setXattr(
  core: Core,
  inode: Inode,
  name: Buffer,
  value: Buffer,
  { flags, dropSetgid }: { readonly flags: number; readonly dropSetgid: boolean },
): void {
  checkXattrName(core, name);
  if (isUsageName(name)) throw posixError(Errno.EPERM);
  if (value.length > VALUE_BYTES_MAX) throw posixError(Errno.E2BIG);
  core.changes.begin();
  core.changes.admit(value.length);
  if (isAclName(name)) {
    setAcl(core, inode, name, value, dropSetgid);
    return;
  }
  const { xattrs } = core.metastore;
  const present = findXattr(core, inode, name);
  if ((flags & XATTR_CREATE) !== 0 && present !== undefined) throw posixError(Errno.EEXIST);
  if ((flags & XATTR_REPLACE) !== 0 && present === undefined) throw posixError(Errno.ENODATA);
  const listBytes = xattrs.names(inode.ino).reduce((sum, other) => sum + other.length + 1, 0);
  const bytes = listBytes + name.length + 1;
  if (present === undefined && bytes > LIST_BYTES_MAX) throw posixError(Errno.ENOSPC);
  putXattr(core, inode, name, value);
  touchStatus(core, inode);
}

/** @throws ENODATA EOPNOTSUPP EPERM */
export function removeXattr(core: Core, inode: Inode, name: Buffer): void {
  checkXattrName(core, name);
  if (isUsageName(name)) throw posixError(Errno.EPERM);
  core.changes.begin();
  if (isAclName(name)) {
    removeAcl(core, inode, name);
    return;
  }
  if (!deleteXattr(core, inode, name)) throw posixError(Errno.ENODATA);
  touchStatus(core, inode);
}

/** @throws EOPNOTSUPP ENAMETOOLONG EINVAL */
function checkXattrName(core: Core, name: Buffer): void {
  if (name.length > NAME_BYTES_MAX) throw posixError(Errno.ENAMETOOLONG);
  if (core.semantics.acls && isAclName(name)) return;
  const text = name.toString('latin1');
  const prefix = PREFIXES.find((known) => text.startsWith(known));
  if (prefix === undefined) throw posixError(Errno.EOPNOTSUPP);
  if (prefix.length === text.length) throw posixError(Errno.EINVAL);
}
