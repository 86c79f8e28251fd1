// What the layers above (control, cli, tests) may ask of an open store. Implemented by store.ts.

import type { FileSystem, Semantics } from '../filesystem/contract.ts';
import type { HealReport, HealRequest } from '../maintenance/heal.ts';
import type { DamageReport } from '../maintenance/damaged-files.ts';
import type { ScrubReport, ScrubRequest } from '../maintenance/scrub.ts';
import type { ScrubOutcome } from '../maintenance/scrub-state.ts';
import type { DuplicatesProgress, FoundDuplicates } from '../maintenance/usage/duplicates.ts';
import type { MeasuredUsage, UsageProgress } from '../maintenance/usage/usage.ts';
import type { Logger } from '../log.ts';
import type { SlabPool } from '../slab-pool.ts';
import type { StoreActivity } from './activity.ts';

export type { StoreActivity } from './activity.ts';
export type { DamagedFile, DamageReport } from '../maintenance/damaged-files.ts';
export type { HealProgress, HealReport, HealRequest } from '../maintenance/heal.ts';
export type { ScrubProgress, ScrubReport, ScrubRequest } from '../maintenance/scrub.ts';
export type { ScrubOutcome } from '../maintenance/scrub-state.ts';
export type { Duplicates, DuplicatesProgress } from '../maintenance/usage/duplicates.ts';
export type { ExclusiveUsage, MeasuredUsage, UsageProgress } from '../maintenance/usage/usage.ts';

/** What may change while the store is open. */
export interface StoreSettings {
  /** `lz4`, `zstd`, `zstd:3`, `zlib:6`, `none`; for chunks stored from now on. Default lz4. */
  readonly compression?: string | undefined;
  /** With `background`: a scrub begins so many days after the last; 0 or absent: never by itself. */
  readonly scrubDays?: number | undefined;
  /** How fast a scrub that begins by itself may read; 0 or absent: gently. */
  readonly scrubBytesPerSecond?: number | undefined;
  /**
   * With `background`: minutes after which the metastore is copied into the block store again; 0:
   * never. Default 60.
   */
  readonly checkpointMinutes?: number | undefined;
  /** Live share below which gc evacuates an arena, in (0, 1]. Default 0.8. */
  readonly gcThreshold?: number | undefined;
}

export interface StoreOptions extends StoreSettings {
  /** Create the store when the directory is absent or empty. */
  readonly create: boolean;
  /** Bring a store of an earlier format to this one; without, it is refused. */
  readonly migrate?: boolean | undefined;
  /** Mean chunk size in bytes; fixed at creation. A different value is refused with STORE_CONFLICT. */
  readonly chunkBytes?: number | undefined;
  /** Receives the payloads; its size bounds dirty memory. */
  readonly pool: SlabPool;
  readonly log: Logger;
  /** Absolute path of the mount point, when the store is served: told to who finds the store locked. */
  readonly mountpoint?: string | undefined;
  /** What the mount was asked for. Default: access control lists, relative access times. */
  readonly semantics?: Semantics | undefined;
  /** The mount takes no changes from its users: damage that a read meets is not noted either. */
  readonly isReadOnly?: boolean | undefined;
  /** Run the background: commit timer, reclaiming, gc. A one-shot command leaves it off. */
  readonly background: boolean;
}

/** All byte counts are bytes; see `stats --explain` and lib/README.md for the definitions. */
export interface StoreStatistics {
  readonly store: string;
  readonly uuid: string;
  readonly chunkBytesMean: number;
  readonly compression: string;
  readonly files: number;
  readonly directories: number;
  readonly otherInodes: number;
  /** Sum of the sizes of regular files; rounded when it is beyond 2^53. */
  readonly logicalBytes: number;
  /** Bytes that extents map: logical bytes less holes. */
  readonly referencedBytes: number;
  /** Plain bytes of the distinct chunks that are referenced. */
  readonly uniqueBytes: number;
  /** Bytes of those chunks as stored (compressed). */
  readonly storedBytes: number;
  /** Bytes written and not yet chunked. */
  readonly dirtyBytes: number;
  readonly chunks: number;
  readonly packs: number;
  readonly arenas: number;
  /** Stored bytes of chunks nobody refers to, waiting for gc. */
  readonly deadBytes: number;
  /** What the store's files occupy on the host (st_blocks x 512). */
  readonly hostBytes: number;
  /** referencedBytes - uniqueBytes. */
  readonly savedByDedupBytes: number;
  /** uniqueBytes - storedBytes. */
  readonly savedByCompressionBytes: number;
  /** referencedBytes / uniqueBytes, 1 when empty. */
  readonly dedupRatio: number;
  /** uniqueBytes / storedBytes, 1 when empty. */
  readonly compressionRatio: number;
  /** Resident memory of the process that answers. */
  readonly residentBytes: number;
  readonly residentBytesPeak: number;
  readonly batch: number;
  /** What `fsck --rebuild` would go back to; undefined: there is none. */
  readonly checkpoint: CheckpointSummary | undefined;
  /** Chunks in quarantine and their plain bytes; counted in `chunks` and `uniqueBytes` too. */
  readonly damagedChunks: number;
  readonly damagedBytes: number;
  /** The last scrub that came to its end. */
  readonly lastScrub: ScrubOutcome | undefined;
  /** Why the mount turned read-only, if it did. */
  readonly readOnlyReason: string | undefined;
}

/** A copy of the metastore in the block store. */
export interface CheckpointSummary {
  /** When it was taken, ms since 1970. */
  readonly createdMs: number;
  /** The last commit it holds. */
  readonly batch: number;
  /** Size of the metastore in it, bytes. */
  readonly plainBytes: number;
  /** What that takes as stored, bytes. */
  readonly storedBytes: number;
}

export interface CheckpointReport extends CheckpointSummary {
  /** Bytes put into the checkpoint arena; 0: the newest checkpoint holds everything already. */
  readonly bytesWritten: number;
  /** It shares nothing with the checkpoint before. */
  readonly isFull: boolean;
}

export interface GcPlanArena {
  readonly arena: number;
  readonly hostBytes: number;
  readonly liveBytes: number;
  /** 'remove' (nothing live), 'evacuate' (below the threshold) or 'keep'. */
  readonly action: 'remove' | 'evacuate' | 'keep';
}

export interface GcPlan {
  readonly arenas: readonly GcPlanArena[];
  readonly bytesToMove: number;
  readonly bytesToFree: number;
}

export interface GcReport {
  /** False: it was stopped; what was moved stays moved, and the next run goes on. */
  readonly isComplete: boolean;
  readonly plan: GcPlan;
  readonly arenasRemoved: number;
  readonly bytesMoved: number;
  readonly bytesFreed: number;
}

export interface GcProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface UsageRequest {
  /** From the root of the mount, beginning with '/'; at least one. Symbolic links are not followed. */
  readonly paths: readonly string[];
  /** Report for each path, not for all of them together alone. */
  readonly perPath: boolean;
  /** Count what deleting would give back, too. */
  readonly exclusive: boolean;
  onProgress?(progress: UsageProgress): void;
  /** Nobody waits for the report any more. */
  readonly signal?: AbortSignal | undefined;
}

export interface PathUsage extends MeasuredUsage {
  readonly path: string;
}

export interface UsageReport {
  /** In the order asked for; empty unless `perPath` was set. `exclusive`: of this path alone. */
  readonly paths: readonly PathUsage[];
  /** Of all paths together. */
  readonly total: MeasuredUsage;
  /** What the store's files occupy on the host (st_blocks x 512). */
  readonly storeBytes: number;
  /** Nothing changed in the store meanwhile: the figures are exact. */
  readonly isSteady: boolean;
}

export interface DuplicatesRequest {
  /** A directory, from the root of the mount, beginning with '/'. */
  readonly path: string;
  /** Smaller files are left out. */
  readonly bytesMin: number;
  /** Groups told, 1 to 1000. */
  readonly groupsMax: number;
  onProgress?(progress: DuplicatesProgress): void;
  /** Nobody waits for the report any more. */
  readonly signal?: AbortSignal | undefined;
}

export interface DuplicatesReport extends FoundDuplicates {
  /** Nothing changed in the store meanwhile: the report is exact. */
  readonly isSteady: boolean;
}

/** One violated invariant, as fsck reports it. */
export interface Finding {
  /** Name of the check, e.g. `chunk-references`. */
  readonly check: string;
  /** Invariant of lib/README.md, e.g. `I5`. */
  readonly invariant: string;
  readonly message: string;
}

export interface FsckProgress {
  readonly check: string;
  /** Of the checks, counted from 1. */
  readonly number: number;
  readonly checks: number;
  /** Of this check. */
  readonly done: number;
  readonly total: number;
}

export interface CheckpointProgress {
  /** Of the metastore, as far as it has been looked through. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface GcOptions {
  /** Live ratio below which an arena is evacuated. */
  readonly threshold?: number;
  readonly onProgress?: (progress: GcProgress) => void;
  /** Ends the run at its next slice. */
  readonly signal?: AbortSignal;
}

export interface FsckOptions {
  readonly level: 'quick' | 'full';
  readonly onProgress?: (progress: FsckProgress) => void;
  readonly signal?: AbortSignal;
}

export interface CheckpointOptions {
  readonly full?: boolean;
  /** Not called for one that somebody else has begun; `signal` does not end such a one either. */
  readonly onProgress?: (progress: CheckpointProgress) => void;
  readonly signal?: AbortSignal;
}

export interface FsckReport {
  readonly level: 'quick' | 'full';
  readonly checks: readonly string[];
  readonly findings: readonly Finding[];
  /** More findings than are listed (the list is bounded). */
  readonly findingsOmitted: number;
  /** Chunks in quarantine: the store is sound, files that have them are not. */
  readonly damagedChunks: number;
}

export interface Store {
  readonly path: string;
  readonly uuid: string;
  /** True when this call made the store. */
  readonly created: boolean;
  /** The format it had, when this call brought it to the present one. */
  readonly migratedFrom: number | undefined;
  readonly filesystem: FileSystem;
  statistics(): StoreStatistics;
  /** What it is busy with and how its parts fare; cheap enough to be asked every second. */
  activity(): StoreActivity;
  /** From now on; what is undefined stays as it is. @throws UserError USAGE  the compression */
  configure(settings: StoreSettings): void;
  /** Pure decision: what gc would do now. @param threshold live ratio below which an arena is evacuated */
  planGc(threshold?: number): GcPlan;
  /** A run that began by itself is stopped, and this one goes on from there. */
  gc(options?: GcOptions): Promise<GcReport>;
  /**
   * Runs the checks against this open store, between commits.
   * @throws the signal's reason
   */
  fsck(options: FsckOptions): Promise<FsckReport>;
  /**
   * Copies the metastore into the block store, what has changed since the last copy or, with `full`,
   * all of it. Requests are served meanwhile. One at a time: a second caller gets the first's report.
   * @throws NoSpaceError  there is not enough room to spare on the host
   * @throws CorruptionError  a page of the metastore is damaged; the checkpoint before stays
   * @throws the signal's reason; the checkpoint before stays
   */
  checkpoint(options?: CheckpointOptions): Promise<CheckpointReport>;
  /** Reads and verifies everything; what is bad goes into quarantine. Goes on where one was stopped. */
  scrub(request?: ScrubRequest): Promise<ScrubReport>;
  /** Which files show chunks that are in quarantine, as many as one answer holds. */
  listDamage(options?: { afterIno?: number; filesMax?: number }): Promise<DamageReport>;
  /** Stores what quarantined chunks lack, from files of another tree. */
  heal(request: HealRequest): Promise<HealReport>;
  /**
   * What files and directories take, from the metastore alone. Requests are served meanwhile; another
   * one of these waits for its turn.
   * @throws UserError DEDUPFS_NO_SUCH_PATH  @throws CorruptionError  @throws the signal's reason
   */
  usage(request: UsageRequest): Promise<UsageReport>;
  /** Groups of identical files; like `usage`. @throws UserError DEDUPFS_NO_SUCH_PATH */
  duplicates(request: DuplicatesRequest): Promise<DuplicatesReport>;
  /** Makes all acknowledged changes durable. */
  commit(): Promise<void>;
  /** Commits, stops the workers, closes both stores, gives the lock back. Idempotent. */
  close(): Promise<void>;
}

/**
 * lib/store/store.ts exports:
 *   openStore(path: string, options: StoreOptions): Promise<Store>
 *     @throws UserError NO_STORE, LOCKED (names the pid), WRONG_FORMAT, STORE_CONFLICT, DISK_FULL,
 *             NO_PERMISSION, STORE_INCONSISTENT
 *   readOwner(path: string): { pid: number; mountpoint: string | undefined } | undefined
 *     who holds the lock of a store now, without taking it
 */
export interface StoreOwner {
  readonly pid: number;
  /** Absolute path, when the owner serves a mount. */
  readonly mountpoint: string | undefined;
}
