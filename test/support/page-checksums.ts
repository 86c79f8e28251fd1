// The checksums of meta.db's pages as a second, slow program computes them (native/src/xxh64.h is the
// fast one), for tests that look at pages or damage them without being noticed.

import { closeSync, openSync, readSync, writeSync } from 'node:fs';

export const PAGE_BYTES = 8192;
const CHECKSUM_BYTES = 8;

const MASK = 0xffff_ffff_ffff_ffffn;
const PRIME_1 = 0x9e37_79b1_85eb_ca87n;
const PRIME_2 = 0xc2b2_ae3d_27d4_eb4fn;
const PRIME_3 = 0x1656_67b1_9e37_79f9n;
const PRIME_4 = 0x85eb_ca77_c2b2_ae63n;

function times(left: bigint, right: bigint): bigint {
  return (left * right) & MASK;
}

function rotate(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & MASK;
}

function mix(lane: bigint, input: bigint): bigint {
  return times(rotate((lane + times(input, PRIME_2)) & MASK, 31n), PRIME_1);
}

/** XXH64 of a multiple of 8 bytes, at least 32. */
export function xxh64(data: Buffer, seed: bigint): bigint {
  const [first, second] = [(seed + PRIME_1 + PRIME_2) & MASK, (seed + PRIME_2) & MASK];
  let lanes = [first, second, seed, (seed - PRIME_1) & MASK];
  let at = 0;
  for (; at + 32 <= data.length; at += 32) {
    lanes = lanes.map((lane, index) => mix(lane, data.readBigUInt64LE(at + index * 8)));
  }
  const shifts = [1n, 7n, 12n, 18n];
  let sum = lanes.reduce((all, lane, index) => all + rotate(lane, shifts[index] ?? 0n), 0n) & MASK;
  for (const lane of lanes) sum = (times(sum ^ mix(0n, lane), PRIME_1) + PRIME_4) & MASK;
  sum = (sum + BigInt(data.length)) & MASK;
  for (; at < data.length; at += 8) {
    const mixed = sum ^ mix(0n, data.readBigUInt64LE(at));
    sum = (times(rotate(mixed, 27n), PRIME_1) + PRIME_4) & MASK;
  }
  sum = times(sum ^ (sum >> 33n), PRIME_2);
  sum = times(sum ^ (sum >> 29n), PRIME_3);
  return sum ^ (sum >> 32n);
}

/** @param number counted from 1 */
export function pageChecksum(page: Buffer, number: number): bigint {
  return xxh64(page.subarray(0, page.length - CHECKSUM_BYTES), BigInt(number));
}

export function storedChecksum(page: Buffer): bigint {
  return page.readBigUInt64LE(page.length - CHECKSUM_BYTES);
}

/** Changes a page of a closed database in such a way that its checksum does not tell. */
export function changePage(path: string, number: number, change: (page: Buffer) => void): void {
  const page = Buffer.alloc(PAGE_BYTES);
  const descriptor = openSync(path, 'r+');
  try {
    readSync(descriptor, page, 0, PAGE_BYTES, (number - 1) * PAGE_BYTES);
    change(page);
    page.writeBigUInt64LE(pageChecksum(page, number), PAGE_BYTES - CHECKSUM_BYTES);
    writeSync(descriptor, page, 0, PAGE_BYTES, (number - 1) * PAGE_BYTES);
  } finally {
    closeSync(descriptor);
  }
}
