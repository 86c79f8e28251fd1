// The metrics of the store below a mount: commits, data on its way, what is stored, care for it.

import type { CacheActivity, StoreActivity } from '../store/activity.ts';
import type { Activity } from './activity.ts';
import { counter, gauge, histogram, labelled, type Definition, type Sample } from './definition.ts';

/** Most metrics here are read off the store alone. */
function ofStore<T>(read: (store: StoreActivity) => T): (activity: Activity) => T {
  return ({ store }) => read(store);
}

const commits: Definition[] = [
  histogram(
    'dedupfs_commit_duration_seconds',
    'Commits that succeeded, from their beginning until all was durable.',
    ({ activity }) => [{ labels: {}, counts: activity.store.commits.commits }],
  ),
  histogram(
    'dedupfs_metastore_sync_duration_seconds',
    'fdatasync of the log of the metadata in each commit: what the disk takes.',
    ({ activity }) => [{ labels: {}, counts: activity.store.commits.syncs }],
  ),
  counter(
    'dedupfs_commit_failures_total',
    'Commits that failed.',
    ofStore((store) => store.commits.failures),
  ),
  gauge(
    'dedupfs_last_commit_failed',
    'Whether the last commit failed: 1 or 0.',
    ofStore((store) => Number(store.commits.error !== null)),
  ),
  gauge(
    'dedupfs_last_commit_success_timestamp_seconds',
    'When a commit last succeeded, in seconds since 1970.',
    ofStore((store) => seconds(store.commits.lastSuccessMs)),
  ),
  gauge(
    'dedupfs_last_commit_failure_timestamp_seconds',
    'When a commit last failed, in seconds since 1970.',
    ofStore((store) => seconds(store.commits.lastFailureMs)),
  ),
  gauge(
    'dedupfs_read_only',
    'Whether the mount turned read-only after a failure: 1 or 0; the log and stats say why.',
    ofStore((store) => Number(store.readOnlyReason !== null)),
  ),
];

const dataOnItsWay: Definition[] = [
  labelled(
    'counter',
    'dedupfs_ingested_bytes_total',
    'Bytes that were cut into chunks: known ones (deduplicated), new ones, and zeros (holes).',
    ofStore(({ ingest }) => [
      kind('known', ingest.bytesKnown),
      kind('new', ingest.bytesNew),
      kind('hole', ingest.bytesOfHoles),
    ]),
  ),
  labelled(
    'counter',
    'dedupfs_ingested_chunks_total',
    'Chunks that were cut: known ones (deduplicated) and new ones.',
    ofStore(({ ingest }) => [kind('known', ingest.chunksKnown), kind('new', ingest.chunksNew)]),
  ),
  counter(
    'dedupfs_compressed_bytes_total',
    'What the new chunks take as stored.',
    ofStore(({ ingest }) => ingest.bytesStored),
  ),
  gauge(
    'dedupfs_dirty_bytes',
    'Bytes written and not yet cut into chunks.',
    ofStore(({ backlog }) => backlog.dirtyBytes),
  ),
  gauge(
    'dedupfs_slabs_used',
    'Memory blocks of 1 MiB that hold requests; when none is free, requests wait.',
    ofStore(({ backlog }) => backlog.slabsUsed),
  ),
  gauge(
    'dedupfs_slabs',
    'How many such memory blocks there can be.',
    ofStore(({ backlog }) => backlog.slabs),
  ),
  gauge(
    'dedupfs_ingest_jobs',
    'Pieces of files that are being cut and compressed, or wait for it.',
    ofStore(({ backlog }) => backlog.ingestJobs),
  ),
  gauge(
    'dedupfs_pending_pack_bytes',
    'Compressed bytes that are not durable yet.',
    ofStore(({ backlog }) => backlog.packBytes),
  ),
  gauge(
    'dedupfs_wal_bytes',
    'Size of the log of the metadata (WAL).',
    ofStore(({ backlog }) => backlog.walBytes),
  ),
  labelled(
    'counter',
    'dedupfs_cache_hits_total',
    'Questions that a cache in memory could answer.',
    ofStore(({ caches }) => caches.map((one) => cacheSample(one, one.hits))),
  ),
  labelled(
    'counter',
    'dedupfs_cache_misses_total',
    'Questions that a cache could not answer; each new chunk is one of `fingerprints`.',
    ofStore(({ caches }) => caches.map((one) => cacheSample(one, one.misses))),
  ),
];

const content: Definition[] = [
  gauge(
    'dedupfs_files',
    'Regular files in the store.',
    ofStore((store) => store.content.files),
  ),
  gauge(
    'dedupfs_directories',
    'Directories in the store.',
    ofStore((store) => store.content.directories),
  ),
  gauge(
    'dedupfs_chunks',
    'Distinct chunks in the store.',
    ofStore((store) => store.content.chunks),
  ),
  gauge(
    'dedupfs_referenced_bytes',
    'Bytes that the contents of files refer to: their sizes without holes.',
    ofStore((store) => store.content.referencedBytes),
  ),
  gauge(
    'dedupfs_unique_bytes',
    'Referenced bytes, each distinct chunk counted once.',
    ofStore((store) => store.content.uniqueBytes),
  ),
  gauge(
    'dedupfs_stored_bytes',
    'Unique bytes after compression.',
    ofStore((store) => store.content.storedBytes),
  ),
  gauge(
    'dedupfs_dead_bytes',
    'Stored bytes that nothing refers to any more; gc gives them back.',
    ofStore((store) => store.content.deadBytes),
  ),
  gauge(
    'dedupfs_dedup_ratio',
    'Referenced bytes to unique bytes; 1 when empty.',
    ofStore(({ content }) => ratio(content.referencedBytes, content.uniqueBytes)),
  ),
  gauge(
    'dedupfs_compression_ratio',
    'Unique bytes to stored bytes; 1 when empty.',
    ofStore(({ content }) => ratio(content.uniqueBytes, content.storedBytes)),
  ),
  gauge(
    'dedupfs_host_used_bytes',
    'What the files of the store occupy on the host.',
    ofStore(({ host }) => host.bytesUsed),
  ),
  gauge(
    'dedupfs_host_available_bytes',
    'What can still be written, beside the reserve.',
    ofStore(({ host }) => host.bytesAvailable),
  ),
  gauge(
    'dedupfs_host_size_bytes',
    'Size of the file system that the store lies on.',
    ofStore(({ host }) => host.bytesTotal),
  ),
];

const care: Definition[] = [
  gauge(
    'dedupfs_store_created_timestamp_seconds',
    'When the store was made, in seconds since 1970.',
    ofStore((store) => seconds(store.createdMs)),
  ),
  gauge(
    'dedupfs_damaged_chunks',
    'Chunks in quarantine: their files give EIO there.',
    ofStore((store) => store.content.damagedChunks),
  ),
  gauge(
    'dedupfs_damaged_bytes',
    'Bytes of those chunks.',
    ofStore((store) => store.content.damagedBytes),
  ),
  gauge(
    'dedupfs_gc_running',
    'Whether gc moves data now: 1 or 0.',
    ofStore(({ gc }) => Number(gc.progress !== null)),
  ),
  gauge(
    'dedupfs_gc_done_ratio',
    'How much of what it has to move the gc under way has moved, from 0 to 1.',
    ofStore(({ gc }) => shareDone(gc.progress)),
  ),
  counter(
    'dedupfs_gc_moved_bytes_total',
    'Stored bytes that gc moved.',
    ofStore(({ gc }) => gc.bytesMoved),
  ),
  counter(
    'dedupfs_gc_freed_bytes_total',
    'Bytes of the arenas that gc removed.',
    ofStore(({ gc }) => gc.bytesFreed),
  ),
  counter(
    'dedupfs_gc_removed_arenas_total',
    'Arenas that gc removed.',
    ofStore(({ gc }) => gc.arenasRemoved),
  ),
  gauge(
    'dedupfs_scrub_running',
    'Whether a scrub verifies data now: 1 or 0.',
    ofStore(({ scrub }) => Number(scrub !== null)),
  ),
  gauge(
    'dedupfs_scrub_done_ratio',
    'How much the scrub under way has verified, from 0 to 1.',
    ofStore(({ scrub }) => shareDone(scrub)),
  ),
  gauge(
    'dedupfs_last_scrub_timestamp_seconds',
    'When the last scrub came to its end, in seconds since 1970.',
    ofStore(({ lastScrub }) => seconds(lastScrub?.completedMs)),
  ),
  gauge(
    'dedupfs_last_scrub_findings',
    'What the last scrub found wrong besides chunks.',
    ofStore(({ lastScrub }) => lastScrub?.findings),
  ),
  gauge(
    'dedupfs_last_clean_scrub_timestamp_seconds',
    'When the last scrub ended that found nothing, in seconds since 1970.',
    ofStore((store) => seconds(store.lastCleanScrubMs)),
  ),
  gauge(
    'dedupfs_last_checkpoint_timestamp_seconds',
    'When the metadata was last copied into the block store, in seconds since 1970.',
    ofStore((store) => seconds(store.lastCheckpointMs)),
  ),
  gauge(
    'dedupfs_checkpoint_outdated',
    'Whether something was committed since the last checkpoint of the metadata: 1 or 0.',
    ofStore((store) => Number(store.isCheckpointOutdated)),
  ),
];

export const storeDefinitions: readonly Definition[] = [
  ...commits,
  ...dataOnItsWay,
  ...content,
  ...care,
];

function kind(name: string, value: number): Sample {
  return { labels: { kind: name }, value };
}

function cacheSample({ cache }: CacheActivity, value: number): Sample {
  return { labels: { cache }, value };
}

function seconds(ms: number | null | undefined): number | null {
  return ms === null || ms === undefined ? null : ms / 1000;
}

function ratio(more: number, less: number): number {
  return less === 0 ? 1 : more / less;
}

function shareDone(progress: { bytesDone: number; bytesTotal: number } | null): number | null {
  if (progress === null) return null;
  return progress.bytesTotal === 0 ? 1 : Math.min(1, progress.bytesDone / progress.bytesTotal);
}
