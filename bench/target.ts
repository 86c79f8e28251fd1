// What is compared: file systems, FUSE transports with nothing behind them, and backup programs.

import type { Workload } from './workloads.ts';

/** dedupfs first: the report compares it with each of the others. */
export const targetNames = [
  'dedupfs',
  'host',
  'null',
  'fuse-native',
  'bindfs',
  'zfs-fuse',
  'btrfs',
  'borg',
  'restic',
  'bup',
] as const;
export type TargetName = (typeof targetNames)[number];

/** What each of them is, for the report. */
export const targetTitles: Record<TargetName, string> = {
  dedupfs: 'a fresh store with the defaults',
  host: "a plain directory of the host's file system",
  null: 'a file system that stores nothing, on the transport of dedupfs',
  'fuse-native': 'the same on the npm package fuse-native 2.2.6 (libfuse 2.9, big_writes)',
  bindfs: "libfuse pass-through to a directory of the host's file system",
  'zfs-fuse': 'a pool on a file of the host: dedup=on, compression=gzip-1, as Debian configures it',
  btrfs: 'on a loop device over a file of the host: compress=zstd',
  borg: 'borg create --compression lz4, no encryption, no files cache',
  restic: 'restic backup --force, with its defaults',
  bup: 'bup split, and bup index and save for trees, with the defaults',
};

/** Fewer rounds for one that takes minutes for each, and that no goal names. */
export const targetRoundsMax: Partial<Record<TargetName, number>> = { bup: 2 };

/**
 * Lifecycle: start -> (forget)* -> stop -> start ... -> stop. stop() may be called at any moment,
 * also after a start that failed; it leaves no mount, no device and no process.
 */
export interface Target {
  readonly name: TargetName;
  /** What is written here goes through the file system under test; of a backup program: its own folder. */
  readonly directory: string;
  /** The process that serves it; undefined for the kernel itself, and for programs without one. */
  readonly daemonPid: number | undefined;
  /** bash that returns when everything written is on the disk; $T is the directory. */
  readonly durable: string;
  /** Why it cannot run here and what to do about it; undefined: it can. */
  readonly missing: string | undefined;
  /** Empty: nothing is stored, nothing is mounted. */
  start(signal: AbortSignal): Promise<void>;
  /** The next read comes from the disk. */
  forget(signal: AbortSignal): Promise<void>;
  /** What it occupies on the host's disk; undefined: it stores nothing. */
  diskBytes(): Promise<number | undefined>;
  /** bash that does the work; what is in it is said in workloads.ts. */
  scriptOf(workload: Workload): string;
  stop(): Promise<void>;
}

/** Of every FUSE mount and every directory: syncfs(2) for the data, then fsync(2) of the root. */
export const syncTree = 'sync -f "$T"; sync "$T"';
