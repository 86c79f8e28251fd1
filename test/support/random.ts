// Repeatable randomness: everything random in a test follows from one printed seed.

import { createCipheriv, createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';

/** What says something to the person reading the test's output; a tap test is one. */
export interface Commenter {
  comment(...text: string[]): void;
}

const WRITE_BYTES = 4 * 1024 * 1024;
const KEY_BYTES = 16;

/** The seed of this run: DEDUPFS_SEED, or a new one; printed so that a failure can be repeated. */
export function printedSeed(t: Commenter): number {
  const given = process.env['DEDUPFS_SEED'];
  const seed = given === undefined ? Date.now() % 1_000_000_000 : Number(given);
  t.comment(`repeat with DEDUPFS_SEED=${seed}`);
  return seed;
}

/** A small generator (mulberry32) for decisions, not for file contents. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  /** True once in `count` times. */
  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  /** One of the items. @throws Error when there is none. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  /** A size whose magnitude is random, so that tiny and large ones are equally frequent. */
  size(bytesMax: number): number {
    return Math.floor(2 ** (this.below(1000 * Math.log2(bytesMax + 1)) / 1000)) - 1;
  }
}

/** Incompressible bytes that follow from the seed: an AES-CTR keystream (about 2 GB/s). */
export function randomBytesOf(seed: number | string, bytes: number): Buffer {
  return keystream(seed).update(Buffer.alloc(bytes));
}

/** Bytes as real files have them: incompressible, repetitive or zero, depending on the seed. */
export function contentOf(seed: number, bytes: number): Buffer {
  if (seed % 8 === 0) return Buffer.alloc(bytes);
  if (seed % 8 < 3) return Buffer.alloc(bytes, `line ${seed} of a text that compresses well\n`);
  return randomBytesOf(seed, bytes);
}

/** Writes an incompressible file on the host and gives its sha256. */
export function writeRandomFile(path: string, seed: number | string, bytes: number): string {
  const stream = keystream(seed);
  const hash = createHash('sha256');
  const zeros = Buffer.alloc(WRITE_BYTES);
  const fd = openSync(path, 'w');
  try {
    for (let offset = 0; offset < bytes; offset += WRITE_BYTES) {
      const part = stream.update(zeros.subarray(0, Math.min(WRITE_BYTES, bytes - offset)));
      hash.update(part);
      writeSync(fd, part);
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

function keystream(seed: number | string): ReturnType<typeof createCipheriv> {
  const key = createHash('sha256').update(String(seed)).digest().subarray(0, KEY_BYTES);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(KEY_BYTES));
}
