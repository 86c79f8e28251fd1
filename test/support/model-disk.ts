// Runs a model's operations on a real directory, and compares a directory with a model. Synchronous:
// only child processes use it on a mount.

import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { ModelNode, ModelTree, Operation } from './model.ts';
import { contentOf } from './random.ts';

/** Does what an operation says below a root. @throws whatever the filesystem answers. */
export function performOn(root: string, operation: Operation): void {
  const path = join(root, operation.path);
  switch (operation.kind) {
    case 'create':
      return writeFileSync(path, contentOf(operation.seed, operation.bytes));
    case 'write':
      return writeAt(path, operation.offset, contentOf(operation.seed, operation.bytes));
    case 'append':
      return appendFileSync(path, contentOf(operation.seed, operation.bytes));
    case 'truncate':
      return truncateSync(path, operation.bytes);
    case 'fsync':
      return withOpen(path, 'r+', (fd) => fsyncSync(fd));
    case 'unlink':
      return unlinkSync(path);
    case 'mkdir':
      mkdirSync(path);
      return;
    case 'rmdir':
      return rmdirSync(path);
    case 'symlink':
      return symlinkSync(operation.target, path);
    case 'link':
      return linkSync(path, join(root, operation.to));
    case 'copy':
      return copyWithCp(path, join(root, operation.to));
    case 'rename':
      return renameSync(path, join(root, operation.to));
  }
}

/** What a directory has; files with their contents. Hard links are separate entries. */
export function readFromDisk(root: string): Map<string, ModelNode> {
  const found = new Map<string, ModelNode>();
  const pending = readdirSync(root);
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const absolute = join(root, path);
    const stats = lstatSync(absolute);
    if (stats.isDirectory()) {
      found.set(path, { kind: 'directory' });
      pending.push(...readdirSync(absolute).map((name) => `${path}/${name}`));
    } else if (stats.isSymbolicLink()) {
      found.set(path, { kind: 'symlink', target: readlinkSync(absolute) });
    } else {
      found.set(path, { kind: 'file', content: readFileSync(absolute) });
    }
  }
  return found;
}

/** What a directory has that the model does not say, one line each; also hard links. */
export function differencesFromDisk(model: ModelTree, root: string): string[] {
  const found = readFromDisk(root);
  const paths = [...new Set([...model.nodes.keys(), ...found.keys()])].sort();
  const differences = paths.flatMap((path) => {
    const difference = differenceOf(model.nodes.get(path), found.get(path));
    return difference === undefined ? [] : [`${path} ${difference}`];
  });
  return [...differences, ...linkDifferences(model, root)];
}

/** What is wrong with one node, or undefined. */
export function differenceOf(
  want: ModelNode | undefined,
  got: ModelNode | undefined,
): string | undefined {
  if (want === undefined) return got === undefined ? undefined : 'is there, but should not';
  if (got === undefined) return 'is missing';
  if (want.kind !== got.kind) return `is a ${got.kind}, not a ${want.kind}`;
  if (want.kind === 'symlink' && got.kind === 'symlink') {
    return want.target === got.target ? undefined : `leads to ${got.target}, not ${want.target}`;
  }
  if (want.kind !== 'file' || got.kind !== 'file') return undefined;
  if (want.content.equals(got.content)) return undefined;
  const byte = want.content.findIndex((value, index) => value !== got.content[index]);
  if (byte === -1 || want.content.length !== got.content.length) {
    return `has ${got.content.length} bytes, not ${want.content.length}, equal up to ${byte}`;
  }
  return `differs at byte ${byte}: ${got.content[byte]}, not ${want.content[byte]}`;
}

function linkDifferences(model: ModelTree, root: string): string[] {
  const names = new Map<ModelNode, string[]>();
  for (const [path, node] of model.nodes) {
    if (node.kind === 'file') names.set(node, [...(names.get(node) ?? []), path]);
  }
  return [...names.values()].flatMap((paths) => {
    const stats = paths.map((path) => lstatSync(join(root, path), { throwIfNoEntry: false }));
    if (stats.includes(undefined)) return [];
    const inodes = new Set(stats.map((status) => status?.ino));
    const counts = new Set(stats.map((status) => status?.nlink));
    if (inodes.size === 1 && counts.has(paths.length) && counts.size === 1) return [];
    return [`${paths.join(', ')} have ${inodes.size} inodes and link counts ${[...counts].join()}`];
  });
}

function writeAt(path: string, offset: number, data: Buffer): void {
  withOpen(path, 'r+', (fd) => {
    for (let done = 0; done < data.length;) {
      done += writeSync(fd, data, done, data.length - done, offset + done);
    }
  });
}

function withOpen(path: string, flags: string, action: (fd: number) => void): void {
  const fd = openSync(path, flags);
  try {
    action(fd);
  } finally {
    closeSync(fd);
  }
}

/** cp(1) copies by copy_file_range(2). The errno of a failure is lost; EIO stands for all. */
function copyWithCp(from: string, to: string): void {
  const result = spawnSync('cp', [from, to]);
  if (result.status === 0) return;
  const message = `cp ${from} ${to}: ${result.stderr.toString()}`;
  throw Object.assign(new Error(message), { code: 'EIO' });
}
