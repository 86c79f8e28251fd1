// An inode of the null filesystem.

import {
  type Attributes,
  type Caller,
  type DirectoryEntry,
  type Ino,
  type Timestamp,
} from '../lib/filesystem/contract.ts';
import { FILE_TYPE_MASK, FILE_TYPE_SHIFT } from '../lib/protocol/flags.ts';

export const S_IFDIR = 0o040000;

type Writable<T> = { -readonly [K in keyof T]: T[K] };
export interface Entry {
  readonly node: Node;
  /** Grows with each new name, so that a listing continues in spite of changes. */
  readonly cookie: number;
}
export interface Node extends Writable<Attributes> {
  /** Names as latin1, which keeps their bytes. */
  readonly entries: Map<string, Entry> | undefined;
  readonly xattrs: Map<string, Buffer>;
  target: Buffer | undefined;
  parent: Node | undefined;
}

export function makeNode(ino: Ino, mode: number, { uid, gid }: Caller): Node {
  const isDirectory = (mode & FILE_TYPE_MASK) === S_IFDIR;
  const { sec, nsec } = momentOf('now');
  return {
    ino,
    mode,
    nlink: isDirectory ? 2 : 1,
    uid,
    gid,
    rdev: 0,
    size: 0,
    blocks: 0,
    atimeSec: sec,
    atimeNsec: nsec,
    mtimeSec: sec,
    mtimeNsec: nsec,
    ctimeSec: sec,
    ctimeNsec: nsec,
    btimeSec: sec,
    btimeNsec: nsec,
    entries: isDirectory ? new Map() : undefined,
    xattrs: new Map(),
    target: undefined,
    parent: undefined,
  };
}

export function direntOf(node: Node): { ino: Ino; type: number } {
  return { ino: node.ino, type: (node.mode & FILE_TYPE_MASK) >> FILE_TYPE_SHIFT };
}

export function dotEntry(name: string, node: Node, cookie: number): DirectoryEntry {
  return { ...direntOf(node), name: Buffer.from(name), cookie, era: 0, attributes: undefined };
}

function momentOf(time: Timestamp | 'now'): Timestamp {
  if (time !== 'now') return time;
  const ms = Date.now();
  return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1e6 };
}

export function setAtime(node: Node, time: Timestamp | 'now'): void {
  ({ sec: node.atimeSec, nsec: node.atimeNsec } = momentOf(time));
}

export function setMtime(node: Node, time: Timestamp | 'now'): void {
  ({ sec: node.mtimeSec, nsec: node.mtimeNsec } = momentOf(time));
}

export function setCtime(node: Node): void {
  ({ sec: node.ctimeSec, nsec: node.ctimeNsec } = momentOf('now'));
}
