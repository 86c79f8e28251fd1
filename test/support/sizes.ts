// How long and how large the acceptance tests run, and how much room something takes on the host.
//
// By default the whole set takes a few minutes on two cores. DEDUPFS_FULL=1 gives the lengths that
// the issue demands; DEDUPFS_TEST_SECONDS replaces the duration of the tests that run for a time.

import { lstatSync, opendirSync, readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';

export const isFullRun = process.env['DEDUPFS_FULL'] === '1';

export const MB = 1_000_000;
const ALLOCATION_UNIT_BYTES = 512;

/** The figure for this run. */
export function scaled(sizes: { readonly short: number; readonly full: number }): number {
  return isFullRun ? sizes.full : sizes.short;
}

/** The duration for this run; the environment has the last word. */
export function scaledSeconds(sizes: { readonly short: number; readonly full: number }): number {
  const given = process.env['DEDUPFS_TEST_SECONDS'];
  return given === undefined ? scaled(sizes) : Number(given);
}

/** Bytes the host has allocated for everything below a directory (du, not the apparent size). */
export function allocatedBytes(directory: string): number {
  const seen = new Set<string>();
  let total = 0;
  const pending = [directory];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    // Files come and go while the daemon works.
    if (stats === undefined || seen.has(`${stats.dev}:${stats.ino}`)) continue;
    seen.add(`${stats.dev}:${stats.ino}`);
    total += stats.blocks * ALLOCATION_UNIT_BYTES;
    if (stats.isDirectory()) pending.push(...namesIn(path).map((name) => join(path, name)));
  }
  return total;
}

/** Bytes of removed files below `directory` that a process still keeps alive by an open handle. */
export function heldBytesOf(pid: number, directory: string): number {
  let total = 0;
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const link = `/proc/${pid}/fd/${fd}`;
    try {
      const target = readlinkSync(link);
      if (!target.startsWith(`${directory}/`) || !target.endsWith(' (deleted)')) continue;
      total += statSync(link).blocks * ALLOCATION_UNIT_BYTES;
    } catch {
      // Closed since it was listed.
    }
  }
  return total;
}

/** One number of /proc/PID/status in bytes, such as VmHWM: the peak of resident memory. */
export function memoryBytesOf(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status);
  if (match === null) throw new Error(`/proc/${pid}/status has no ${field}`);
  return Number(match[1]) * 1024;
}

/** One counter of /proc/PID/io: rchar and wchar count bytes of calls, *_bytes those of the disk. */
export function ioBytesOf(pid: number, field: 'rchar' | 'wchar' | 'read_bytes' | 'write_bytes') {
  const match = new RegExp(`^${field}: (\\d+)$`, 'm').exec(readFileSync(`/proc/${pid}/io`, 'utf8'));
  if (match === null) throw new Error(`/proc/${pid}/io has no ${field}`);
  return Number(match[1]);
}

/** A size for people, in MB. */
export function formatMB(bytes: number): string {
  return `${(bytes / MB).toFixed(2)} MB`;
}

function namesIn(path: string): string[] {
  const names: string[] = [];
  try {
    const directory = opendirSync(path);
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      names.push(entry.name);
    }
    directory.closeSync();
  } catch {
    // Removed since it was listed.
  }
  return names;
}
