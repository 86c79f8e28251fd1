// What lies on the disk, and what is written to it.

import { readFileSync, statSync } from 'node:fs';

import { runProgram } from '../examples/programs.ts';

const SECTOR_BYTES = 512;

/**
 * Blocks that a folder occupies, in bytes. What is not written yet is waited for.
 * @param without name of what does not count
 */
export async function occupiedBytes(folder: string, without = ''): Promise<number> {
  await runProgram('sync', ['-f', folder], {});
  const { stdout } = await runProgram('du', ['-s', '-B1', `--exclude=${without}`, folder], {});
  return Number.parseInt(stdout, 10);
}

/**
 * What the block device below `folder` was given to write since it is there, by everyone.
 * undefined: no block device is known, e.g. below an overlay.
 */
export function deviceBytesWritten(folder: string): number | undefined {
  const { dev } = statSync(folder);
  // gnu_dev_major and gnu_dev_minor of <sys/sysmacros.h>, for the 32 bits that Linux uses.
  const major = (dev >>> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  try {
    return parseDeviceStat(readFileSync(`/sys/dev/block/${major}:${minor}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The seventh field: sectors written (the kernel's Documentation/block/stat.rst). */
export function parseDeviceStat(text: string): number {
  return Number(text.trim().split(/\s+/)[6]) * SECTOR_BYTES;
}

/** @param text a size as zpool and du print it, e.g. `1.05G`, `676K`, `0` */
export function parseSize(text: string): number {
  const [, digits, unit = ''] = /^([\d.]+)([BKMGTP]?)$/.exec(text.trim()) ?? [];
  if (digits === undefined) throw new Error(`expected a size, found ${JSON.stringify(text)}`);
  const exponent = unit === '' || unit === 'B' ? 0 : 'KMGTP'.indexOf(unit) + 1;
  return Math.round(Number(digits) * 1024 ** exponent);
}
