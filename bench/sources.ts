// The data that the workloads write, all of it from one printed seed.
//
// The files lie in memory where the host has a /dev/shm, and are overwritten in place each round:
// reading them is then never the bottleneck, and no round pays for memory that is touched first.

import { createCipheriv, createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { TextWriter } from './text.ts';

export const sourceNames = ['unique', 'half', 'shifted', 'image'] as const;
export type SourceName = (typeof sourceNames)[number];

const MEMORY_FOLDER = '/dev/shm';
/** Data is made and written in pieces of this size; in `half` they take turns. */
export const PIECE_BYTES = 2 ** 20;
/** What overwrite-random writes at once. */
export const OVERWRITE_BYTES = 4096;
const ZEROS = Buffer.alloc(PIECE_BYTES);

/** An endless stream of incompressible bytes that seed and name fix: an AES-256-CTR keystream. */
export class Keystream {
  readonly #cipher;

  constructor(seed: string, name: string) {
    const key = createHash('sha256').update(`${seed}\n${name}`).digest();
    this.#cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  }

  /** @param bytes at most PIECE_BYTES */
  next(bytes: number): Buffer {
    return this.#cipher.update(ZEROS.subarray(0, bytes));
  }
}

/** @returns a new folder for the sources: in memory if they fit, else below `folder` */
export function makeSourceFolder(folder: string, bytes: number): string {
  const name = 'dedupfs-bench-';
  try {
    const { bavail, bsize } = statfsSync(MEMORY_FOLDER);
    // Half of what is free, since memory given to the sources is taken from the page cache.
    if (bavail * bsize >= 2 * bytes) return mkdtempSync(join(MEMORY_FOLDER, name));
  } catch {
    // No /dev/shm, or not ours to write: the caller's folder it is.
  }
  return mkdtempSync(join(folder, 'sources-'));
}

/** Makes or overwrites the sources of one round. `shifted` repeats `unique`, which must be there. */
export function writeSources(
  folder: string,
  wanted: ReadonlySet<SourceName>,
  { seed, bytes }: { readonly seed: string; readonly bytes: number },
): void {
  if (wanted.has('unique') || wanted.has('shifted')) {
    const stream = new Keystream(seed, 'unique');
    overwrite(join(folder, 'unique'), bytes, (pieceBytes) => stream.next(pieceBytes));
  }
  if (wanted.has('half')) {
    const stream = new Keystream(seed, 'half');
    const text = new TextWriter(new Keystream(seed, 'text'));
    let pieces = 0;
    overwrite(join(folder, 'half'), bytes, (pieceBytes) =>
      pieces++ % 2 === 0 ? stream.next(pieceBytes) : text.next(pieceBytes),
    );
  }
  if (wanted.has('shifted')) writeShifted(folder, bytes);
  if (wanted.has('image')) writeImage(folder, { seed, bytes });
}

/** Like the disk of a virtual machine: documents and programs, and a quarter that was never used. */
function writeImage(folder: string, { seed, bytes }: { seed: string; bytes: number }): void {
  const stream = new Keystream(seed, 'image');
  const text = new TextWriter(new Keystream(seed, 'image text'));
  let pieces = 0;
  overwrite(join(folder, 'image'), bytes, (pieceBytes) => {
    const kind = pieces++ % 4;
    if (kind === 0) return stream.next(pieceBytes);
    return kind === 1 ? ZEROS.subarray(0, pieceBytes) : text.next(pieceBytes);
  });
}

function writeShifted(folder: string, bytes: number): void {
  const original = openSync(join(folder, 'unique'), 'r');
  const piece = Buffer.alloc(PIECE_BYTES);
  try {
    overwrite(join(folder, 'shifted'), 1, () => Buffer.from('x'));
    overwrite(
      join(folder, 'shifted'),
      bytes,
      (pieceBytes) => piece.subarray(0, readSync(original, piece, 0, pieceBytes, null)),
      { offset: 1 },
    );
  } finally {
    closeSync(original);
  }
}

/** Writes without truncating first, so that the file keeps the memory it has. */
function overwrite(
  path: string,
  bytes: number,
  makePiece: (pieceBytes: number) => Buffer,
  { offset } = { offset: 0 },
): void {
  const fd = openForUpdate(path);
  try {
    for (let done = 0; done < bytes; done += PIECE_BYTES) {
      const piece = makePiece(Math.min(PIECE_BYTES, bytes - done));
      writeSync(fd, piece, 0, piece.length, offset + done);
    }
  } finally {
    closeSync(fd);
  }
}

function openForUpdate(path: string): number {
  try {
    return openSync(path, 'r+');
  } catch {
    return openSync(path, 'w');
  }
}
