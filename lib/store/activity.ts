// What a store is busy with and how its parts fare: the store's side of `dedupfs top` and of the metrics.
// Sums are since the store was opened; all of it is at hand or costs some microseconds.

import type { CacheCounts } from '../cache-counts.ts';
import type { IngestCounts } from '../dedup/ingest.ts';
import type { GcActivity } from '../maintenance/gc-record.ts';
import type { ScrubProgress } from '../maintenance/scrub.ts';
import { lastCleanMsOf, type ScrubOutcome } from '../maintenance/scrub-state.ts';
import type { CommitActivity } from './commit-record.ts';
import type { StoreSetup, StoreAssembly, StoreFiles } from './assembly.ts';

export interface CacheActivity {
  readonly cache: 'inodes' | 'fingerprints' | 'read-ahead' | 'frames' | 'packs';
  readonly hits: number;
  readonly misses: number;
}

/** Now, not since. All in bytes but where it says otherwise. */
export interface Backlog {
  /** Written and not yet chunked. */
  readonly dirtyBytes: number;
  /** Slabs (1 MiB each) in use, of so many. */
  readonly slabsUsed: number;
  readonly slabs: number;
  /** Stretches that workers cut and compress. */
  readonly ingestJobs: number;
  /** In packs that are not durable yet. */
  readonly packBytes: number;
  readonly walBytes: number;
}

export interface StoreActivity {
  readonly commits: CommitActivity;
  readonly ingest: IngestCounts;
  readonly caches: readonly CacheActivity[];
  readonly backlog: Backlog;
  readonly gc: GcActivity;
  /** The scrub under way; null: there is none. */
  readonly scrub: ScrubProgress | null;
  readonly lastScrub: ScrubOutcome | null;
  /** When the last scrub ended that found nothing; ms since 1970. */
  readonly lastCleanScrubMs: number | null;
  /** When the newest metadata checkpoint was taken; ms since 1970. */
  readonly lastCheckpointMs: number | null;
  /** Something was committed since. */
  readonly isCheckpointOutdated: boolean;
  /** When the store was made, ms since 1970. */
  readonly createdMs: number;
  readonly content: StoreContent;
  readonly host: {
    /** What can still be written. */
    readonly bytesAvailable: number;
    /** What the store's files occupy. */
    readonly bytesUsed: number;
    /** Size of the file system they lie on. */
    readonly bytesTotal: number;
  };
  /** Why the mount turned read-only; null: it did not. */
  readonly readOnlyReason: string | null;
}

/** What is in the store; see StoreStatistics for what each means. */
export interface StoreContent {
  readonly files: number;
  readonly directories: number;
  readonly referencedBytes: number;
  readonly uniqueBytes: number;
  readonly storedBytes: number;
  readonly deadBytes: number;
  readonly chunks: number;
  readonly damagedChunks: number;
  readonly damagedBytes: number;
}

export function collectActivity(
  { options }: StoreSetup,
  { metastore, space }: StoreFiles,
  parts: StoreAssembly,
): StoreActivity {
  const { dataPath, committer, collection, verification, checkpoint } = parts;
  const { pool } = options;
  const { lastScrub } = verification;
  return {
    commits: committer.record.activity,
    ingest: dataPath.ingest.counts,
    caches: cachesOf(metastore, dataPath),
    backlog: {
      dirtyBytes: dataPath.contentIngest.pendingBytes,
      slabsUsed: pool.slabsMax - pool.freeCount,
      slabs: pool.slabsMax,
      ingestJobs: dataPath.ingest.activeJobs,
      packBytes: dataPath.packWriter.pendingBytes,
      walBytes: metastore.database.walBytes,
    },
    gc: collection.activity,
    scrub: verification.scrubProgress ?? null,
    lastScrub: lastScrub ?? null,
    lastCleanScrubMs: lastCleanMsOf(lastScrub) ?? null,
    lastCheckpointMs: checkpoint.newest?.createdMs ?? null,
    isCheckpointOutdated: checkpoint.isOutdated,
    createdMs: verification.bornMs,
    content: contentOf(metastore),
    host: hostOf(space),
    readOnlyReason: committer.readOnlyReason ?? null,
  };
}

function hostOf(space: StoreFiles['space']): StoreActivity['host'] {
  const { availableBytes: bytesAvailable, usedBytes: bytesUsed, hostBytes: bytesTotal } = space;
  return { bytesAvailable, bytesUsed, bytesTotal };
}

function cachesOf(
  { inodes, chunks }: StoreFiles['metastore'],
  { reader }: StoreAssembly['dataPath'],
): CacheActivity[] {
  const one = (cache: CacheActivity['cache'], { hits, misses }: CacheCounts): CacheActivity => {
    return { cache, hits, misses };
  };
  return [
    one('inodes', inodes.counts),
    one('fingerprints', chunks.knownCounts),
    one('read-ahead', reader.aheadCounts),
    one('frames', reader.frameCounts),
    one('packs', reader.packCounts),
  ];
}

function contentOf({ counters, packs }: StoreFiles['metastore']): StoreContent {
  const { files, directories, referencedBytes, uniqueBytes, storedBytes } = counters;
  const { chunks, damagedChunks, damagedBytes } = counters;
  const deadBytes = packs.arenas().reduce((sum, arena) => sum + arena.bytes - arena.live, 0);
  return {
    files,
    directories,
    referencedBytes,
    uniqueBytes,
    storedBytes,
    deadBytes,
    chunks,
    damagedChunks,
    damagedBytes,
  };
}
