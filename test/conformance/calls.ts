// What the tables of the data part share: constants of the kernel's headers, rows, structures in
// the memory of a Caller.

import type { Test } from 'tap';
import { statusOf, timespecs, type FileStatus } from '../support/commands-statx.ts';
import { Flag, type Answer, type Caller } from '../support/commands-syscalls.ts';
import type { Probe } from './suite.ts';

const isArm = process.arch === 'arm64';

/** More flags and commands, with the kernel's names and values. */
export const More = {
  O_NONBLOCK: 0o4000,
  O_DSYNC: 0o10000,
  O_SYNC: 0o4010000,
  O_CLOEXEC: 0o2000000,
  O_NOATIME: 0o1000000,
  O_PATH: 0o10000000,
  // Two more that differ between the architectures.
  O_NOFOLLOW: isArm ? 0o100000 : 0o400000,
  O_DIRECT: isArm ? 0o200000 : 0o40000,
  F_DUPFD: 0,
  F_GETFD: 1,
  F_GETFL: 3,
  F_SETFL: 4,
  F_GETLK: 5,
  F_SETLK: 6,
  F_SETLKW: 7,
  F_OFD_GETLK: 36,
  F_OFD_SETLK: 37,
  F_OFD_SETLKW: 38,
  F_SETLEASE: 1024,
  F_GETLEASE: 1025,
  F_RDLCK: 0,
  F_WRLCK: 1,
  F_UNLCK: 2,
  LOCK_SH: 1,
  LOCK_EX: 2,
  LOCK_NB: 4,
  LOCK_UN: 8,
  FALLOC_COLLAPSE_RANGE: 8,
  FALLOC_INSERT_RANGE: 32,
  MAP_PRIVATE: 2,
  MAP_FIXED: 16,
  MAP_ANONYMOUS: 32,
  PROT_EXEC: 4,
  MS_ASYNC: 1,
  MS_INVALIDATE: 2,
  RLIMIT_FSIZE: 1,
  RWF_DSYNC: 2,
  RWF_SYNC: 4,
  RWF_NOWAIT: 8,
  RWF_APPEND: 16,
} as const;

/** Sizes that the tables speak of. */
export const KIB = 1024;
export const BLOCK = 4096;

/** A result per filesystem, for a deliberate difference. */
export interface Differs<T> {
  readonly ext4: T;
  readonly dedupfs: T;
}

/** What a call gave: the name of its error, or its value. */
export type Outcome = string | number;

export function outcomeOf({ errno, value }: Answer): Outcome {
  return errno === '' ? value : errno;
}

/** One line of a table: a call and what the manual says of it. */
export interface Row {
  readonly what: string;
  readonly call: () => Promise<Answer | Outcome>;
  readonly expected: Outcome | Differs<Outcome>;
}

/** Runs the rows in their order: later ones may build on earlier ones. */
export async function rows({ t, isExt4 }: Probe, table: readonly Row[]): Promise<void> {
  for (const { what, call, expected } of table) {
    const answer = await call();
    const got = typeof answer === 'object' ? outcomeOf(answer) : answer;
    const want = typeof expected === 'object' ? expected[isExt4 ? 'ext4' : 'dedupfs'] : expected;
    t.equal(got, want, what);
  }
}

/** A past that no call under test sets by itself. */
const OLD_NS = 1_000_000_000_000_000_000n;

/**
 * Which of mtime and ctime a call changes, such as 'mtime ctime'. Access times are not looked at:
 * dedupfs keeps them as noatime does.
 */
export async function timesChangedBy(
  caller: Caller,
  path: string,
  act: () => Promise<unknown>,
): Promise<string> {
  await caller.must('utimensat', Flag.AT_FDCWD, path, timespecs(OLD_NS, OLD_NS), 0);
  const before = await statusOf(caller, path);
  // The kernel's clock for files ticks every 4 ms (CONFIG_HZ=250).
  await new Promise((resolve) => setTimeout(resolve, 10));
  await act();
  const after = await statusOf(caller, path);
  const names = ['mtime', 'ctime'] as const;
  return names.filter((name) => after[`${name}Ns`] !== before[`${name}Ns`]).join(' ');
}

/** Creates or empties a file and fills it. @returns an open descriptor, O_RDWR */
export async function fileOf(
  caller: Caller,
  path: string,
  data: string | Uint8Array = '',
): Promise<number> {
  const fd = await caller.open(path, Flag.O_CREAT | Flag.O_RDWR | Flag.O_TRUNC);
  await writeAll(caller, fd, data, 0);
  return fd;
}

/** Writes in pieces: a request line of the Caller holds the whole buffer in hex. */
export async function writeAll(
  caller: Caller,
  fd: number,
  data: string | Uint8Array,
  offset: number,
): Promise<void> {
  const bytes = Buffer.from(data as Uint8Array);
  for (let done = 0; done < bytes.length; done += 256 * KIB) {
    await caller.pwrite(fd, bytes.subarray(done, done + 256 * KIB), offset + done);
  }
}

/** The whole content of a small file, by a descriptor of its own. */
export async function contentOf(caller: Caller, path: string): Promise<string> {
  const fd = await caller.open(path, Flag.O_RDONLY);
  const bytes = await caller.pread(fd, 1024 * KIB, 0);
  await caller.must('close', fd);
  return bytes.toString('latin1');
}

export async function sizeOf(caller: Caller, path: string): Promise<number> {
  return (await statusOf(caller, path)).size;
}

/** Size and blocks once delayed allocation is over. */
export async function settled(caller: Caller, fd: number, path: string): Promise<FileStatus> {
  await caller.must('fsync', fd);
  return statusOf(caller, path);
}

/** The current offset of a descriptor. */
export async function offsetOf(caller: Caller, fd: number): Promise<number> {
  return (await caller.must('lseek', fd, 0, Flag.SEEK_CUR)).value;
}

/** A 64-bit integer in memory, as copy_file_range(2) and splice(2) take offsets. */
export function int64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
}

/** Anonymous memory of the Caller, for what needs an address. */
export async function memory(caller: Caller, bytes: number): Promise<number> {
  const access = Flag.PROT_READ | Flag.PROT_WRITE;
  const flags = More.MAP_PRIVATE | More.MAP_ANONYMOUS;
  return (await caller.must('mmap', 0, bytes, access, flags, -1, 0)).value;
}

/** Maps a file. @returns the address */
export async function mapped(
  caller: Caller,
  fd: number,
  options: { readonly bytes: number; readonly flags?: number; readonly access?: number },
): Promise<number> {
  const access = options.access ?? Flag.PROT_READ | Flag.PROT_WRITE;
  const flags = options.flags ?? Flag.MAP_SHARED;
  return (await caller.must('mmap', 0, options.bytes, access, flags, fd, 0)).value;
}

/** struct iovec[] over consecutive pieces of memory from `address` on. */
export function iovecs(address: number, ...lengths: readonly number[]): Buffer {
  const bytes = Buffer.alloc(16 * lengths.length);
  let at = address;
  for (const [index, length] of lengths.entries()) {
    bytes.writeBigUInt64LE(BigInt(at), index * 16);
    bytes.writeBigUInt64LE(BigInt(length), index * 16 + 8);
    at += length;
  }
  return bytes;
}

/** Becomes a user without rights, for the rest of this process. */
export async function becomeNobody(caller: Caller): Promise<void> {
  await caller.must('setgroups', 0, 0);
  await caller.must('setresgid', 65_534, 65_534, 65_534);
  await caller.must('setresuid', 65_534, 65_534, 65_534);
}

/** Fails unless a promise settles within some seconds: for what must not hang. */
export async function within<T>(t: Test, seconds: number, what: string, promise: Promise<T>) {
  let deadline: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    deadline = setTimeout(() => resolve(undefined), seconds * 1000);
  });
  const result = await Promise.race([promise.then((value) => ({ value })), late]);
  clearTimeout(deadline);
  t.ok(result !== undefined, `${what} within ${seconds} s`);
  return result?.value;
}
