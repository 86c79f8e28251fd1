// The tree behind bench/null-filesystem.ts: names, attributes and sizes in memory; data is discarded
// and reads as zeros.

import { Errno, type ErrnoNumber } from '../lib/errno.ts';
import { posixError } from '../lib/errors.ts';
import {
  type AttributeChanges,
  type Attributes,
  type Caller,
  type CopyArguments,
  type CreateArguments,
  type DirectoryEntry,
  type FileHandle,
  type FileSystem,
  type FileSystemStatistics,
  type Gate,
  type Ino,
  type ListingPosition,
  type OpenArguments,
  type Opened,
  type OpenedDirectory,
  type OpenedFile,
  type Payload,
  type Semantics,
  type WriteArguments,
} from '../lib/filesystem/contract.ts';
import { FILE_TYPE_MASK, OpenFlag } from '../lib/protocol/flags.ts';
import {
  direntOf,
  dotEntry,
  makeNode,
  S_IFDIR,
  setAtime,
  setCtime,
  setMtime,
  type Entry,
  type Node,
} from './null-node.ts';

const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const KEEP_SIZE = 1;
const SEEK_HOLE = 4;
const NOREPLACE = 1;
const EXCHANGE = 2;
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

export class NullFileSystem implements FileSystem {
  readonly gate: Gate = { isOpen: true, whenOpen: (callback) => callback() };
  readonly semantics: Semantics = {
    acls: false,
    accessTimes: 'never',
    directoryAccessTimes: false,
  };
  readonly #nodes = new Map<Ino, Node>();
  readonly #handles = new Map<FileHandle, Node>();
  #inoLast = 0;
  #handleLast = 0;
  /** Cookies 1 and 2 are `.` and `..`. */
  #cookieLast = 2;

  constructor() {
    const root = this.#makeNode(S_IFDIR | 0o755, { uid: 0, gid: 0, pid: 0 });
    root.parent = root;
  }

  lookup(parent: Ino, name: Buffer): Attributes | undefined {
    return this.#entries(parent).get(key(name))?.node;
  }

  /** Inodes stay for the life of the mount: there is no data to give back. */
  forget(): void {}

  getAttributes(ino: Ino): Attributes {
    return this.#node(ino);
  }

  setAttributes(ino: Ino, changes: AttributeChanges): Attributes {
    const node = this.#node(ino);
    if (changes.mode !== undefined) {
      node.mode = (node.mode & FILE_TYPE_MASK) | (changes.mode & ~FILE_TYPE_MASK);
    }
    node.uid = changes.uid ?? node.uid;
    node.gid = changes.gid ?? node.gid;
    node.size = changes.size ?? node.size;
    if (changes.atime !== undefined) setAtime(node, changes.atime);
    if (changes.mtime !== undefined) setMtime(node, changes.mtime);
    else if (changes.size !== undefined) setMtime(node, 'now');
    setCtime(node);
    return node;
  }

  readLink(ino: Ino): Buffer {
    return this.#node(ino).target ?? fail(Errno.EINVAL);
  }

  makeSymlink(parent: Ino, name: Buffer, target: Buffer, caller: Caller): Attributes {
    const node = this.#add(parent, name, S_IFLNK | 0o777, caller);
    node.target = Buffer.from(target);
    node.size = target.length;
    return node;
  }

  makeNode(
    parent: Ino,
    name: Buffer,
    create: CreateArguments & { readonly rdev: number },
    caller: Caller,
  ): Attributes {
    const node = this.#add(parent, name, create.mode, caller);
    node.rdev = create.rdev;
    return node;
  }

  makeDirectory(parent: Ino, name: Buffer, create: CreateArguments, caller: Caller): Attributes {
    const node = this.#add(parent, name, S_IFDIR | create.mode, caller);
    node.parent = this.#node(parent);
    node.parent.nlink += 1;
    return node;
  }

  unlink(parent: Ino, name: Buffer): void {
    this.#remove(this.#entries(parent), name).nlink -= 1;
  }

  removeDirectory(parent: Ino, name: Buffer): void {
    const entries = this.#entries(parent);
    const node = entries.get(key(name))?.node ?? fail(Errno.ENOENT);
    if (node.entries === undefined) fail(Errno.ENOTDIR);
    if (node.entries.size > 0) fail(Errno.ENOTEMPTY);
    entries.delete(key(name));
    this.#node(parent).nlink -= 1;
    node.nlink = 0;
  }

  rename(
    from: { readonly parent: Ino; readonly name: Buffer },
    to: { readonly parent: Ino; readonly name: Buffer },
    flags: number,
  ): void {
    const source = this.#entries(from.parent);
    const target = this.#entries(to.parent);
    const moved = source.get(key(from.name)) ?? fail(Errno.ENOENT);
    const replaced = target.get(key(to.name));
    if ((flags & ~(NOREPLACE | EXCHANGE)) !== 0) fail(Errno.EINVAL);
    if (replaced !== undefined && flags & NOREPLACE) fail(Errno.EEXIST);
    if (replaced === undefined && flags & EXCHANGE) fail(Errno.ENOENT);
    if (replaced?.node === moved.node) return;
    if ((replaced?.node.entries?.size ?? 0) > 0 && !(flags & EXCHANGE)) fail(Errno.ENOTEMPTY);
    source.delete(key(from.name));
    this.#place(to.parent, to.name, moved.node);
    if (replaced === undefined) return;
    if (flags & EXCHANGE) this.#place(from.parent, from.name, replaced.node);
    else replaced.node.nlink = replaced.node.entries ? 0 : replaced.node.nlink - 1;
  }

  link(ino: Ino, parent: Ino, name: Buffer): Attributes {
    const node = this.#node(ino);
    if (this.#entries(parent).has(key(name))) fail(Errno.EEXIST);
    this.#place(parent, name, node);
    node.nlink += 1;
    return node;
  }

  open(ino: Ino): OpenedFile {
    return { fh: this.#open(this.#node(ino)), caching: 'keep' };
  }

  create(
    parent: Ino,
    name: Buffer,
    create: CreateArguments & OpenArguments,
    caller: Caller,
  ): Opened {
    const attributes = this.#add(parent, name, S_IFREG | create.mode, caller);
    return { attributes, fh: this.#open(attributes), caching: 'keep' };
  }

  makeTemporary(_: Ino, create: CreateArguments & OpenArguments, caller: Caller): Opened {
    const attributes = this.#makeNode(S_IFREG | create.mode, caller);
    attributes.nlink = 0;
    return { attributes, fh: this.#open(attributes), caching: 'keep' };
  }

  read(fh: FileHandle, offset: number, into: Buffer): number {
    const bytes = Math.max(0, Math.min(into.length, this.#handle(fh).size - offset));
    into.fill(0, 0, bytes);
    return bytes;
  }

  write(fh: FileHandle, payload: Payload, { offset, flags }: WriteArguments): number {
    const node = this.#handle(fh);
    const start = flags & OpenFlag.APPEND ? node.size : offset;
    node.size = Math.max(node.size, start + payload.bytes);
    setMtime(node, 'now');
    return payload.bytes;
  }

  flush(): void {}

  async fsync(): Promise<void> {}

  release(fh: FileHandle): void {
    this.#handles.delete(fh);
  }

  /** All data, no holes. */
  seek(fh: FileHandle, offset: number, whence: number): number {
    const { size } = this.#handle(fh);
    if (offset >= size) fail(Errno.ENXIO);
    return whence === SEEK_HOLE ? size : offset;
  }

  allocate(fh: FileHandle, offset: number, bytes: number, mode: number): void {
    const node = this.#handle(fh);
    if (!(mode & KEEP_SIZE)) node.size = Math.max(node.size, offset + bytes);
  }

  copyRange({ from, to, bytes }: CopyArguments): number {
    const source = this.#node(from.ino);
    const target = this.#node(to.ino);
    const copied = Math.max(0, Math.min(bytes, source.size - from.offset));
    if (copied > 0) target.size = Math.max(target.size, to.offset + copied);
    return copied;
  }

  openDirectory(ino: Ino): OpenedDirectory {
    return { fh: this.#open(this.#node(ino)), listing: 'ask' };
  }

  readDirectory(
    fh: FileHandle,
    { cookie }: ListingPosition,
    withAttributes: boolean,
    emit: (entry: DirectoryEntry) => boolean,
  ): undefined {
    const node = this.#handle(fh);
    const parent = node.parent ?? node;
    if (cookie < 1 && !emit(dotEntry('.', node, 1))) return undefined;
    if (cookie < 2 && !emit(dotEntry('..', parent, 2))) return undefined;
    for (const [name, entry] of node.entries ?? []) {
      if (entry.cookie <= cookie) continue;
      const attributes = withAttributes ? entry.node : undefined;
      const bytes = Buffer.from(name, 'latin1');
      const { cookie: own, node: found } = entry;
      if (!emit({ ...direntOf(found), name: bytes, cookie: own, era: 0, attributes }))
        return undefined;
    }
    return undefined;
  }

  releaseDirectory(fh: FileHandle): void {
    this.#handles.delete(fh);
  }

  getXattr(ino: Ino, name: Buffer): Buffer {
    return this.#node(ino).xattrs.get(key(name)) ?? fail(Errno.ENODATA);
  }

  listXattr(ino: Ino): Buffer {
    const names = [...this.#node(ino).xattrs.keys()];
    return Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');
  }

  setXattr(ino: Ino, name: Buffer, value: Buffer, { flags }: { readonly flags: number }): void {
    const { xattrs } = this.#node(ino);
    const isThere = xattrs.has(key(name));
    if (flags & XATTR_CREATE && isThere) fail(Errno.EEXIST);
    if (flags & XATTR_REPLACE && !isThere) fail(Errno.ENODATA);
    xattrs.set(key(name), Buffer.from(value));
  }

  removeXattr(ino: Ino, name: Buffer): void {
    if (!this.#node(ino).xattrs.delete(key(name))) fail(Errno.ENODATA);
  }

  statistics(): FileSystemStatistics {
    const blocks = 2 ** 30;
    return {
      blockBytes: 4096,
      blocks,
      blocksFree: blocks,
      blocksAvailable: blocks,
      files: this.#nodes.size,
      filesFree: blocks,
      nameBytesMax: 255,
    };
  }

  async syncAll(): Promise<void> {}

  async syncDirectory(): Promise<void> {}

  #node(ino: Ino): Node {
    return this.#nodes.get(ino) ?? fail(Errno.ENOENT);
  }

  #handle(fh: FileHandle): Node {
    return this.#handles.get(fh) ?? fail(Errno.EBADF);
  }

  #entries(ino: Ino): Map<string, Entry> {
    return this.#node(ino).entries ?? fail(Errno.ENOTDIR);
  }

  #open(node: Node): FileHandle {
    this.#handleLast += 1;
    const fh = this.#handleLast as FileHandle;
    this.#handles.set(fh, node);
    return fh;
  }

  #add(parent: Ino, name: Buffer, mode: number, caller: Caller): Node {
    if (this.#entries(parent).has(key(name))) fail(Errno.EEXIST);
    const node = this.#makeNode(mode, caller);
    this.#place(parent, name, node);
    return node;
  }

  #place(parent: Ino, name: Buffer, node: Node): void {
    const directory = this.#node(parent);
    this.#cookieLast += 1;
    const entries = directory.entries ?? fail(Errno.ENOTDIR);
    // Deleted first, so that the map's order stays that of the cookies.
    entries.delete(key(name));
    entries.set(key(name), { node, cookie: this.#cookieLast });
    setMtime(directory, 'now');
  }

  #remove(entries: Map<string, Entry>, name: Buffer): Node {
    const node = entries.get(key(name))?.node ?? fail(Errno.ENOENT);
    entries.delete(key(name));
    return node;
  }

  #makeNode(mode: number, caller: Caller): Node {
    this.#inoLast += 1;
    const node = makeNode(this.#inoLast as Ino, mode, caller);
    this.#nodes.set(node.ino, node);
    return node;
  }
}

function fail(errno: ErrnoNumber): never {
  throw posixError(errno);
}

function key(name: Buffer): string {
  return name.toString('latin1');
}
