// The filesystem on a store: POSIX meaning for each kind of request, one line each; the work is in
// the files beside it. See contract.ts for what every method promises.

import { FileType, type Inode } from '../metastore/inodes.ts';
import { listingUseOf, noteAccess } from './access-times.ts';
import { setAttributes, suspectPrivileges } from './attributes.ts';
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
  Ino,
  ListingEnd,
  ListingPosition,
  OpenArguments,
  Opened,
  OpenedDirectory,
  OpenedFile,
  Payload,
  Semantics,
  WriteArguments,
  XattrAsker,
} from './contract.ts';
import { now } from './clock.ts';
import type { ContentIngest } from './content-ingest.ts';
import { copyRange } from './copy-range.ts';
import { attributesOf, findDirectory, findInode, type Core } from './core.ts';
import { readDirectory } from './directories.ts';
import { getXattr, listXattr, removeXattr, setXattr } from './extended-attributes.ts';
import {
  allocate,
  flushFile,
  openFile,
  readFile,
  releaseFile,
  seekFile,
  writeFile,
  type FileParts,
} from './files.ts';
import type { GatherBuffer } from './gather-buffer.ts';
import type { ReadAhead } from '../dedup/read-ahead.ts';
import type { CommitGate } from './gate.ts';
import { HandleTable } from './handles.ts';
import type { ListingPart } from './kernel-listings.ts';
import { LookupCounts } from './lookup-counts.ts';
import * as namespace from './namespace.ts';
import { Priming, type OpenDirectory } from './priming.ts';

export interface DedupFileSystemOptions {
  readonly core: Core;
  readonly ingest: ContentIngest;
  readonly gather: GatherBuffer;
  readonly ahead: ReadAhead;
  statistics(): FileSystemStatistics;
}

export class DedupFileSystem implements FileSystem {
  readonly gate: CommitGate;
  readonly semantics: Semantics;
  readonly #core: Core;
  readonly #parts: FileParts;
  readonly #handles = new HandleTable();
  readonly #lookups = new LookupCounts();
  readonly #priming = new Priming();
  readonly #statistics: () => FileSystemStatistics;

  constructor(options: DedupFileSystemOptions) {
    this.#core = options.core;
    this.gate = options.core.gate;
    this.semantics = options.core.semantics;
    this.#parts = {
      core: options.core,
      handles: this.#handles,
      ingest: options.ingest,
      gather: options.gather,
      ahead: options.ahead,
    };
    this.#statistics = () => options.statistics();
  }

  lookup(parent: Ino, name: Buffer): Attributes | undefined {
    const inode = this.#reading(() => namespace.lookup(this.#core, parent, name));
    if (inode === undefined) return undefined;
    this.#priming.noteLookup(parent);
    return this.#entry(inode);
  }

  /** For requests that change nothing, access times aside: what they cannot read fails them alone. */
  #reading<T>(request: () => T): T {
    return this.#core.metastore.database.reading(request);
  }

  /** What the kernel gets to know an inode by. */
  #entry(inode: Inode): Attributes {
    this.#lookups.note(inode.ino);
    return attributesOf(this.#core, inode);
  }

  forget(ino: Ino, count: number): void {
    if (!this.#lookups.forget(ino, count)) return;
    const isOrphan = this.#core.orphans.noteForgotten(ino);
    this.#core.listings.noteForgotten(ino, !isOrphan);
  }

  getAttributes(ino: Ino): Attributes {
    return this.#reading(() => attributesOf(this.#core, findInode(this.#core, ino)));
  }

  setAttributes(ino: Ino, changes: AttributeChanges, caller: Caller): Attributes {
    const inode = this.#find(ino);
    if (Object.keys(changes).length > 0) setAttributes(this.#core, inode, changes, caller);
    else suspectPrivileges(this.#core, inode, caller);
    return attributesOf(this.#core, inode);
  }

  #find(ino: Ino): Inode {
    return this.#reading(() => findInode(this.#core, ino));
  }

  readLink(ino: Ino): Buffer {
    const inode = this.#find(ino);
    const target = this.#reading(() => namespace.readLink(this.#core, inode));
    noteAccess(this.#core, inode);
    return target;
  }

  makeSymlink(parent: Ino, name: Buffer, target: Buffer, caller: Caller): Attributes {
    return this.#entry(namespace.makeSymlink(this.#core, { parent, name }, target, caller));
  }

  makeNode(
    parent: Ino,
    name: Buffer,
    create: CreateArguments & { readonly rdev: number },
    caller: Caller,
  ): Attributes {
    const inode = namespace.makeNode(this.#core, { parent, name }, create, caller);
    inode.rdev = create.rdev;
    return this.#entry(inode);
  }

  makeDirectory(parent: Ino, name: Buffer, create: CreateArguments, caller: Caller): Attributes {
    const made = withType(create, FileType.DIRECTORY);
    return this.#entry(namespace.makeNode(this.#core, { parent, name }, made, caller));
  }

  unlink(parent: Ino, name: Buffer): void {
    namespace.unlink(this.#core, { parent, name });
  }

  removeDirectory(parent: Ino, name: Buffer): void {
    namespace.removeDirectory(this.#core, { parent, name });
  }

  rename(from: namespace.Place, to: namespace.Place, flags: number, caller: Caller): void {
    namespace.rename(this.#core, from, to, flags, caller);
  }

  link(ino: Ino, parent: Ino, name: Buffer): Attributes {
    return this.#entry(namespace.link(this.#core, ino, { parent, name }));
  }

  open(ino: Ino, open: OpenArguments): OpenedFile {
    return openFile(this.#parts, this.#find(ino), open);
  }

  create(
    parent: Ino,
    name: Buffer,
    create: CreateArguments & OpenArguments,
    caller: Caller,
  ): Opened {
    const made = withType(create, FileType.REGULAR);
    const inode = namespace.makeNode(this.#core, { parent, name }, made, caller);
    return this.#opened(inode, create);
  }

  makeTemporary(parent: Ino, create: CreateArguments & OpenArguments, caller: Caller): Opened {
    this.#core.changes.begin();
    this.#core.changes.admit(0);
    const directory = namespace.findLivingDirectory(this.#core, parent);
    const made = withType(create, FileType.REGULAR);
    const inode = namespace.makeInode(this.#core, directory, made, caller);
    this.#core.orphans.add(inode, 0);
    return this.#opened(inode, create);
  }

  #opened(inode: Inode, open: OpenArguments): Opened {
    return { ...openFile(this.#parts, inode, open), attributes: this.#entry(inode) };
  }

  read(
    fh: FileHandle,
    offset: number,
    into: Buffer,
    fillsCache: boolean,
  ): number | Promise<number> {
    const file = this.#handles.file(fh);
    if (fillsCache) file.content.noteCacheFill();
    const range = { offset, end: offset + into.length };
    const decoding = this.#reading(() => file.stream.noteRead(range));
    if (decoding === undefined) return this.#readNow(fh, offset, into);
    return decoding.then(() => this.#readNow(fh, offset, into));
  }

  /** What the file shows at this moment. */
  #readNow(fh: FileHandle, offset: number, into: Buffer): number {
    const file = this.#handles.file(fh);
    return this.#reading(() => readFile(this.#core, file, offset, into));
  }

  write(fh: FileHandle, payload: Payload, write: WriteArguments, caller: Caller): number {
    return writeFile(this.#parts, this.#handles.file(fh), { ...write, payload }, caller);
  }

  flush(fh: FileHandle): void {
    flushFile(this.#core, this.#handles.file(fh));
  }

  async fsync(fh: FileHandle): Promise<void> {
    this.#handles.file(fh);
    await this.#core.changes.commit();
  }

  release(fh: FileHandle): void {
    releaseFile(this.#parts, fh);
  }

  seek(fh: FileHandle, offset: number, whence: number): number {
    return this.#reading(() => seekFile(this.#handles.file(fh), offset, whence));
  }

  allocate(fh: FileHandle, offset: number, bytes: number, mode: number): void {
    allocate(this.#core, this.#handles.file(fh), { offset, bytes }, mode);
  }

  async copyRange(copy: CopyArguments): Promise<number> {
    return copyRange(this.#parts, copy);
  }

  openDirectory(ino: Ino): OpenedDirectory {
    const inode = findDirectory(this.#core, ino);
    const listing = listingUseOf(this.#core, inode);
    return { fh: this.#handles.addDirectory(inode), listing };
  }

  readDirectory(
    fh: FileHandle,
    from: ListingPosition,
    withAttributes: boolean,
    emit: (entry: DirectoryEntry) => boolean,
  ): ListingEnd | undefined {
    const directory = this.#handles.directory(fh);
    const { inode } = directory;
    const { listings } = this.#core;
    const part = this.#listingPartAt(directory, from);
    const isPrimed = withAttributes && this.#priming.isWanted(directory);
    if (!isPrimed) listings.noteUnprimed(inode.ino);
    const given = { isNone: true, cookie: from.cookie };
    this.#reading(() =>
      readDirectory(
        this.#core,
        inode,
        { cookie: from.cookie, era: part.era },
        isPrimed,
        (entry) => {
          given.isNone = false;
          if (!emit(entry)) return false;
          part.copy?.note(given.cookie, entry.cookie, entry.name.length);
          given.cookie = entry.cookie;
          if (entry.attributes === undefined) return true;
          this.#lookups.note(entry.ino);
          directory.primed += 1;
          return true;
        },
      ),
    );
    return given.isNone ? listings.noteEnd(inode.ino, part, from.cookie) : undefined;
  }

  #listingPartAt(directory: OpenDirectory, { cookie, era }: ListingPosition): ListingPart {
    const { inode, begun } = directory;
    const { listings } = this.#core;
    if (cookie !== 0) return listings.partAt(inode.ino, era, begun);
    noteAccess(this.#core, inode);
    directory.primed = 0;
    directory.begun = listings.noteBegun(inode.ino, now().sec);
    return directory.begun;
  }

  releaseDirectory(fh: FileHandle): void {
    const directory = this.#handles.removeDirectory(fh);
    if (directory !== undefined) this.#priming.noteClosed(directory.inode.ino);
  }

  getXattr(ino: Ino, name: Buffer, asker: XattrAsker): Buffer | Promise<Buffer> {
    return this.#reading(() => getXattr(this.#core, findInode(this.#core, ino), name, asker));
  }

  listXattr(ino: Ino, caller: Caller): Buffer {
    return this.#reading(() => listXattr(this.#core, findInode(this.#core, ino), caller));
  }

  setXattr(
    ino: Ino,
    name: Buffer,
    value: Buffer,
    set: { readonly flags: number; readonly dropSetgid: boolean },
  ): void {
    setXattr(this.#core, this.#find(ino), name, value, set);
  }

  removeXattr(ino: Ino, name: Buffer): void {
    removeXattr(this.#core, this.#find(ino), name);
  }

  statistics(): FileSystemStatistics {
    return this.#statistics();
  }

  async syncAll(): Promise<void> {
    await this.#core.changes.commit();
  }

  /** A commit makes everything durable, never one directory alone. */
  async syncDirectory(): Promise<void> {
    await this.syncAll();
  }
}

function withType(create: CreateArguments, type: number): CreateArguments {
  return { mode: (create.mode & ~FileType.MASK) | type, umask: create.umask };
}
