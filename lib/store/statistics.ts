// The figures of `stats` and statfs, from counters that every change keeps up.

import { readFileSync } from 'node:fs';
import type { FileSystemStatistics } from '../filesystem/contract.ts';
import { logicalBytes, type Counters } from '../metastore/counters.ts';
import type { ScrubOutcome } from '../maintenance/scrub-state.ts';
import type { Metastore } from '../metastore/metastore.ts';
import type { CheckpointSummary, StoreStatistics } from './contract.ts';
import type { Format } from './format.ts';
import type { HostSpace } from './host-space.ts';

/** Unit of statfs counts. */
const BLOCK_BYTES = 4096;
const NAME_BYTES_MAX = 255;
/** statfs wants a number of free inodes; there is no limit but space, so a large one. */
const FREE_FILES = 2 ** 31;

/**
 * Of the host's room, what is promised to data: the rest is for directories of packs, LMDB's pages and
 * metadata. Random data in one file took 1.1 % more than its size (m, ext4 of 256 MiB and 1.5 GiB).
 */
const DATA_SHARE = 1 - 1 / 64;

export interface StatisticsSources {
  readonly path: string;
  readonly uuid: string;
  readonly format: Format;
  readonly compression: string;
  readonly metastore: Metastore;
  readonly dirtyBytes: number;
  readonly hostBytes: number;
  readonly checkpoint: CheckpointSummary | undefined;
  readonly readOnlyReason: string | undefined;
  readonly lastScrub: ScrubOutcome | undefined;
}

export function collectStatistics(sources: StatisticsSources): StoreStatistics {
  const { counters } = sources.metastore;
  const arenas = sources.metastore.packs.arenas();
  const { referencedBytes, uniqueBytes, storedBytes } = counters;
  return {
    store: sources.path,
    uuid: sources.uuid,
    chunkBytesMean: sources.format.chunking.bytesMean,
    compression: sources.compression,
    files: counters.files,
    directories: counters.directories,
    otherInodes: counters.otherInodes,
    logicalBytes: logicalBytes(counters),
    referencedBytes,
    uniqueBytes,
    storedBytes,
    dirtyBytes: sources.dirtyBytes,
    chunks: counters.chunks,
    packs: counters.packs,
    arenas: arenas.length,
    deadBytes: arenas.reduce((sum, arena) => sum + arena.bytes - arena.live, 0),
    hostBytes: sources.hostBytes,
    savedByDedupBytes: referencedBytes - uniqueBytes,
    savedByCompressionBytes: uniqueBytes - storedBytes,
    dedupRatio: ratio(referencedBytes, uniqueBytes),
    compressionRatio: ratio(uniqueBytes, storedBytes),
    residentBytes: process.memoryUsage.rss(),
    residentBytesPeak: peakResidentBytes(),
    batch: counters.batch,
    checkpoint: sources.checkpoint,
    damagedChunks: counters.damagedChunks,
    damagedBytes: counters.damagedBytes,
    lastScrub: sources.lastScrub,
    readOnlyReason: sources.readOnlyReason,
  };
}

function ratio(more: number, less: number): number {
  return less === 0 ? 1 : more / less;
}

function peakResidentBytes(): number {
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(match?.[1] ?? 0) * 1024;
}

/**
 * Used is what the store takes, available what can be written of data that shares and compresses
 * nothing: `df` then means what it says.
 */
export function hostStatistics(counters: Counters, space: HostSpace): FileSystemStatistics {
  const used = Math.ceil(space.usedBytes / BLOCK_BYTES);
  const available = Math.floor((space.availableBytes * DATA_SHARE) / BLOCK_BYTES);
  const files = counters.files + counters.directories + counters.otherInodes;
  return {
    blockBytes: BLOCK_BYTES,
    blocks: used + available,
    blocksFree: available,
    blocksAvailable: available,
    files: files + FREE_FILES,
    filesFree: FREE_FILES,
    nameBytesMax: NAME_BYTES_MAX,
  };
}
