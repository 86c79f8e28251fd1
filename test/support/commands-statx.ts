// Builds and reads the structures of system calls: statx, timespec, statfs, dirent.

import { Flag, type Answer, type Argument, type Caller } from './commands-syscalls.ts';

export interface FileStatus {
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly ino: number;
  /** Of a device: major and minor number as glibc's makedev() of small numbers has them. */
  readonly rdev: number;
  readonly size: number;
  readonly blocks: number;
  readonly atimeNs: bigint;
  readonly btimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly mtimeNs: bigint;
  /** Whether the filesystem says that it knows the birth time. */
  readonly hasBirthTime: boolean;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly ino: number;
}

export interface FilesystemStatus {
  readonly blockBytes: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly availableBlocks: number;
  readonly files: number;
  readonly freeFiles: number;
  readonly nameBytesMax: number;
}

const STATX_BYTES = 256;
const STATFS_BYTES = 120;
const STATX_BASIC_AND_BTIME = 0xfff;
const STATX_BTIME = 0x800;
const NS_PER_S = 1_000_000_000n;

/** statx(2) of a path, without following a symlink at its end. */
export async function statusOf(caller: Caller, path: string | Uint8Array): Promise<FileStatus> {
  const answer = await caller.must('statx', ...statxArguments(path));
  return statusFrom(answer);
}

/** The arguments of statx(2), for a call that may fail. */
export function statxArguments(path: string | Uint8Array): Argument[] {
  const buffer = { outputBytes: STATX_BYTES };
  return [Flag.AT_FDCWD, path, Flag.AT_SYMLINK_NOFOLLOW, STATX_BASIC_AND_BTIME, buffer];
}

/** Reads struct statx (linux/stat.h): mask at 0, then the fields at their fixed offsets. */
export function statusFrom(answer: Answer): FileStatus {
  const bytes = outputOf(answer);
  return {
    nlink: bytes.readUInt32LE(16),
    uid: bytes.readUInt32LE(20),
    gid: bytes.readUInt32LE(24),
    mode: bytes.readUInt16LE(28),
    ino: Number(bytes.readBigUInt64LE(32)),
    rdev: (bytes.readUInt32LE(128) << 8) | bytes.readUInt32LE(132),
    size: Number(bytes.readBigUInt64LE(40)),
    blocks: Number(bytes.readBigUInt64LE(48)),
    atimeNs: timestampAt(bytes, 64),
    btimeNs: timestampAt(bytes, 80),
    ctimeNs: timestampAt(bytes, 96),
    mtimeNs: timestampAt(bytes, 112),
    hasBirthTime: (bytes.readUInt32LE(0) & STATX_BTIME) !== 0,
  };
}

/** The two timespecs that utimensat(2) takes: access, then modification. */
export function timespecs(atimeNs: bigint, mtimeNs: bigint): Buffer {
  const bytes = Buffer.alloc(32);
  for (const [index, timeNs] of [atimeNs, mtimeNs].entries()) {
    const fraction = ((timeNs % NS_PER_S) + NS_PER_S) % NS_PER_S;
    bytes.writeBigInt64LE((timeNs - fraction) / NS_PER_S, index * 16);
    bytes.writeBigInt64LE(fraction, index * 16 + 8);
  }
  return bytes;
}

/** statfs(2); the structure of 64-bit architectures. */
export async function filesystemStatusOf(caller: Caller, path: string): Promise<FilesystemStatus> {
  const answer = await caller.must('statfs', path, { outputBytes: STATFS_BYTES });
  const at = (offset: number): number => Number(outputOf(answer).readBigUInt64LE(offset));
  return {
    blockBytes: at(8),
    blocks: at(16),
    freeBlocks: at(24),
    availableBlocks: at(32),
    files: at(40),
    freeFiles: at(48),
    nameBytesMax: at(64),
  };
}

/** One getdents64(2): the next entries of an open directory, or none at its end. */
export async function nextEntries(
  caller: Caller,
  fd: number,
  bufferBytes: number,
): Promise<DirectoryEntry[]> {
  const answer = await caller.must('getdents64', fd, { outputBytes: bufferBytes }, bufferBytes);
  const bytes = outputOf(answer).subarray(0, answer.value);
  const entries: DirectoryEntry[] = [];
  // struct linux_dirent64: ino 8, cookie 8, record length 2, type 1, name with its NUL.
  for (let offset = 0; offset < bytes.length; offset += bytes.readUInt16LE(offset + 16)) {
    const name = bytes.subarray(offset + 19, bytes.indexOf(0, offset + 19)).toString('latin1');
    entries.push({ name, ino: Number(bytes.readBigUInt64LE(offset)) });
  }
  return entries;
}

function timestampAt(bytes: Buffer, offset: number): bigint {
  return bytes.readBigInt64LE(offset) * NS_PER_S + BigInt(bytes.readUInt32LE(offset + 8));
}

function outputOf(answer: Answer): Buffer {
  const [bytes] = answer.outputs;
  if (bytes === undefined) throw new Error('the call has no output buffer');
  return bytes;
}
