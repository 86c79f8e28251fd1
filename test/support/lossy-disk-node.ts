// An inode of a lossy disk as its users see it, whatever would survive a cut.

import type { Attributes, Caller, Ino, Timestamp } from '../../lib/filesystem/contract.ts';
import { FILE_TYPE_MASK, FILE_TYPE_SHIFT } from '../../lib/protocol/flags.ts';
import { nowNs, type NodeType } from './lossy-disk-record.ts';

export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export interface Entry {
  readonly node: DiskNode;
  /** Grows with each new name, so that a listing continues in spite of changes. */
  readonly cookie: number;
}

export interface DiskNode extends Writable<Attributes> {
  /** Names as latin1, which keeps their bytes. */
  readonly entries: Map<string, Entry> | undefined;
  target: Buffer | undefined;
  /** The last path it had. */
  path: string;
  /** Open handles. */
  opens: number;
  /** Of the file below `objects` that holds the content; undefined for other types. */
  descriptor: number | undefined;
}

export function makeNode(ino: Ino, mode: number, { uid, gid }: Omit<Caller, 'pid'>): DiskNode {
  const { sec, nsec } = momentOf('now');
  const isFolder = typeOf(mode) === 'folder';
  return {
    ino,
    mode,
    nlink: isFolder ? 2 : 1,
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
    entries: isFolder ? new Map() : undefined,
    target: undefined,
    path: '',
    opens: 0,
    descriptor: undefined,
  };
}

export function typeOf(mode: number): NodeType {
  switch (mode & FILE_TYPE_MASK) {
    case S_IFDIR:
      return 'folder';
    case S_IFREG:
      return 'file';
    case S_IFLNK:
      return 'symlink';
    default:
      return 'other';
  }
}

export function direntTypeOf(node: DiskNode): number {
  return (node.mode & FILE_TYPE_MASK) >> FILE_TYPE_SHIFT;
}

export function momentOf(time: Timestamp | 'now'): Timestamp {
  if (time !== 'now') return time;
  const ms = Date.now();
  return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1e6 + (nowNs() % 1000) };
}

export function setSize(node: DiskNode, size: number): void {
  node.size = size;
  node.blocks = Math.ceil(size / 4096) * 8;
}

export function touch(node: DiskNode): void {
  ({ sec: node.mtimeSec, nsec: node.mtimeNsec } = momentOf('now'));
  ({ mtimeSec: node.ctimeSec, mtimeNsec: node.ctimeNsec } = node);
}
