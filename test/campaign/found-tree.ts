// What is in a store after a cut: read from an open store in this process, or from a mount.

import { spawnSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_INO, type Attributes, type Ino } from '../../lib/filesystem/contract.ts';
import { CALLER, type FileSystemDriver } from '../support/filesystem-driver.ts';
import type { Facts } from './tree-facts.ts';
import { hashOf } from './workload.ts';

const TYPE_MASK = 0o170000;
const TYPES: Readonly<Record<number, string>> = {
  0o100000: 'file',
  0o040000: 'folder',
  0o120000: 'symlink',
};

function typeOf(mode: number): string {
  return TYPES[mode & TYPE_MASK] ?? `type ${mode.toString(8)}`;
}

/** Through the filesystem of an open store. */
export async function factsOfStore(driver: FileSystemDriver): Promise<Map<string, Facts>> {
  const facts = new Map<string, Facts>();
  const pending: [path: string, ino: Ino][] = [['', ROOT_INO]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [folder, parent] = next;
    for (const name of driver.list(parent)) {
      const path = folder === '' ? name : `${folder}/${name}`;
      const attributes = driver.stat(name, parent);
      facts.set(path, await factsOfInode(driver, attributes, { name, parent }));
      if (facts.get(path)?.type === 'folder') pending.push([path, attributes.ino]);
    }
  }
  return facts;
}

async function factsOfInode(
  driver: FileSystemDriver,
  attributes: Attributes,
  { name, parent }: { readonly name: string; readonly parent: Ino },
): Promise<Facts> {
  const { ino, mode, nlink, size, mtimeSec: mtime } = attributes;
  const type = typeOf(mode);
  const hash = type === 'file' ? hashOf(await driver.get(name, parent)) : '';
  const target = type === 'symlink' ? driver.fs.readLink(ino).toString() : '';
  const names = driver.fs.listXattr(ino, CALLER).toString().split('\0').filter(Boolean);
  const xattrs = new Map(
    names.map((xattr) => [xattr, driver.getXattr(ino, Buffer.from(xattr)).toString()]),
  );
  const rest = { nlink, size: type === 'folder' ? 0 : size, hash, target, xattrs, object: ino };
  return { type, mode: mode & ~TYPE_MASK, ...rest, mtime };
}

/** Through the kernel; only in a process that does not serve the mount. */
export function factsOfMount(root: string): Map<string, Facts> {
  const xattrs = xattrsBelow(root);
  const facts = new Map<string, Facts>();
  const pending = readdirSync(root);
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const absolute = join(root, path);
    const { mode, nlink, size, ino, mtimeMs } = lstatSync(absolute);
    const type = typeOf(mode);
    if (type === 'folder') {
      for (const name of readdirSync(absolute)) pending.push(`${path}/${name}`);
    }
    facts.set(path, {
      type,
      mode: mode & ~TYPE_MASK,
      nlink,
      size: type === 'folder' ? 0 : size,
      hash: type === 'file' ? hashOf(readFileSync(absolute)) : '',
      target: type === 'symlink' ? readlinkSync(absolute) : '',
      xattrs: xattrs.get(path) ?? new Map(),
      object: ino,
      mtime: Math.floor(mtimeMs / 1000),
    });
  }
  return facts;
}

/** The names and values of the workload need no quoting. */
function xattrsBelow(root: string): Map<string, Map<string, string>> {
  const args = ['--recursive', '--physical', '--no-dereference', '--dump', '.'];
  const { stdout, status, stderr } = spawnSync('getfattr', args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`getfattr failed: ${stderr}`);
  const xattrs = new Map<string, Map<string, string>>();
  let current = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const file = /^# file: (.*)$/.exec(line)?.[1];
    const [, name, value] = /^([^=#]+)="(.*)"$/.exec(line) ?? [];
    if (file !== undefined) {
      current = new Map();
      xattrs.set(file.replace(/^\.\//, ''), current);
    } else if (name !== undefined && value !== undefined) {
      current.set(name, value);
    }
  }
  return xattrs;
}
