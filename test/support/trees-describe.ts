// Child process of trees.ts: prints one JSON line per name below the directory it is given.

import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  lstatSync,
  openSync,
  readSync,
  readdirSync,
  readlinkSync,
  type BigIntStats,
} from 'node:fs';
import type { TreeEntry } from './trees.ts';

const READ_BYTES = 1024 * 1024;
const OUTPUT_BYTES_MAX = 512 * 1024 * 1024;
const PERMISSION_BITS = 0o7777n;

type Xattrs = ReadonlyMap<string, Readonly<Record<string, string>>>;

interface Found {
  readonly path: string;
  readonly absolute: Buffer;
  readonly stats: BigIntStats;
}

function describe(root: string): void {
  const found = walk(root);
  const xattrs = readXattrs(root);
  const firstNames = new Map<string, string>();
  for (const { path, stats } of found) {
    const first = firstNames.get(objectOf(stats));
    if (first === undefined || path < first) firstNames.set(objectOf(stats), path);
  }
  const hashes = new Map<string, string>();
  for (const name of found) {
    const entry = {
      ...attributesOf(name),
      xattrs: xattrs.get(name.path) ?? {},
      ...contentOfType(name, hashes),
      ...(name.stats.isDirectory()
        ? {}
        : {
            linkCount: Number(name.stats.nlink),
            sameAs: firstNames.get(objectOf(name.stats)) ?? '',
          }),
    } satisfies TreeEntry;
    process.stdout.write(`${JSON.stringify(entry)}\n`);
  }
}

function attributesOf({ path, stats }: Found): Omit<TreeEntry, 'xattrs'> {
  return {
    path,
    type: typeOf(stats),
    mode: Number(stats.mode & PERMISSION_BITS),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtimeNs: String(stats.mtimeNs),
  };
}

function contentOfType(found: Found, hashes: Map<string, string>): Partial<TreeEntry> {
  const { stats, absolute } = found;
  if (stats.isSymbolicLink()) {
    return { target: readlinkSync(absolute, { encoding: 'buffer' }).toString('latin1') };
  }
  if (stats.isBlockDevice() || stats.isCharacterDevice()) return { device: Number(stats.rdev) };
  if (!stats.isFile()) return {};
  const sha256 = hashes.get(objectOf(stats)) ?? hashOf(absolute);
  hashes.set(objectOf(stats), sha256);
  return { bytes: Number(stats.size), sha256 };
}

function typeOf(stats: BigIntStats): string {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isSocket()) return 'socket';
  return stats.isBlockDevice() ? 'block device' : 'character device';
}

function objectOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}`;
}

function walk(root: string): Found[] {
  const found: Found[] = [];
  const pending = [''];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const absolute = Buffer.from(path === '' ? root : `${root}/${path}`, 'latin1');
    const stats = lstatSync(absolute, { bigint: true });
    found.push({ path, absolute, stats });
    if (!stats.isDirectory()) continue;
    for (const name of readdirSync(absolute, { encoding: 'buffer' })) {
      pending.push(`${path === '' ? '' : `${path}/`}${name.toString('latin1')}`);
    }
  }
  return found;
}

function hashOf(path: Buffer): string {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  const fd = openSync(path, 'r');
  try {
    for (let bytes = readSync(fd, buffer); bytes > 0; bytes = readSync(fd, buffer)) {
      hash.update(buffer.subarray(0, bytes));
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

/** All xattrs as getfattr sees them, which is not the code that copied them. */
function readXattrs(root: string): Xattrs {
  const script = 'find . -print0 | xargs -0 -r getfattr --no-dereference -d -m - -e hex --';
  const result = spawnSync('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: root,
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (result.status !== 0) throw new Error(`getfattr failed: ${result.stderr.toString()}`);
  const xattrs = new Map<string, Record<string, string>>();
  let current: Record<string, string> = {};
  for (const line of result.stdout.toString('latin1').split('\n')) {
    if (line.startsWith('# file: ')) {
      current = {};
      xattrs.set(pathOf(line.slice('# file: '.length)), current);
    } else if (line !== '') {
      const separator = line.indexOf('=');
      const name = separator === -1 ? line : line.slice(0, separator);
      current[unquoted(name)] = separator === -1 ? '' : line.slice(separator + 1);
    }
  }
  return xattrs;
}

/** The walk's spelling of a name that find printed: './a/b' is 'a/b' and '.' is ''. */
function pathOf(quoted: string): string {
  const path = unquoted(quoted);
  return path === '.' ? '' : path.replace(/^\.\//, '');
}

/** getfattr writes awkward bytes of a name as a backslash and three octal digits. */
function unquoted(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

describe(process.argv[2] ?? '');
