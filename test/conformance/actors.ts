// Who makes the calls of the conformance tables: a process inside the directory of one test, so that
// names are short and other users need no search permission above it. Each call gives its errno, ''
// for success: rows of a table then read { call: (who) => who.rmdir('full'), errno: 'ENOTEMPTY' }.

import { Flag, type Answer, type Argument, type Caller } from '../support/commands-syscalls.ts';
import { statusFrom, timespecs, type FileStatus } from '../support/commands-statx.ts';
import type { Probe } from './suite.ts';

const { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY, O_TRUNC, O_RDONLY } = Flag;

/** S_IFMT values of sys/stat.h. */
export const Kind = {
  FIFO: 0o010000,
  CHARACTER: 0o020000,
  DIRECTORY: 0o040000,
  BLOCK: 0o060000,
  FILE: 0o100000,
  SYMLINK: 0o120000,
  SOCKET: 0o140000,
} as const;

/** The fields of utimensat(2) that are no times but orders. */
export const UTIME_NOW = 0x3fffffffn;
export const UTIME_OMIT = 0x3ffffffen;

/** A user without privileges, and the groups besides the first. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly groups?: readonly number[];
}

const ROOM = 70_000;
const STATX_BYTES = 256;
const STATX_BASIC_AND_BTIME = 0xfff;
const GROUP_BYTES = 4;

export class Actor {
  readonly caller: Caller;

  private constructor(caller: Caller) {
    this.caller = caller;
  }

  /** The first process of the test, as root, with umask 022. */
  static async root(probe: Probe): Promise<Actor> {
    return Actor.#in(probe.caller, probe.directory);
  }

  /** One more process, which gives up being root. Calls by path names below the directory only. */
  static async user(probe: Probe, identity: Identity): Promise<Actor> {
    const { uid, gid, groups = [] } = identity;
    const actor = await Actor.#in(probe.startCaller(), probe.directory);
    const list = Buffer.alloc(Math.max(1, groups.length) * GROUP_BYTES);
    for (const [index, group] of groups.entries()) list.writeUInt32LE(group, index * GROUP_BYTES);
    await actor.caller.must('setgroups', groups.length, list);
    await actor.caller.must('setresgid', gid, gid, gid);
    await actor.caller.must('setresuid', uid, uid, uid);
    return actor;
  }

  static async #in(caller: Caller, directory: string): Promise<Actor> {
    await caller.must('chdir', directory);
    await caller.must('umask', 0o022);
    return new Actor(caller);
  }

  async #errno(...call: Parameters<Caller['call']>): Promise<string> {
    return (await this.caller.call(...call)).errno;
  }

  // Names.

  async mkdir(path: string, mode = 0o755): Promise<string> {
    return this.#errno('mkdirat', AT_FDCWD, path, mode);
  }

  async mknod(path: string, mode: number, device = 0): Promise<string> {
    return this.#errno('mknodat', AT_FDCWD, path, mode, device);
  }

  async link(from: string, to: string, flags = 0): Promise<string> {
    return this.#errno('linkat', AT_FDCWD, from, AT_FDCWD, to, flags);
  }

  async symlink(target: string, path: string): Promise<string> {
    return this.#errno('symlinkat', target, AT_FDCWD, path);
  }

  async unlink(path: string): Promise<string> {
    return this.#errno('unlinkat', AT_FDCWD, path, 0);
  }

  async rmdir(path: string): Promise<string> {
    return this.#errno('unlinkat', AT_FDCWD, path, Flag.AT_REMOVEDIR);
  }

  async rename(from: string, to: string, flags = 0): Promise<string> {
    return this.#errno('renameat2', AT_FDCWD, from, AT_FDCWD, to, flags);
  }

  async readlink(path: string): Promise<string> {
    return this.#errno('readlinkat', AT_FDCWD, path, { outputBytes: ROOM }, ROOM);
  }

  /** What a symlink holds. */
  async linkTarget(path: string): Promise<string> {
    const room = { outputBytes: ROOM };
    return textOf(await this.caller.must('readlinkat', AT_FDCWD, path, room, ROOM));
  }

  // Files.

  /** Opens, and closes again if that went well. */
  async open(path: string, flags: number, mode = 0o644): Promise<string> {
    const { value, errno } = await this.caller.call('openat', AT_FDCWD, path, flags, mode);
    if (errno === '') await this.caller.must('close', value);
    return errno;
  }

  /** Makes an empty file. */
  async create(path: string, mode = 0o644): Promise<string> {
    return this.open(path, O_CREAT | O_EXCL | O_WRONLY, mode);
  }

  /** Makes a file with a content, or writes the file that is there anew. @throws Error */
  async put(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
    const fd = await this.fd(path, O_CREAT | O_TRUNC | O_WRONLY, mode);
    await this.caller.pwrite(fd, content, 0);
    await this.close(fd);
  }

  /** The content of a file, up to 70,000 bytes. @throws Error */
  async content(path: string): Promise<string> {
    const fd = await this.fd(path, O_RDONLY);
    const bytes = await this.caller.pread(fd, ROOM, 0);
    await this.close(fd);
    return bytes.toString('latin1');
  }

  /** Opens and keeps open. @throws Error */
  async fd(path: string, flags: number, mode = 0o644): Promise<number> {
    return this.caller.open(path, flags, mode);
  }

  async close(fd: number): Promise<string> {
    return this.#errno('close', fd);
  }

  async write(fd: number, content: string): Promise<string> {
    return this.#errno('write', fd, content, content.length);
  }

  async truncate(path: string, bytes: number): Promise<string> {
    return this.#errno('truncate', path, bytes);
  }

  // Attributes.

  async chmod(path: string, mode: number): Promise<string> {
    return this.#errno('fchmodat', AT_FDCWD, path, mode);
  }

  /** -1 keeps an id. It does not follow a symlink. */
  async chown(path: string, uid: number, gid: number): Promise<string> {
    return this.#errno('fchownat', AT_FDCWD, path, uid, gid, Flag.AT_SYMLINK_NOFOLLOW);
  }

  /** Times in ns; it does not follow a symlink. */
  async setTimes(path: string, atimeNs: bigint, mtimeNs: bigint): Promise<string> {
    const times = timespecs(atimeNs, mtimeNs);
    return this.#errno('utimensat', AT_FDCWD, path, times, Flag.AT_SYMLINK_NOFOLLOW);
  }

  /** utimensat(2) with the tv_nsec fields as they are: UTIME_NOW, UTIME_OMIT, nonsense. */
  async orderTimes(path: string, atimeField: bigint, mtimeField: bigint): Promise<string> {
    const orders = Buffer.alloc(32);
    orders.writeBigInt64LE(atimeField, 8);
    orders.writeBigInt64LE(mtimeField, 24);
    return this.#errno('utimensat', AT_FDCWD, path, orders, Flag.AT_SYMLINK_NOFOLLOW);
  }

  async access(path: string, mode: number, flags = 0): Promise<string> {
    return this.#errno('faccessat2', AT_FDCWD, path, mode, flags);
  }

  async statErrno(path: string): Promise<string> {
    return this.#errno('statx', ...statxOf(AT_FDCWD, path, Flag.AT_SYMLINK_NOFOLLOW));
  }

  async stat(path: string): Promise<FileStatus> {
    const call = statxOf(AT_FDCWD, path, Flag.AT_SYMLINK_NOFOLLOW);
    return statusFrom(await this.caller.must('statx', ...call));
  }

  async fstat(fd: number): Promise<FileStatus> {
    return statusFrom(await this.caller.must('statx', ...statxOf(fd, '', Flag.AT_EMPTY_PATH)));
  }

  /** Permissions with the set-id and sticky bits. */
  async mode(path: string): Promise<number> {
    return (await this.stat(path)).mode & 0o7777;
  }

  // Extended attributes; those of a symlink are its own.

  async setXattr(path: string, name: string, value: Uint8Array | string, flags = 0) {
    return this.#errno('lsetxattr', path, name, value, value.length, flags);
  }

  async removeXattr(path: string, name: string): Promise<string> {
    return this.#errno('lremovexattr', path, name);
  }

  async xattrErrno(path: string, name: string, room = ROOM): Promise<string> {
    return this.#errno('lgetxattr', path, name, { outputBytes: Math.max(1, room) }, room);
  }

  /** The value. @throws Error */
  async xattr(path: string, name: string): Promise<Buffer> {
    return bytesOf(await this.caller.must('lgetxattr', path, name, { outputBytes: ROOM }, ROOM));
  }

  /** The names, sorted. */
  async xattrNames(path: string): Promise<string[]> {
    const text = textOf(await this.caller.must('llistxattr', path, { outputBytes: ROOM }, ROOM));
    return text.split('\0').slice(0, -1).sort();
  }
}

function statxOf(fd: number, path: string, flags: number): Argument[] {
  return [fd, path, flags, STATX_BASIC_AND_BTIME, { outputBytes: STATX_BYTES }];
}

function bytesOf({ value, outputs }: Answer): Buffer {
  return (outputs[0] ?? Buffer.alloc(0)).subarray(0, value);
}

function textOf(answer: Answer): string {
  return bytesOf(answer).toString('latin1');
}

/** Runs calls that must succeed, one after the other. @throws Error with the errno and its place. */
export async function must(...calls: readonly Promise<string>[]): Promise<void> {
  for (const [index, call] of calls.entries()) {
    const errno = await call;
    if (errno !== '') throw new Error(`call ${index} of the preparation: ${errno}`);
  }
}
