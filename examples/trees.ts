// Which files the demo copies: the installed node_modules, and more of the system if that is small.

import { lstatSync, readdirSync, realpathSync, statfsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { formatBytes, formatCount } from '../lib/cli/units.ts';

export interface Tree {
  readonly path: string;
  readonly name: string;
  readonly files: number;
  /** Sum of the sizes of its regular files. */
  readonly bytes: number;
  readonly hasHardLinks: boolean;
}

const FILES_MIN = 5000;

/** dist/examples lies two folders below the project. */
const nodeModules = fileURLToPath(new URL('../../node_modules', import.meta.url));

/** Read-only system trees that exist on most hosts, smallest first. */
const more = ['/usr/include', '/usr/share/doc', '/usr/share/man', '/usr/lib/python3', '/usr/share'];

/** @throws Error when this host has too few files */
export function chooseTrees(): Tree[] {
  const trees: Tree[] = [];
  let files = 0;
  for (const path of [nodeModules, ...more]) {
    const tree = measureTree(path);
    if (tree === undefined || tree.files === 0) continue;
    const isFirst = trees.length === 0;
    trees.push(tree);
    files += tree.files;
    const size = `${formatCount(tree.files)} files, ${formatBytes(tree.bytes)}`;
    process.stdout.write(`${isFirst ? 'tree' : 'and'} ${path}: ${size}\n`);
    if (files >= FILES_MIN) return trees;
    process.stdout.write(`fewer than ${formatCount(FILES_MIN)} files; adding another tree\n`);
  }
  throw new Error(`found only ${formatCount(files)} files to copy; run npm ci first`);
}

/** @throws Error when the host's file system could not hold the demo even without dedup */
export function requireSpace(folder: string, trees: readonly Tree[]): void {
  const bytes = trees.reduce((sum, tree) => sum + tree.bytes, 0);
  const { bavail, bsize } = statfsSync(folder);
  const freeBytes = bavail * bsize;
  const neededBytes = 2 * bytes;
  if (freeBytes >= neededBytes) return;
  throw new Error(
    `${folder} has ${formatBytes(freeBytes)} free, the demo needs ${formatBytes(neededBytes)}; ` +
      'set TMPDIR to another folder',
  );
}

/** undefined: no such folder, or not readable as a whole */
function measureTree(given: string): Tree | undefined {
  let path = given;
  let files = 0;
  let bytes = 0;
  let hasHardLinks = false;
  try {
    path = realpathSync(given);
    for (const name of readdirSync(path, { recursive: true, encoding: 'utf8' })) {
      const found = lstatSync(join(path, name));
      if (!found.isFile()) continue;
      files += 1;
      bytes += found.size;
      hasHardLinks ||= found.nlink > 1;
    }
  } catch {
    return undefined;
  }
  return { path, name: basename(path), files, bytes, hasHardLinks };
}
