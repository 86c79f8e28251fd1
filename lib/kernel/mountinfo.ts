// What is mounted, from /proc/self/mountinfo (proc_pid_mountinfo(5)): asking this file never asks
// the mounted filesystem, so a dead or busy daemon cannot block it. A mount is never stat'ed.

import { readFileSync } from 'node:fs';

/** Shown as the filesystem's type: `fuse.` and the subtype. */
export const FILE_SYSTEM_TYPE = 'fuse.dedupfs';

export interface Mount {
  readonly id: number;
  /** Of the superblock; the minor of a FUSE mount is its connection's number. */
  readonly major: number;
  readonly minor: number;
  /** What of the file system is mounted there: '/', or for a bind mount of a part of it, its path. */
  readonly root: string;
  readonly mountpoint: string;
  readonly type: string;
  /** The store, for our mounts. */
  readonly source: string;
  /** Per-mount options such as `ro`, `nosuid`. */
  readonly options: readonly string[];
}

/** Where mounts come and go all the time no two reads may agree; then the last one has to do. */
const READS_MAX = 10;

/**
 * All mounts of this process's namespace, oldest first: of stacked ones the last is visible.
 *
 * The kernel gives the list in pages and lets it change between two of them (fs/seq_file.c): a mount
 * may be missing from a read during which others came or went. Two reads that agree are believed.
 */
export function readMounts(read: () => string = readMountinfo): Mount[] {
  let text = read();
  for (let reads = 1; reads < READS_MAX; reads += 1) {
    const again = read();
    if (again === text) break;
    text = again;
  }
  return parseMountinfo(text);
}

function readMountinfo(): string {
  // latin1 keeps the bytes apart until the escapes are gone; paths need not be UTF-8.
  return readFileSync('/proc/self/mountinfo', 'latin1');
}

/** @param text the file decoded as latin1 */
export function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => parseLine(line) ?? []);
}

/** Mounts of dedupfs, optionally only those at one place or of one store. */
export function dedupfsMounts(
  wanted: { readonly mountpoint?: string; readonly source?: string } = {},
  mounts: readonly Mount[] = readMounts(),
): Mount[] {
  return mounts.filter(
    (mount) =>
      mount.type === FILE_SYSTEM_TYPE &&
      (wanted.mountpoint === undefined || mount.mountpoint === wanted.mountpoint) &&
      (wanted.source === undefined || mount.source === wanted.source),
  );
}

// 36 35 98:0 /root /mountpoint rw,noatime master:1 - type source rw,errors=continue
// (1)(2)(3)  (4)   (5)         (6)        (7: 0..n)   (8)  (9)    (10)
function parseLine(line: string): Mount | undefined {
  const fields = line.split(' ');
  const separator = fields.indexOf('-', 6);
  const [id, , device, root, mountpoint, options] = fields;
  const type = fields[separator + 1];
  const source = fields[separator + 2];
  if (separator === -1 || type === undefined || source === undefined) return undefined;
  if (device === undefined || root === undefined) return undefined;
  if (mountpoint === undefined || options === undefined) return undefined;
  const [major, minor] = device.split(':');
  return {
    id: Number(id),
    major: Number(major),
    minor: Number(minor),
    root: unescape(root),
    mountpoint: unescape(mountpoint),
    type: unescape(type),
    source: unescape(source),
    options: options.split(','),
  };
}

/** Space, tab, newline, backslash and `#` come as a backslash and three octal digits. */
function unescape(field: string): string {
  const bytes = field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
