// POSIX access control lists (POSIX 1003.1e draft 17; acl(5)): their form and what they do to the
// permission bits. Pure; where they are kept is acls.ts. The kernel enforces them.
//
// The form is the value of the xattrs system.posix_acl_access and system.posix_acl_default
// (include/uapi/linux/posix_acl_xattr.h): version 2 in 4 bytes, then for each entry tag 2, permissions
// 2 and id 4 bytes, little-endian, in the order of their tags and ids.

import { Errno } from './errno.ts';
import { posixError } from './errors.ts';

/** The xattrs that carry the list of a file, and the one that a directory hands to what is made in it. */
export const ACCESS_ACL = 'system.posix_acl_access';
export const DEFAULT_ACL = 'system.posix_acl_default';

/** Whom an entry is about (include/uapi/linux/posix_acl.h). */
export const AclTag = {
  OWNER: 0x01,
  USER: 0x02,
  OWNING_GROUP: 0x04,
  GROUP: 0x08,
  /** Limits what USER, OWNING_GROUP and GROUP entries give. */
  MASK: 0x10,
  OTHER: 0x20,
} as const;

export interface AclEntry {
  readonly tag: number;
  /** rwx, as the lowest three bits of a mode. */
  readonly permissions: number;
  /** uid or gid of USER and GROUP entries; NO_ID in the others. */
  readonly id: number;
}

export type AccessControlList = readonly AclEntry[];

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const NO_ID = 0xffffffff;
const PERMISSIONS = 0o7;
const PERMISSION_BITS = 0o777;
const NAMED: readonly number[] = [AclTag.USER, AclTag.GROUP];
/** What every list has, and exactly once. */
const ALWAYS = [AclTag.OWNER, AclTag.OWNING_GROUP, AclTag.OTHER];

/** @throws EINVAL not a valid list: wrong form, order, permissions, or entries missing or repeated */
export function parseAcl(value: Buffer): AccessControlList {
  const entriesBytes = value.length - HEADER_BYTES;
  if (entriesBytes < 0 || entriesBytes % ENTRY_BYTES !== 0) throw posixError(Errno.EINVAL);
  if (value.readUInt32LE(0) !== VERSION) throw posixError(Errno.EINVAL);
  const acl: AclEntry[] = [];
  for (let at = HEADER_BYTES; at < value.length; at += ENTRY_BYTES) {
    const tag = value.readUInt16LE(at);
    const id = NAMED.includes(tag) ? value.readUInt32LE(at + 4) : NO_ID;
    acl.push({ tag, permissions: value.readUInt16LE(at + 2), id });
  }
  if (!isValid(acl)) throw posixError(Errno.EINVAL);
  return acl;
}

export function formatAcl(acl: AccessControlList): Buffer {
  const value = Buffer.alloc(HEADER_BYTES + acl.length * ENTRY_BYTES);
  value.writeUInt32LE(VERSION, 0);
  for (const [index, { tag, permissions, id }] of acl.entries()) {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    value.writeUInt16LE(tag, at);
    value.writeUInt16LE(permissions, at + 2);
    value.writeUInt32LE(id, at + 4);
  }
  return value;
}

function isValid(acl: AccessControlList): boolean {
  const count = (tag: number): number => acl.filter((entry) => entry.tag === tag).length;
  const isKnown = ({ tag, permissions, id }: AclEntry): boolean =>
    (NAMED.includes(tag) ? id !== NO_ID : [...ALWAYS, AclTag.MASK].includes(tag as never)) &&
    (permissions & ~PERMISSIONS) === 0;
  const isAfter = ({ tag, id }: AclEntry, index: number): boolean => {
    const before = acl[index - 1];
    if (before === undefined || before.tag < tag) return true;
    return before.tag === tag && before.id < id;
  };
  const hasNamed = NAMED.some((tag) => count(tag) > 0);
  return (
    acl.every(isKnown) &&
    acl.every(isAfter) &&
    ALWAYS.every((tag) => count(tag) === 1) &&
    (!hasNamed || count(AclTag.MASK) === 1)
  );
}

/** Whether the list says no more than the permission bits do. */
export function isMinimal(acl: AccessControlList): boolean {
  return acl.every(({ tag }) => ALWAYS.includes(tag as never));
}

/** The permission bits of `mode` as the list has them; its group bits show the mask. */
export function modeOf(acl: AccessControlList, mode: number): number {
  let bits = 0;
  for (const entry of acl) bits |= entry.permissions << shiftOf(entry, acl);
  return (mode & ~PERMISSION_BITS) | (bits & PERMISSION_BITS);
}

/** chmod(2) of a file with this list: the owner's, the mask's and the others' entries follow. */
export function withMode(acl: AccessControlList, mode: number): AccessControlList {
  return acl.map((entry) =>
    isShown(entry, acl)
      ? { ...entry, permissions: (mode >> shiftOf(entry, acl)) & PERMISSIONS }
      : entry,
  );
}

/** A directory's default list as the access list of what is made in it with `mode`. */
export function restrictedTo(acl: AccessControlList, mode: number): AccessControlList {
  return acl.map((entry) =>
    isShown(entry, acl)
      ? { ...entry, permissions: entry.permissions & (mode >> shiftOf(entry, acl)) }
      : entry,
  );
}

/** Where the entry's permissions stand in a mode; beyond its bits when they are not shown there. */
function shiftOf(entry: AclEntry, acl: AccessControlList): number {
  if (!isShown(entry, acl)) return 9;
  if (entry.tag === AclTag.OWNER) return 6;
  return entry.tag === AclTag.OTHER ? 0 : 3;
}

/** The group bits of a mode are the mask's, or without a mask the owning group's. */
function isShown({ tag }: AclEntry, acl: AccessControlList): boolean {
  if (NAMED.includes(tag)) return false;
  if (tag !== AclTag.OWNING_GROUP) return true;
  return !acl.some((entry) => entry.tag === AclTag.MASK);
}
