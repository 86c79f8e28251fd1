// Which processes keep a mount busy: those with a working directory, root, program, open file or
// mapping below it; and those that have a copy of it in a mount namespace of their own. Read from /proc,
// which never asks the mounted file system itself.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

import { dedupfsMounts, parseMountinfo } from '../kernel/mountinfo.ts';
import { isWithin } from './place.ts';

export interface Holder {
  readonly pid: number;
  readonly command: string;
  /** How it holds the mount: `cwd`, `root`, `exe`, `fd 3`, `map`, `mnt`. */
  readonly by: string;
  readonly path: string;
}

/** Commands are cut to this many characters: they go into one line of an error. */
const COMMAND_LENGTH_MAX = 60;

/** Needs root to see the processes of others; without, they are simply not listed. */
export function findHolders(mountpoint: string): Holder[] {
  const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
  return pids
    .map((pid) => findHolding(Number(pid), mountpoint))
    .filter((holder) => holder !== undefined);
}

/**
 * A process of another mount namespace that has a copy of the mount, such as a container or a service: a
 * namespace begins as a copy of all mounts. The file system stays until the last copy is gone.
 * @param minor of the mount's device
 */
export function findNamespaceHolder(minor: number): Holder | undefined {
  const seen = new Set([namespaceOf('self')]);
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    const namespace = namespaceOf(pid);
    if (namespace === '' || seen.has(namespace)) continue;
    seen.add(namespace);
    const mounts = parseMountinfo(
      readOr('', () => readFileSync(`/proc/${pid}/mountinfo`, 'latin1')),
    );
    const copy = dedupfsMounts({}, mounts).find((mount) => mount.minor === minor);
    if (copy === undefined) continue;
    return { pid: Number(pid), command: commandOf(Number(pid)), by: 'mnt', path: copy.mountpoint };
  }
  return undefined;
}

/** Empty: the process is gone, or another's. */
function namespaceOf(pid: string): string {
  return readOr('', () => readlinkSync(`/proc/${pid}/ns/mnt`));
}

function findHolding(pid: number, mountpoint: string): Holder | undefined {
  for (const [by, path] of heldPaths(pid)) {
    if (isWithin(path, mountpoint)) return { pid, command: commandOf(pid), by, path };
  }
  return undefined;
}

/** Lazily, because the first hit ends the search and maps files are long. */
function* heldPaths(pid: number): Generator<readonly [string, string]> {
  for (const name of ['cwd', 'root', 'exe'] as const) {
    const path = readOr('', () => readlinkSync(`/proc/${pid}/${name}`));
    if (path !== '') yield [name, path];
  }
  for (const fd of readOr([], () => readdirSync(`/proc/${pid}/fd`))) {
    const path = readOr('', () => readlinkSync(`/proc/${pid}/fd/${fd}`));
    if (path.startsWith('/')) yield [`fd ${fd}`, path];
  }
  const maps = readOr('', () => readFileSync(`/proc/${pid}/maps`, 'utf8'));
  for (const line of maps.split('\n')) {
    const start = line.indexOf(' /');
    if (start >= 0) yield ['map', line.slice(start + 1)];
  }
}

function commandOf(pid: number): string {
  const words = readOr('', () => readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  const name = readOr('?', () => readFileSync(`/proc/${pid}/comm`, 'utf8').trim());
  const command = words.replaceAll('\0', ' ').trim() || name;
  return command.slice(0, COMMAND_LENGTH_MAX);
}

/** Processes end while we look, and some belong to others: both read as nothing. */
function readOr<T>(nothing: T, read: () => T): T {
  try {
    return read();
  } catch {
    return nothing;
  }
}
