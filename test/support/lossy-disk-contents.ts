// Contents of the files on a lossy disk: one file of the host for each inode, and the record of what
// was done to it.

import { closeSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Errno } from '../../lib/errno.ts';
import { posixError } from '../../lib/errors.ts';
import { setSize, touch, type DiskNode } from './lossy-disk-node.ts';
import type { RecordWriter } from './lossy-disk-record.ts';

const ZEROS_BYTES = 1024 * 1024;

export class DiskContents {
  readonly #folder: string;
  readonly #records: RecordWriter;
  readonly #bytesMax: number;
  #usedBytes = 0;

  constructor(folder: string, records: RecordWriter, bytesMax: number) {
    this.#folder = folder;
    this.#records = records;
    this.#bytesMax = bytesMax;
  }

  /** Sum of the sizes of all files. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Gives a new file its content, which is empty. */
  create(node: DiskNode): void {
    node.descriptor = openSync(join(this.#folder, String(node.ino)), 'w+');
  }

  remove(node: DiskNode): void {
    closeSync(descriptorOf(node));
    unlinkSync(join(this.#folder, String(node.ino)));
    this.#usedBytes -= node.size;
  }

  read(node: DiskNode, offset: number, into: Buffer): number {
    const bytes = Math.max(0, Math.min(into.length, node.size - offset));
    if (bytes === 0) return 0;
    return readSync(descriptorOf(node), into, 0, bytes, offset);
  }

  /** @throws ENOSPC */
  write(node: DiskNode, offset: number, data: Buffer): void {
    const descriptor = descriptorOf(node);
    this.#reserve(node, offset + data.length);
    writeSync(descriptor, data, 0, data.length, offset);
    setSize(node, Math.max(node.size, offset + data.length));
    touch(node);
    const write = { kind: 'write', ino: node.ino, offset, bytes: data.length } as const;
    this.#records.add(node.path, { ...write, at: this.#records.addData(data) });
  }

  /** @throws ENOSPC */
  resize(node: DiskNode, size: number): void {
    const descriptor = descriptorOf(node);
    this.#reserve(node, size);
    ftruncateSync(descriptor, size);
    this.#usedBytes += Math.min(0, size - node.size);
    setSize(node, size);
    touch(node);
    this.#records.add(node.path, { kind: 'resize', ino: node.ino, size });
  }

  /** Makes a range read as zeros; the size stays. */
  zero(node: DiskNode, offset: number, bytes: number): void {
    const end = Math.min(node.size, offset + bytes);
    if (end <= offset) return;
    const zeros = Buffer.alloc(Math.min(end - offset, ZEROS_BYTES));
    for (let at = offset; at < end; at += zeros.length) {
      writeSync(descriptorOf(node), zeros, 0, Math.min(zeros.length, end - at), at);
    }
    touch(node);
    const zero = { kind: 'zero', ino: node.ino, offset, bytes: end - offset } as const;
    this.#records.add(node.path, zero);
  }

  #reserve(node: DiskNode, size: number): void {
    const grown = Math.max(0, size - node.size);
    if (this.#usedBytes + grown > this.#bytesMax) throw posixError(Errno.ENOSPC);
    this.#usedBytes += grown;
  }
}

function descriptorOf({ descriptor }: DiskNode): number {
  if (descriptor === undefined) throw posixError(Errno.EINVAL);
  return descriptor;
}
