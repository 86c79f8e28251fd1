// Run as a program on a mount: writes until something is refused, and says which call refused it.
// A write that was accepted must not be taken back by close() or fsync(), so those are told apart.
//
//   node fill-worker.js FOLDER SEED data|names [COUNT]
//
// Prints JSON: what is there (the files of `data` with their checksums), the call that failed, its
// errno's name.

import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytesOf } from './random.ts';

const MIB = 1024 * 1024;
const FILE_BYTES_MAX = 5 * MIB;

export interface FillReport {
  /** Names in the folder, and for data the SHA-256 of what was accepted. */
  readonly files: readonly { readonly name: string; readonly sha256: string }[];
  readonly failedCall: string;
  readonly code: string;
  /** Of the fsync at the end. */
  readonly synced: string;
}

const [folder = '', seed = '', kind = '', count = 'Infinity'] = process.argv.slice(2);
const files: { name: string; sha256: string }[] = [];
let call = '';

function attempt<T>(name: string, work: () => T): T {
  call = name;
  return work();
}

/** Writes a file in pieces; what a refused write leaves out is not expected back. */
function writeFile(name: string, content: Buffer): void {
  const fd = attempt('open', () => openSync(join(folder, name), 'wx'));
  let end = 0;
  try {
    while (end < content.length) {
      const bytes = Math.min(content.length - end, 256 * 1024);
      end += attempt('write', () => writeSync(fd, content, end, bytes, end));
    }
  } finally {
    const accepted = content.subarray(0, end);
    files.push({ name, sha256: createHash('sha256').update(accepted).digest('hex') });
    const failed = call;
    attempt('close', () => closeSync(fd));
    call = failed;
  }
}

function makeOne(index: number): void {
  if (kind === 'names') {
    const name = `${index}`.padStart(200, 'n');
    attempt('mkdir', () => mkdirSync(join(folder, name)));
    files.push({ name, sha256: '' });
    return;
  }
  const random = randomBytesOf(`${seed}:${index}`, FILE_BYTES_MAX);
  writeFile(`${index}`, random.subarray(0, 1 + (random.readUInt32LE(0) % FILE_BYTES_MAX)));
}

function fill(): string {
  for (let index = 0; index < Number(count); index += 1) {
    try {
      makeOne(index);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? String(error);
    }
  }
  return '';
}

function sync(): string {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
    return 'done';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    closeSync(fd);
  }
}

mkdirSync(folder, { recursive: true });
const code = fill();
const report: FillReport = { files, failedCall: code === '' ? '' : call, code, synced: sync() };
process.stdout.write(JSON.stringify(report));
