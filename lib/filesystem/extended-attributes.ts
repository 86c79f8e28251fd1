// Extended attributes: user, trusted and security names, stored as they come.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import { HAS_XATTRS, type Inode } from '../metastore/inodes.ts';
import { refreshXattrFlag, touchStatus, type Core } from './core.ts';

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const NAME_BYTES_MAX = 255;
/** XATTR_SIZE_MAX and XATTR_LIST_MAX of the kernel (include/uapi/linux/limits.h). */
const VALUE_BYTES_MAX = 64 * 1024;
const LIST_BYTES_MAX = 64 * 1024;

/** Who may use trusted.* and security.* is the kernel's to check; system.* are ACLs. */
const PREFIXES = ['user.', 'trusted.', 'security.'];

/** @throws ENODATA EOPNOTSUPP */
export function getXattr(core: Core, inode: Inode, name: Buffer): Buffer {
  checkXattrName(name);
  // The kernel asks for security.* often; most files have nothing.
  if ((inode.flags & HAS_XATTRS) === 0) throw posixError(Errno.ENODATA);
  const value = core.metastore.xattrs.get(inode.ino, name);
  if (value === undefined) throw posixError(Errno.ENODATA);
  return value;
}

/** Names, each closed by a NUL. */
export function listXattr(core: Core, inode: Inode): Buffer {
  if ((inode.flags & HAS_XATTRS) === 0) return Buffer.alloc(0);
  const end = Buffer.from([0]);
  return Buffer.concat(core.metastore.xattrs.names(inode.ino).flatMap((name) => [name, end]));
}

/** @throws EEXIST ENODATA EOPNOTSUPP E2BIG ENOSPC */
export function setXattr(
  core: Core,
  inode: Inode,
  name: Buffer,
  value: Buffer,
  flags: number,
): void {
  checkXattrName(name);
  if (value.length > VALUE_BYTES_MAX) throw posixError(Errno.E2BIG);
  core.changes.begin();
  core.changes.admit(value.length);
  const { xattrs } = core.metastore;
  const present = xattrs.get(inode.ino, name);
  if ((flags & XATTR_CREATE) !== 0 && present !== undefined) throw posixError(Errno.EEXIST);
  if ((flags & XATTR_REPLACE) !== 0 && present === undefined) throw posixError(Errno.ENODATA);
  const listBytes = listXattr(core, inode).length + name.length + 1;
  if (present === undefined && listBytes > LIST_BYTES_MAX) throw posixError(Errno.ENOSPC);
  xattrs.put(inode.ino, name, value);
  inode.flags |= HAS_XATTRS;
  touchStatus(core, inode);
}

/** @throws ENODATA EOPNOTSUPP */
export function removeXattr(core: Core, inode: Inode, name: Buffer): void {
  checkXattrName(name);
  core.changes.begin();
  if (!core.metastore.xattrs.delete(inode.ino, name)) throw posixError(Errno.ENODATA);
  refreshXattrFlag(core, inode);
  touchStatus(core, inode);
}

/** @throws EOPNOTSUPP ENAMETOOLONG */
function checkXattrName(name: Buffer): void {
  if (name.length > NAME_BYTES_MAX) throw posixError(Errno.ENAMETOOLONG);
  const text = name.toString('latin1');
  if (!PREFIXES.some((prefix) => text.startsWith(prefix) && text.length > prefix.length)) {
    throw posixError(Errno.EOPNOTSUPP);
  }
}
