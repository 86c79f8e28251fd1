// The filesystem of a lossy disk: it behaves as any other while the power is on, and writes down what
// a power cut could undo. Contents lie in a folder of the host, one file for each inode; names and
// attributes are in memory.
//
// A sync is answered after a pause, as by a real disk, so that other operations come in between. The
// host's own syncs are never called: what would survive is decided by the record alone.

import { closeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Errno, type ErrnoNumber } from '../../lib/errno.ts';
import { posixError } from '../../lib/errors.ts';
import type {
  AttributeChanges,
  Attributes,
  Caller,
  CopyArguments,
  CreateArguments,
  DirectoryEntry,
  FileHandle,
  FileSystem,
  FileSystemStatistics,
  Gate,
  Ino,
  ListingPosition,
  OpenArguments,
  Opened,
  OpenedDirectory,
  OpenedFile,
  Payload,
  Semantics,
  WriteArguments,
} from '../../lib/filesystem/contract.ts';
import { native } from '../../lib/native.ts';
import { FILE_TYPE_MASK, OpenFlag } from '../../lib/protocol/flags.ts';
import { DiskContents } from './lossy-disk-contents.ts';
import type { Faults } from './lossy-disk-faults.ts';
import {
  direntTypeOf,
  makeNode,
  momentOf,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
  touch,
  typeOf,
  type DiskNode,
  type Entry,
} from './lossy-disk-node.ts';
import { EVERYTHING, type RecordWriter } from './lossy-disk-record.ts';
import type { Random } from './random.ts';

const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const ZERO_RANGE = 16;
const SEEK_HOLE = 4;
const NOREPLACE = 1;
const BLOCK_BYTES = 4096;
const COPY_BYTES_MAX = 1024 * 1024;
const NOBODY_ASKS = { uid: 0, gid: 0, pid: 0 };

export interface LossyFileSystemOptions {
  /** Holds `objects`; empty. */
  readonly folder: string;
  readonly records: RecordWriter;
  readonly faults: Faults;
  /** Size of the disk, as statfs(2) and ENOSPC tell it. */
  readonly bytesMax: number;
  /** The longest pause of a sync. */
  readonly syncMsMax: number;
  readonly random: Random;
}

export class LossyFileSystem implements FileSystem {
  readonly gate: Gate = { isOpen: true, whenOpen: (callback) => callback() };
  readonly semantics: Semantics = {
    acls: false,
    accessTimes: 'never',
    directoryAccessTimes: false,
  };
  readonly #options: LossyFileSystemOptions;
  readonly #contents: DiskContents;
  readonly #nodes = new Map<Ino, DiskNode>();
  readonly #handles = new Map<FileHandle, DiskNode>();
  #inoLast = 0;
  #handleLast = 0;
  /** Cookies 1 and 2 are `.` and `..`. */
  #cookieLast = 2;
  #isCut = false;

  constructor(options: LossyFileSystemOptions) {
    this.#options = options;
    const { folder, records, bytesMax } = options;
    this.#contents = new DiskContents(folder, records, bytesMax);
    this.#makeNode(S_IFDIR | 0o700, NOBODY_ASKS);
  }

  /** From now on nothing works and nothing is recorded. */
  cut(): void {
    this.#isCut = true;
    this.#options.records.flush();
  }

  close(): void {
    for (const { descriptor } of this.#nodes.values()) {
      if (descriptor !== undefined) closeSync(descriptor);
    }
    this.#options.records.close();
  }

  lookup(parent: Ino, name: Buffer): Attributes | undefined {
    if (this.#isCut) fail(Errno.EIO);
    if (name.length === 1 && name[0] === 0x2e) return this.#node(parent);
    return this.#entries(parent).get(key(name))?.node;
  }

  forget(): void {}

  getAttributes(ino: Ino): Attributes {
    return this.#node(ino);
  }

  setAttributes(ino: Ino, changes: AttributeChanges): Attributes {
    const node = this.#node(ino);
    if (changes.size !== undefined) {
      this.#check('write', node.path);
      this.#contents.resize(node, changes.size);
    }
    if (changes.mode !== undefined) {
      node.mode = (node.mode & FILE_TYPE_MASK) | (changes.mode & ~FILE_TYPE_MASK);
    }
    node.uid = changes.uid ?? node.uid;
    node.gid = changes.gid ?? node.gid;
    const { atime, mtime } = changes;
    if (atime !== undefined) ({ sec: node.atimeSec, nsec: node.atimeNsec } = momentOf(atime));
    if (mtime !== undefined) ({ sec: node.mtimeSec, nsec: node.mtimeNsec } = momentOf(mtime));
    return node;
  }

  readLink(ino: Ino): Buffer {
    return this.#node(ino).target ?? fail(Errno.EINVAL);
  }

  makeSymlink(parent: Ino, name: Buffer, target: Buffer, caller: Caller): Attributes {
    return this.#add(parent, name, S_IFLNK | 0o777, caller, Buffer.from(target));
  }

  makeNode(
    parent: Ino,
    name: Buffer,
    create: CreateArguments & { readonly rdev: number },
    caller: Caller,
  ): Attributes {
    return this.#add(parent, name, create.mode, caller);
  }

  makeDirectory(parent: Ino, name: Buffer, create: CreateArguments, caller: Caller): Attributes {
    const node = this.#add(parent, name, S_IFDIR | (create.mode & ~FILE_TYPE_MASK), caller);
    this.#node(parent).nlink += 1;
    return node;
  }

  unlink(parent: Ino, name: Buffer): void {
    const { node } = this.#entries(parent).get(key(name)) ?? fail(Errno.ENOENT);
    this.#removeName(parent, name, node);
    node.nlink -= 1;
    this.#dropUnused(node);
  }

  removeDirectory(parent: Ino, name: Buffer): void {
    const { node } = this.#entries(parent).get(key(name)) ?? fail(Errno.ENOENT);
    if (node.entries === undefined) fail(Errno.ENOTDIR);
    if (node.entries.size > 0) fail(Errno.ENOTEMPTY);
    this.#removeName(parent, name, node);
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
    const moved = source.get(key(from.name))?.node ?? fail(Errno.ENOENT);
    const replaced = target.get(key(to.name))?.node;
    if ((flags & ~NOREPLACE) !== 0) fail(Errno.EINVAL);
    if (replaced !== undefined && flags & NOREPLACE) fail(Errno.EEXIST);
    if (replaced === moved) return;
    if ((replaced?.entries?.size ?? 0) > 0) fail(Errno.ENOTEMPTY);
    const path = this.#pathOf(to.parent, to.name);
    this.#check('name', path);
    source.delete(key(from.name));
    this.#place(to.parent, to.name, moved);
    this.#options.records.add(path, {
      kind: 'rename',
      ino: moved.ino,
      parent: from.parent,
      name: key(from.name),
      toParent: to.parent,
      toName: key(to.name),
    });
    if (moved.entries !== undefined) {
      this.#node(from.parent).nlink -= 1;
      this.#node(to.parent).nlink += 1;
    }
    if (replaced === undefined) return;
    replaced.nlink = replaced.entries === undefined ? replaced.nlink - 1 : 0;
    this.#dropUnused(replaced);
  }

  link(ino: Ino, parent: Ino, name: Buffer): Attributes {
    const node = this.#node(ino);
    if (this.#entries(parent).has(key(name))) fail(Errno.EEXIST);
    const path = this.#pathOf(parent, name);
    this.#check('name', path);
    this.#place(parent, name, node);
    node.nlink += 1;
    this.#options.records.add(path, { kind: 'link', ino, parent, name: key(name) });
    return node;
  }

  open(ino: Ino): OpenedFile {
    return { fh: this.#open(this.#node(ino)), caching: 'through' };
  }

  create(
    parent: Ino,
    name: Buffer,
    create: CreateArguments & OpenArguments,
    caller: Caller,
  ): Opened {
    const mode = S_IFREG | (create.mode & ~FILE_TYPE_MASK);
    const attributes = this.#add(parent, name, mode, caller);
    return { attributes, fh: this.#open(attributes), caching: 'through' };
  }

  makeTemporary(): Opened {
    return fail(Errno.EOPNOTSUPP);
  }

  read(fh: FileHandle, offset: number, into: Buffer): number {
    const node = this.#handle(fh);
    this.#check('read', node.path);
    return this.#contents.read(node, offset, into);
  }

  write(fh: FileHandle, payload: Payload, { offset, flags }: WriteArguments): number {
    const node = this.#handle(fh);
    this.#check('write', node.path);
    const start = flags & OpenFlag.APPEND ? node.size : offset;
    const data = Buffer.allocUnsafe(payload.bytes);
    native.copy(payload.slab.bytes, payload.offset, data, 0, payload.bytes);
    this.#contents.write(node, start, data);
    return payload.bytes;
  }

  flush(): void {}

  async fsync(fh: FileHandle): Promise<void> {
    const node = this.#handle(fh);
    await this.#sync(node.ino, node.path);
  }

  async syncDirectory(fh: FileHandle): Promise<void> {
    await this.fsync(fh);
  }

  async syncAll(): Promise<void> {
    await this.#sync(EVERYTHING, '');
  }

  release(fh: FileHandle): void {
    const node = this.#handles.get(fh);
    if (node === undefined) return;
    this.#handles.delete(fh);
    node.opens -= 1;
    this.#dropUnused(node);
  }

  /** All data, no holes. */
  seek(fh: FileHandle, offset: number, whence: number): number {
    const { size } = this.#handle(fh);
    if (offset >= size) fail(Errno.ENXIO);
    return whence === SEEK_HOLE ? size : offset;
  }

  allocate(fh: FileHandle, offset: number, bytes: number, mode: number): void {
    const node = this.#handle(fh);
    this.#check('write', node.path);
    if (mode & (PUNCH_HOLE | ZERO_RANGE)) this.#contents.zero(node, offset, bytes);
    const end = offset + bytes;
    if (!(mode & KEEP_SIZE) && end > node.size) this.#contents.resize(node, end);
  }

  copyRange({ from, to, bytes }: CopyArguments): number {
    const target = this.#node(to.ino);
    this.#check('write', target.path);
    const data = Buffer.alloc(Math.min(bytes, COPY_BYTES_MAX));
    const count = this.#contents.read(this.#node(from.ino), from.offset, data);
    this.#contents.write(target, to.offset, data.subarray(0, count));
    return count;
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
    for (const [index, name] of ['.', '..'].entries()) {
      const dot = { name: Buffer.from(name), ino: node.ino, type: direntTypeOf(node) };
      if (cookie > index) continue;
      if (!emit({ ...dot, cookie: index + 1, era: 0, attributes: undefined })) return undefined;
    }
    for (const [name, entry] of node.entries ?? []) {
      if (entry.cookie <= cookie) continue;
      const { node: inode, cookie: own } = entry;
      const found = { ino: inode.ino, type: direntTypeOf(inode), cookie: own, era: 0 };
      const attributes = withAttributes ? inode : undefined;
      if (!emit({ ...found, name: Buffer.from(name, 'latin1'), attributes })) return undefined;
    }
    return undefined;
  }

  releaseDirectory(fh: FileHandle): void {
    this.release(fh);
  }

  getXattr(): Buffer {
    return fail(Errno.EOPNOTSUPP);
  }

  listXattr(): Buffer {
    return Buffer.alloc(0);
  }

  setXattr(): void {
    fail(Errno.EOPNOTSUPP);
  }

  removeXattr(): void {
    fail(Errno.EOPNOTSUPP);
  }

  statistics(): FileSystemStatistics {
    const blocks = Math.floor(this.#options.bytesMax / BLOCK_BYTES);
    const free = Math.max(0, blocks - Math.ceil(this.#contents.usedBytes / BLOCK_BYTES));
    return {
      blockBytes: BLOCK_BYTES,
      blocks,
      blocksFree: free,
      blocksAvailable: free,
      files: this.#nodes.size,
      filesFree: blocks,
      nameBytesMax: 255,
    };
  }

  #node(ino: Ino): DiskNode {
    if (this.#isCut) fail(Errno.EIO);
    return this.#nodes.get(ino) ?? fail(Errno.ENOENT);
  }

  #handle(fh: FileHandle): DiskNode {
    if (this.#isCut) fail(Errno.EIO);
    return this.#handles.get(fh) ?? fail(Errno.EBADF);
  }

  #entries(ino: Ino): Map<string, Entry> {
    return this.#node(ino).entries ?? fail(Errno.ENOTDIR);
  }

  #check(operation: 'read' | 'write' | 'sync' | 'name', path: string): void {
    this.#options.faults.check(operation, path);
  }

  #open(node: DiskNode): FileHandle {
    this.#handleLast += 1;
    node.opens += 1;
    const fh = this.#handleLast as FileHandle;
    this.#handles.set(fh, node);
    return fh;
  }

  #pathOf(parent: Ino, name: Buffer): string {
    const { path } = this.#node(parent);
    return path === '' ? key(name) : `${path}/${key(name)}`;
  }

  #makeNode(mode: number, caller: Caller): DiskNode {
    this.#inoLast += 1;
    const node = makeNode(this.#inoLast as Ino, mode, caller);
    if (typeOf(mode) === 'file') this.#contents.create(node);
    this.#nodes.set(node.ino, node);
    return node;
  }

  #add(parent: Ino, name: Buffer, mode: number, caller: Caller, target?: Buffer): DiskNode {
    if (this.#entries(parent).has(key(name))) fail(Errno.EEXIST);
    const path = this.#pathOf(parent, name);
    this.#check('name', path);
    const node = this.#makeNode(mode, caller);
    node.target = target;
    node.size = target?.length ?? 0;
    this.#place(parent, name, node);
    this.#options.records.add(path, {
      kind: 'create',
      ino: node.ino,
      type: typeOf(mode),
      mode: mode & ~FILE_TYPE_MASK,
      ...(target === undefined ? {} : { target: key(target) }),
      parent,
      name: key(name),
    });
    return node;
  }

  #place(parent: Ino, name: Buffer, node: DiskNode): void {
    this.#cookieLast += 1;
    const entries = this.#entries(parent);
    // Deleted first, so that the map's order stays that of the cookies.
    entries.delete(key(name));
    entries.set(key(name), { node, cookie: this.#cookieLast });
    node.path = this.#pathOf(parent, name);
    touch(this.#node(parent));
  }

  #removeName(parent: Ino, name: Buffer, node: DiskNode): void {
    const path = this.#pathOf(parent, name);
    this.#check('name', path);
    this.#entries(parent).delete(key(name));
    touch(this.#node(parent));
    this.#options.records.add(path, { kind: 'unlink', ino: node.ino, parent, name: key(name) });
  }

  #dropUnused(node: DiskNode): void {
    if (node.nlink > 0 || node.opens > 0 || node.descriptor === undefined) return;
    this.#contents.remove(node);
    this.#nodes.delete(node.ino);
  }

  /** An error is reported once; what the failed sync covered is clean from then on, as in Linux. */
  async #sync(ino: number, path: string): Promise<void> {
    const { records, random, syncMsMax } = this.#options;
    const sync = records.add(path, { kind: 'sync', ino });
    try {
      this.#check('sync', path);
    } catch (error) {
      records.add(path, { kind: 'unsynced', ino, sync });
      throw error;
    }
    // Most syncs are short and some are long.
    const pauseMs = syncMsMax === 0 ? 0 : random.size(syncMsMax);
    if (pauseMs > 0) await delay(pauseMs);
    if (this.#isCut) fail(Errno.EIO);
    records.add(path, { kind: 'synced', ino, sync });
  }
}

function fail(errno: ErrnoNumber): never {
  throw posixError(errno);
}

function key(name: Buffer): string {
  return name.toString('latin1');
}
