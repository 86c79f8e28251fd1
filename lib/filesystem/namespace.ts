// Names: looking them up, making and removing them, moving them. Permission checks are the kernel's
// (default_permissions); what is checked here is what it cannot know.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import { FileType, type Inode } from '../metastore/inodes.ts';
import type { Dentry } from '../metastore/dentries.ts';
import { inheritPermissions } from './acls.ts';
import type { Caller, CreateArguments, Ino } from './contract.ts';
import { findDirectory, findInode, touchContent, touchStatus, type Core } from './core.ts';

export const NAME_BYTES_MAX = 255;
/** PATH_MAX less its NUL. */
const TARGET_BYTES_MAX = 4095;
/** nlink is 32 bits on the wire; ext4 stops at 65,000. */
const LINKS_MAX = 2 ** 31;
const SET_GROUP_ID = 0o2000;
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
const RENAME_WHITEOUT = 4;
const SELF = Buffer.from('.');
const PARENT = Buffer.from('..');

export interface Place {
  readonly parent: Ino;
  readonly name: Buffer;
}

/** @throws ENOENT ENOTDIR ENAMETOOLONG */
export function lookup(core: Core, parent: Ino, name: Buffer): Inode | undefined {
  checkName(name);
  if (name.equals(SELF)) return findLiving(core, parent);
  const directory = findDirectory(core, parent);
  if (name.equals(PARENT)) return findLiving(core, directory.parent as Ino);
  const dentry = core.metastore.dentries.find(directory.ino, name);
  return dentry === undefined ? undefined : findInode(core, dentry.ino as Ino);
}

/** A new inode, owned as POSIX says, without a name. */
export function makeInode(
  core: Core,
  directory: Inode,
  create: CreateArguments,
  caller: Caller,
): Inode {
  // A set-gid directory hands its group down, and itself to directories.
  const inheritsGroup = (directory.mode & SET_GROUP_ID) !== 0;
  const isDirectory = (create.mode & FileType.MASK) === FileType.DIRECTORY;
  const inode = core.metastore.inodes.create(
    inheritsGroup && isDirectory ? create.mode | SET_GROUP_ID : create.mode,
  );
  if (inode.type !== FileType.SYMLINK) inheritPermissions(core, directory, inode, create);
  inode.uid = caller.uid;
  inode.gid = inheritsGroup ? directory.gid : caller.gid;
  touchContent(core, inode);
  inode.atimeSec = inode.btimeSec = inode.ctimeSec;
  inode.atimeNsec = inode.btimeNsec = inode.ctimeNsec;
  return inode;
}

/** Makes an inode with a name. @throws EEXIST ENOENT ENOTDIR ENAMETOOLONG ENOSPC */
export function makeNode(core: Core, place: Place, create: CreateArguments, caller: Caller): Inode {
  checkName(place.name);
  core.changes.begin();
  core.changes.admit(0);
  const directory = findLivingDirectory(core, place.parent);
  checkFree(core, directory, place.name);
  return makeNamed(core, directory, place.name, create, caller);
}

/** The name must be free, and room for it admitted. */
function makeNamed(
  core: Core,
  directory: Inode,
  name: Buffer,
  create: CreateArguments,
  caller: Caller,
): Inode {
  const inode = makeInode(core, directory, create, caller);
  inode.nlink = 1;
  if (inode.isDirectory) {
    inode.nlink = 2;
    inode.parent = directory.ino;
    directory.nlink += 1;
  }
  addName(core, directory, name, inode);
  touchContent(core, directory);
  return inode;
}

/** @throws EEXIST ENOENT ENOTDIR ENAMETOOLONG ENOSPC */
export function makeSymlink(core: Core, place: Place, target: Buffer, caller: Caller): Inode {
  if (target.length > TARGET_BYTES_MAX) throw posixError(Errno.ENAMETOOLONG);
  const create = { mode: FileType.SYMLINK | 0o777, umask: 0 };
  const inode = makeNode(core, place, create, caller);
  core.metastore.symlinks.insert(inode.ino, target);
  // The kernel caches the target by this size (CACHE_SYMLINKS).
  core.metastore.inodes.resize(inode, target.length);
  return inode;
}

/** @throws EINVAL not a symlink */
export function readLink(core: Core, inode: Inode): Buffer {
  const target = core.metastore.symlinks.get(inode.ino);
  if (target === undefined) throw posixError(Errno.EINVAL);
  return target;
}

/** @throws EEXIST ENOENT EPERM EMLINK ENAMETOOLONG */
export function link(core: Core, ino: Ino, place: Place): Inode {
  checkName(place.name);
  core.changes.begin();
  const inode = findInode(core, ino);
  const directory = findLivingDirectory(core, place.parent);
  if (inode.isDirectory) throw posixError(Errno.EPERM);
  if (inode.nlink >= LINKS_MAX) throw posixError(Errno.EMLINK);
  checkFree(core, directory, place.name);
  if (inode.nlink === 0) core.orphans.remove(inode);
  inode.nlink += 1;
  addName(core, directory, place.name, inode);
  touchStatus(core, inode);
  touchContent(core, directory);
  return inode;
}

/** @throws ENOENT EISDIR */
export function unlink(core: Core, place: Place): void {
  checkName(place.name);
  core.changes.begin();
  const directory = findDirectory(core, place.parent);
  const { inode } = findEntry(core, directory, place.name);
  if (inode.isDirectory) throw posixError(Errno.EISDIR);
  removeName(core, directory, place.name);
  touchContent(core, directory);
  dropName(core, inode);
}

/** @throws ENOENT ENOTDIR ENOTEMPTY */
export function removeDirectory(core: Core, place: Place): void {
  checkName(place.name);
  core.changes.begin();
  const directory = findDirectory(core, place.parent);
  const { inode } = findEntry(core, directory, place.name);
  if (!inode.isDirectory) throw posixError(Errno.ENOTDIR);
  if (!core.metastore.dentries.isEmpty(inode.ino)) throw posixError(Errno.ENOTEMPTY);
  removeName(core, directory, place.name);
  directory.nlink -= 1;
  touchContent(core, directory);
  dropName(core, inode);
}

function addName(core: Core, directory: Inode, name: Buffer, inode: Inode): void {
  core.metastore.dentries.insert(directory.ino, name, inode.ino, inode.mode);
  core.listings.noteChanged(directory.ino);
}

function removeName(core: Core, directory: Inode, name: Buffer): void {
  core.metastore.dentries.remove(directory.ino, name);
  core.listings.noteChanged(directory.ino);
}

/** The inode lost a name; a directory loses its only one. */
function dropName(core: Core, inode: Inode): void {
  inode.nlink = inode.isDirectory ? 0 : inode.nlink - 1;
  touchStatus(core, inode);
  if (inode.nlink > 0) return;
  core.orphans.add(inode, core.contents.find(inode.ino)?.handles ?? 0);
}

/** @param flags RENAME_* of renameat2(2) */
export function rename(core: Core, from: Place, to: Place, flags: number, caller: Caller): void {
  checkName(from.name);
  checkName(to.name);
  checkRenameFlags(flags);
  core.changes.begin();
  // The only part that takes room, to be refused before anything has moved.
  if ((flags & RENAME_WHITEOUT) !== 0) core.changes.admit(0);
  const directory = findDirectory(core, from.parent);
  const target = findLivingDirectory(core, to.parent);
  const source = { place: from, directory, inode: findEntry(core, directory, from.name).inode };
  const present = core.metastore.dentries.find(target.ino, to.name);
  const replaced = present === undefined ? undefined : findInode(core, present.ino as Ino);
  if ((flags & RENAME_NOREPLACE) !== 0 && replaced !== undefined) throw posixError(Errno.EEXIST);
  // Two names of one file: POSIX says nothing happens.
  if (replaced === source.inode) return;
  if (source.inode.isDirectory) checkNotBelow(core, target, source.inode);
  if ((flags & RENAME_EXCHANGE) !== 0) {
    if (replaced === undefined) throw posixError(Errno.ENOENT);
    exchange(core, source, { place: to, directory: target, inode: replaced });
    return;
  }
  replace(core, source, { place: to, directory: target, inode: replaced });
  if ((flags & RENAME_WHITEOUT) !== 0) {
    // Device 0:0. The name that moved away has left it room.
    const create = { mode: FileType.CHARACTER_DEVICE, umask: 0 };
    makeNamed(core, directory, from.name, create, caller);
  }
}

/** @throws EEXIST ENOSPC */
function checkFree(core: Core, directory: Inode, name: Buffer): void {
  if (core.metastore.dentries.find(directory.ino, name) !== undefined) {
    throw posixError(Errno.EEXIST);
  }
  checkRoom(core, directory, name);
}

/** Names can be made to collide on purpose; such a directory is full for one more of them. */
function checkRoom(core: Core, directory: Inode, name: Buffer): void {
  if (!core.metastore.dentries.hasRoom(directory.ino, name)) throw posixError(Errno.ENOSPC);
}

/** @throws EINVAL */
function checkRenameFlags(flags: number): void {
  const known = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
  const isExchange = (flags & RENAME_EXCHANGE) !== 0;
  if ((flags & ~known) !== 0 || (isExchange && flags !== RENAME_EXCHANGE)) {
    throw posixError(Errno.EINVAL);
  }
}

/** Gives `source` the name `target`, whose inode, if it has one, loses it. */
function replace(
  core: Core,
  source: Named,
  target: Omit<Named, 'inode'> & { readonly inode: Inode | undefined },
): void {
  const { inode: replaced } = target;
  if (replaced !== undefined) checkReplaceable(core, source.inode, replaced);
  else checkRoom(core, target.directory, target.place.name);
  removeName(core, source.directory, source.place.name);
  if (replaced !== undefined) {
    removeName(core, target.directory, target.place.name);
    if (replaced.isDirectory) target.directory.nlink -= 1;
    dropName(core, replaced);
  }
  addName(core, target.directory, target.place.name, source.inode);
  moveParent(core, source.inode, source.directory, target.directory);
  touchMoved(core, [source.directory, target.directory], [source.inode]);
}

interface Named {
  readonly place: Place;
  readonly directory: Inode;
  readonly inode: Inode;
}

function exchange(core: Core, one: Named, other: Named): void {
  if (other.inode.isDirectory) checkNotBelow(core, one.directory, other.inode);
  removeName(core, one.directory, one.place.name);
  removeName(core, other.directory, other.place.name);
  addName(core, one.directory, one.place.name, other.inode);
  addName(core, other.directory, other.place.name, one.inode);
  moveParent(core, one.inode, one.directory, other.directory);
  moveParent(core, other.inode, other.directory, one.directory);
  touchMoved(core, [one.directory, other.directory], [one.inode, other.inode]);
}

/** A directory's '..' counts as a link of its parent. */
function moveParent(core: Core, inode: Inode, source: Inode, target: Inode): void {
  if (!inode.isDirectory || source === target) return;
  source.nlink -= 1;
  target.nlink += 1;
  inode.parent = target.ino;
  core.listings.noteMoved(inode.ino);
}

function touchMoved(core: Core, directories: readonly Inode[], inodes: readonly Inode[]): void {
  for (const directory of directories) touchContent(core, directory);
  for (const inode of inodes) touchStatus(core, inode);
}

/** @throws EISDIR ENOTDIR ENOTEMPTY */
function checkReplaceable(core: Core, inode: Inode, replaced: Inode): void {
  if (inode.isDirectory && !replaced.isDirectory) throw posixError(Errno.ENOTDIR);
  if (!inode.isDirectory && replaced.isDirectory) throw posixError(Errno.EISDIR);
  if (replaced.isDirectory && !core.metastore.dentries.isEmpty(replaced.ino)) {
    throw posixError(Errno.ENOTEMPTY);
  }
}

/** A directory cannot move below itself. @throws EINVAL */
function checkNotBelow(core: Core, target: Inode, moved: Inode): void {
  let directory: Inode | undefined = target;
  while (directory !== undefined && directory.parent !== directory.ino) {
    if (directory === moved) throw posixError(Errno.EINVAL);
    directory = core.metastore.inodes.get(directory.parent);
  }
  if (directory === moved) throw posixError(Errno.EINVAL);
}

/** undefined: the last name is gone, and only those who have it open may use it. */
function findLiving(core: Core, ino: Ino): Inode | undefined {
  const inode = core.metastore.inodes.get(ino);
  return inode === undefined || inode.nlink === 0 ? undefined : inode;
}

function findEntry(core: Core, directory: Inode, name: Buffer): { dentry: Dentry; inode: Inode } {
  const dentry = core.metastore.dentries.find(directory.ino, name);
  if (dentry === undefined) throw posixError(Errno.ENOENT);
  return { dentry, inode: findInode(core, dentry.ino as Ino) };
}

/** A directory that may take names: a removed one, still somebody's working directory, may not. */
export function findLivingDirectory(core: Core, ino: Ino): Inode {
  const directory = findDirectory(core, ino);
  if (directory.nlink === 0) throw posixError(Errno.ENOENT);
  return directory;
}

/** @throws ENAMETOOLONG EINVAL */
function checkName(name: Buffer): void {
  if (name.length > NAME_BYTES_MAX) throw posixError(Errno.ENAMETOOLONG);
  if (name.length === 0) throw posixError(Errno.EINVAL);
}
