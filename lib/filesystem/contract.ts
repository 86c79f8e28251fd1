// What the kernel boundary asks of a filesystem: one method for each kind of request, with POSIX
// meaning and no wire detail. `lib/filesystem` implements it on a store; `bench/null-filesystem`
// implements it on nothing, to measure the transport alone; tests implement fakes.
//
// Rules:
// - A synchronous method is atomic: nothing else runs between its first and last statement.
// - Names are raw bytes (Buffer), never decoded. A Buffer argument is only valid during the call.
// - Methods throw PosixError (see errors.ts) for what POSIX prescribes; anything else becomes EIO.
// - While `gate.isOpen` is false (the barrier of a commit) no method marked (mutates) may be called;
//   the dispatcher holds such requests back and runs them from `gate.whenOpen`.

import type { Slab } from '../slab-pool.ts';

/** Inode number; also the FUSE nodeid. 1 is the root. Never reused. */
export type Ino = number & { readonly brand: 'Ino' };
export const ROOT_INO = 1 as Ino;

/** Number of an open file or directory, unique for the life of the mount. */
export type FileHandle = number & { readonly brand: 'FileHandle' };

/** Who asks: the thread that made the system call. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** Who asks for an xattr. Some take long to make. */
export interface XattrAsker extends Caller {
  /** Nobody waits for the value any more. */
  readonly signal: AbortSignal;
  /** Only the value's length is looked at; more than that will do. */
  readonly wantsLength: boolean;
}

/** A moment: `sec` may be negative (before 1970); `nsec` in [0, 1e9) always counts forward. */
export interface Timestamp {
  readonly sec: number;
  readonly nsec: number;
}

/** Attributes as stat(2) shows them. Implementations may hand out a live object; read it at once. */
export interface Attributes {
  readonly ino: Ino;
  /** Type and permission bits, as st_mode. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** new_encode_dev form, as MKNOD carries it. */
  readonly rdev: number;
  readonly size: number;
  /** Allocated space in units of 512 bytes, whole blocks of 4 KiB. */
  readonly blocks: number;
  readonly atimeSec: number;
  readonly atimeNsec: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
  readonly btimeSec: number;
  readonly btimeNsec: number;
  /** `blocks` may still change without a request: the kernel must not cache these attributes. */
  readonly isProvisional?: boolean;
}

/** The part of SETATTR that is set; absent means unchanged. */
export interface AttributeChanges {
  mode?: number;
  uid?: number;
  gid?: number;
  size?: number;
  atime?: Timestamp | 'now';
  mtime?: Timestamp | 'now';
  ctime?: Timestamp;
  /** The kernel asks to clear setuid (and setgid if group-executable): HANDLE_KILLPRIV_V2. */
  killSuidgid?: boolean;
}

export interface CreateArguments {
  /** Type and permission bits as the caller gave them. */
  readonly mode: number;
  /** The caller's; counts where the directory has no default access control list. */
  readonly umask: number;
}

export interface OpenArguments {
  /** open(2) flags; never O_TRUNC, which comes as a change of the size. */
  readonly flags: number;
}

export interface OpenedFile {
  readonly fh: FileHandle;
  readonly caching: Caching;
}

/**
 * What the kernel may answer reads of an open file from: `keep`, pages it has; `renew`, pages it
 * reads from now on; `none`, it must ask each time. Descriptors for writing bypass the pages, except
 * with `through`: their writes go through the pages, so that a mapping shows them at once.
 */
export type Caching = 'keep' | 'renew' | 'none' | 'through';

export interface Opened extends OpenedFile {
  readonly attributes: Attributes;
}

/** Bytes of a WRITE where they lie. To keep them, `slab.retain()` and later `slab.release()`. */
export interface Payload {
  readonly slab: Slab;
  /** Offset of the first byte in the slab. */
  readonly offset: number;
  readonly bytes: number;
}

export interface WriteArguments {
  readonly offset: number;
  /** open(2) flags of the descriptor; O_APPEND writes go to the end of the file. */
  readonly flags: number;
  readonly killSuidgid: boolean;
}

/**
 * What the kernel does with its copy of a listing. keep: makes and uses it. renew: the same, without what
 * it has. ask: leaves it alone.
 */
export type ListingUse = 'keep' | 'renew' | 'ask';

export interface OpenedDirectory {
  readonly fh: FileHandle;
  readonly listing: ListingUse;
}

/** Where a listing is. */
export interface ListingPosition {
  /** Below 2^48; 0 is the start. Stays valid while the directory changes. */
  readonly cookie: number;
  /** Below 2^15. What the kernel keeps of listings is told apart by it (kernel-listings.ts). */
  readonly era: number;
}

/** What the kernel's copy of a listing may become at its end (kernel-listings.ts). */
export type ListingEnd = 'complete' | 'incomplete';

/** Its position is the one behind it. */
export interface DirectoryEntry extends ListingPosition {
  readonly name: Uint8Array;
  readonly ino: Ino;
  /** S_IFMT bits >> 12, as d_type. */
  readonly type: number;
  /** Filled for readdirplus, except for `.` and `..`. */
  readonly attributes: Attributes | undefined;
}

export interface FileSystemStatistics {
  /** All counts in units of `blockBytes`. */
  readonly blockBytes: number;
  readonly blocks: number;
  readonly blocksFree: number;
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly nameBytesMax: number;
}

export interface CopyArguments {
  readonly from: { readonly ino: Ino; readonly offset: number };
  readonly to: { readonly ino: Ino; readonly offset: number };
  readonly bytes: number;
}

/** What the mount was asked for that changes the meaning of calls; fixed for its life. */
export interface Semantics {
  /** POSIX access control lists: kept in step with modes, inherited. The kernel enforces them. */
  readonly acls: boolean;
  /** When reading sets the access time. `relative`: if it is not later than the last change, or a day old. */
  readonly accessTimes: 'never' | 'relative' | 'always';
  /** Whether reading a directory counts, too. */
  readonly directoryAccessTimes: boolean;
}

/** Opens and closes around a commit; see the rules above. */
export interface Gate {
  readonly isOpen: boolean;
  /** Calls back in order of arrival once the gate is open. */
  whenOpen(callback: () => void): void;
}

export interface FileSystem {
  readonly gate: Gate;
  readonly semantics: Semantics;

  /**
   * `.` is `parent` itself, of any type, and `..` the directory above it: how inodes are found that
   * the kernel has forgotten (file handles, NFS). This and each method that makes or names an inode
   * counts one lookup of it, as does an entry of readDirectory that was emitted with attributes.
   * undefined: no such name (cached by the kernel as a negative entry). @throws ENOENT ENOTDIR ENAMETOOLONG
   */
  lookup(parent: Ino, name: Buffer): Attributes | undefined;
  /** The kernel dropped `count` lookups of an inode. Never fails. */
  forget(ino: Ino, count: number): void;
  getAttributes(ino: Ino): Attributes;
  /**
   * (mutates) No changes at all: the kernel is about to let somebody change the content who is not
   * entitled to keep setuid and setgid, as `killSuidgid` says of other requests.
   */
  setAttributes(ino: Ino, changes: AttributeChanges, caller: Caller): Attributes;
  readLink(ino: Ino): Buffer;
  /** (mutates) */
  makeSymlink(parent: Ino, name: Buffer, target: Buffer, caller: Caller): Attributes;
  /** (mutates) regular file, fifo, socket or device by the type bits of `mode` */
  makeNode(
    parent: Ino,
    name: Buffer,
    create: CreateArguments & { readonly rdev: number },
    caller: Caller,
  ): Attributes;
  /** (mutates) */
  makeDirectory(parent: Ino, name: Buffer, create: CreateArguments, caller: Caller): Attributes;
  /** (mutates) */
  unlink(parent: Ino, name: Buffer): void;
  /** (mutates) */
  removeDirectory(parent: Ino, name: Buffer): void;
  /** (mutates) flags: 0, RENAME_NOREPLACE 1, RENAME_EXCHANGE 2, RENAME_WHITEOUT 4 */
  rename(
    from: { readonly parent: Ino; readonly name: Buffer },
    to: { readonly parent: Ino; readonly name: Buffer },
    flags: number,
    caller: Caller,
  ): void;
  /** (mutates) */
  link(ino: Ino, parent: Ino, name: Buffer): Attributes;

  open(ino: Ino, open: OpenArguments): OpenedFile;
  /** (mutates) */
  create(
    parent: Ino,
    name: Buffer,
    create: CreateArguments & OpenArguments,
    caller: Caller,
  ): Opened;
  /** (mutates) O_TMPFILE: an inode with no name */
  makeTemporary(parent: Ino, create: CreateArguments & OpenArguments, caller: Caller): Opened;
  /**
   * Fills `into` from `offset` on; returns the bytes filled, short only at the end of the file.
   * `into` is owned by the caller and stays valid until the promise, if any, settles.
   * `fillsCache`: the kernel keeps the bytes in its pages, where a mapping may change them.
   */
  read(fh: FileHandle, offset: number, into: Buffer, fillsCache: boolean): number | Promise<number>;
  /**
   * (mutates) Takes all bytes that the largest file has room for, or throws. Returns bytes written.
   * @throws ENOSPC EFBIG EIO EROFS
   */
  write(fh: FileHandle, payload: Payload, write: WriteArguments, caller: Caller): number;
  /** close(2) of one descriptor: reports an earlier failure of this file; cheap. */
  flush(fh: FileHandle): void;
  /** Resolves when all that was acknowledged before the call is durable. */
  fsync(fh: FileHandle): Promise<void>;
  /** Last close. Never fails. */
  release(fh: FileHandle): void;
  /** whence: SEEK_DATA 3 or SEEK_HOLE 4. @throws ENXIO */
  seek(fh: FileHandle, offset: number, whence: number): number;
  /** (mutates) mode: fallocate(2) flags. @throws EOPNOTSUPP */
  allocate(fh: FileHandle, offset: number, bytes: number, mode: number): void;
  /** (mutates; re-checks the gate itself after waiting) Returns bytes copied, may be short. */
  copyRange(copy: CopyArguments): number | Promise<number>;

  openDirectory(ino: Ino): OpenedDirectory;
  /**
   * Calls `emit` for each entry after a position (at the start `.` and `..` first) until it returns
   * false (no room for that entry) or the entries end.
   * @returns when there are none: what the kernel's copy of the listing may become
   */
  readDirectory(
    fh: FileHandle,
    from: ListingPosition,
    withAttributes: boolean,
    emit: (entry: DirectoryEntry) => boolean,
  ): ListingEnd | undefined;
  releaseDirectory(fh: FileHandle): void;

  /** @throws ENODATA EOPNOTSUPP EINTR, also as a rejection */
  getXattr(ino: Ino, name: Buffer, asker: XattrAsker): Buffer | Promise<Buffer>;
  /** Names, each closed by a NUL, in one buffer; trusted.* for root alone. */
  listXattr(ino: Ino, caller: Caller): Buffer;
  /**
   * (mutates) flags: XATTR_CREATE 1, XATTR_REPLACE 2. `dropSetgid`: the value is an access control
   * list and takes set-gid away.
   */
  setXattr(
    ino: Ino,
    name: Buffer,
    value: Buffer,
    set: { readonly flags: number; readonly dropSetgid: boolean },
  ): void;
  /** (mutates) */
  removeXattr(ino: Ino, name: Buffer): void;

  statistics(): FileSystemStatistics;
  /** Resolves when everything acknowledged so far is durable (SYNCFS). */
  syncAll(): Promise<void>;
  /** Resolves when the names in a directory are durable (FSYNCDIR). */
  syncDirectory(fh: FileHandle): Promise<void>;
}
