// Where access control lists are kept: as the xattrs that carry them, in step with the mode. A file
// whose access list says no more than its mode has none.

import {
  ACCESS_ACL,
  DEFAULT_ACL,
  formatAcl,
  isMinimal,
  modeOf,
  parseAcl,
  restrictedTo,
  withMode,
  type AccessControlList,
} from '../access-control-list.ts';
import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import type { Inode } from '../metastore/inodes.ts';
import type { CreateArguments } from './contract.ts';
import { deleteXattr, findXattr, putXattr, touchStatus, type Core } from './core.ts';

const ACCESS = Buffer.from(ACCESS_ACL);
const DEFAULT = Buffer.from(DEFAULT_ACL);
const SET_GROUP_ID = 0o2000;

export function isAclName(name: Buffer): boolean {
  return name.equals(ACCESS) || name.equals(DEFAULT);
}

/**
 * @param dropSetgid the caller is not in the file's group: an access list takes set-gid away
 * @throws EINVAL not a valid list
 * @throws EACCES a default list for what is not a directory
 */
export function setAcl(
  core: Core,
  inode: Inode,
  name: Buffer,
  value: Buffer,
  dropSetgid: boolean,
): void {
  const acl = parseAcl(value);
  if (name.equals(DEFAULT)) {
    if (!inode.isDirectory) throw posixError(Errno.EACCES);
    keep(core, inode, DEFAULT, acl);
  } else {
    inode.mode = modeOf(acl, inode.mode);
    if (dropSetgid) inode.mode &= ~SET_GROUP_ID;
    if (isMinimal(acl)) deleteXattr(core, inode, ACCESS);
    else keep(core, inode, ACCESS, acl);
  }
  touchStatus(core, inode);
}

/** Without a list of that kind this does nothing, as on other filesystems. */
export function removeAcl(core: Core, inode: Inode, name: Buffer): void {
  if (deleteXattr(core, inode, name)) touchStatus(core, inode);
}

/** The mode was changed by chmod(2): the access list follows. */
export function followMode(core: Core, inode: Inode): void {
  const acl = find(core, inode, ACCESS);
  if (acl !== undefined) keep(core, inode, ACCESS, withMode(acl, inode.mode));
}

/**
 * Permissions of a new file or directory: by its directory's default list, which directories hand on,
 * or else by the umask.
 */
export function inheritPermissions(
  core: Core,
  directory: Inode,
  inode: Inode,
  create: CreateArguments,
): void {
  const inherited = core.semantics.acls ? find(core, directory, DEFAULT) : undefined;
  if (inherited === undefined) {
    inode.mode &= ~(create.umask & 0o777);
    return;
  }
  const acl = restrictedTo(inherited, inode.mode);
  inode.mode = modeOf(acl, inode.mode);
  if (!isMinimal(acl)) keep(core, inode, ACCESS, acl);
  if (inode.isDirectory) keep(core, inode, DEFAULT, inherited);
}

function find(core: Core, inode: Inode, name: Buffer): AccessControlList | undefined {
  const value = findXattr(core, inode, name);
  return value === undefined ? undefined : parseAcl(value);
}

function keep(core: Core, inode: Inode, name: Buffer, acl: AccessControlList): void {
  putXattr(core, inode, name, formatAcl(acl));
}
