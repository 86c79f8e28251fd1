// Between a lossy disk and a folder of the host: what a cut left is written there, and a disk begins
// with what lies there.

import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { KeptTree } from './lossy-disk-image.ts';
import { EVERYTHING, type RecordWriter } from './lossy-disk-record.ts';
import type { LossyFileSystem } from './lossy-disk-filesystem.ts';
import { ROOT_INO, type Ino } from '../../lib/filesystem/contract.ts';
import { SlabPool, PAYLOAD_BYTES_MAX, PAYLOAD_OFFSET } from '../../lib/slab-pool.ts';

const CALLER = { uid: 0, gid: 0, pid: 0 };

/** Writes a tree into a new folder. Sockets are left out. */
export function writeTree(tree: KeptTree, folder: string): void {
  mkdirSync(folder, { mode: 0o700 });
  for (const [name, file] of tree) {
    const path = join(folder, name);
    if (file.type === 'folder') mkdirSync(path, { mode: file.mode });
    if (file.type === 'symlink') symlinkSync(file.target ?? '', path);
    if (file.type === 'file') writeFile(path, file.content, file.mode);
  }
}

function writeFile(path: string, content: Buffer, mode: number): void {
  const descriptor = openSync(path, 'wx', mode);
  try {
    for (let at = 0; at < content.length;) at += writeSync(descriptor, content, at);
  } finally {
    closeSync(descriptor);
  }
}

/** Fills an empty disk from a folder of the host; all of it is durable. */
export async function loadFolder(
  filesystem: LossyFileSystem,
  records: RecordWriter,
  folder: string,
): Promise<void> {
  const pool = new SlabPool(1);
  const pending: [path: string, ino: Ino][] = [[folder, ROOT_INO]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [path, ino] = next;
    for (const name of readdirSync(path)) {
      const child = join(path, name);
      const stats = lstatSync(child);
      const create = { mode: stats.mode, umask: 0, flags: 0 };
      const bytes = Buffer.from(name);
      if (stats.isDirectory()) {
        pending.push([child, filesystem.makeDirectory(ino, bytes, create, CALLER).ino]);
      } else if (stats.isSymbolicLink()) {
        filesystem.makeSymlink(ino, bytes, Buffer.from(readlinkSync(child)), CALLER);
      } else if (stats.isFile()) {
        const { fh } = filesystem.create(ino, bytes, create, CALLER);
        putContent(filesystem, pool, fh, readFileSync(child));
        filesystem.release(fh);
      }
    }
  }
  const sync = records.add('', { kind: 'sync', ino: EVERYTHING });
  records.add('', { kind: 'synced', ino: EVERYTHING, sync });
  records.flush();
}

function putContent(
  filesystem: LossyFileSystem,
  pool: SlabPool,
  fh: ReturnType<LossyFileSystem['create']>['fh'],
  content: Buffer,
): void {
  const slab = pool.acquire();
  if (slab === undefined) throw new Error('the slab is in use');
  for (let offset = 0; offset < content.length; offset += PAYLOAD_BYTES_MAX) {
    const part = content.subarray(offset, offset + PAYLOAD_BYTES_MAX);
    slab.bytes.set(part, PAYLOAD_OFFSET);
    const payload = { slab, offset: PAYLOAD_OFFSET, bytes: part.length };
    filesystem.write(fh, payload, { offset, flags: 0, killSuidgid: false });
  }
  slab.release();
}
