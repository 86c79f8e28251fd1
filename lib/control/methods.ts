// What each method of the control socket takes, returns and reports on the way: the one place to look
// when talking to a daemon. The schemas check what comes in; everything else is types.

import { z } from 'zod';

import type { Activity } from '../observability/activity.ts';
import type {
  CheckpointProgress,
  CheckpointReport,
  DamageReport,
  DuplicatesProgress,
  DuplicatesReport,
  FsckProgress,
  FsckReport,
  GcPlan,
  GcProgress,
  GcReport,
  HealProgress,
  HealReport,
  ScrubProgress,
  ScrubReport,
  StoreStatistics,
  UsageProgress,
  UsageReport,
} from '../store/contract.ts';
import type { SettingChange, SettingState } from './settings.ts';

const nothing = z.object({});

const gcParams = z.object({
  /** Live ratio below which an arena is evacuated; absent: the store's default. */
  threshold: z
    .number('must be in (0, 1]')
    .gt(0, 'must be in (0, 1]')
    .lte(1, 'must be in (0, 1]')
    .exactOptional(),
});

/** The parameters of each method; what is not named here is dropped. */
export const paramsOf = {
  ping: nothing,
  stats: nothing,
  activity: nothing,
  gcPlan: gcParams,
  gc: gcParams,
  fsck: z.object({ level: z.enum(['quick', 'full'], "must be 'quick' or 'full'") }),
  checkpoint: z.object({
    /** Share nothing with the checkpoint before. */
    full: z.boolean('must be true or false'),
  }),
  scrub: z.object({
    /** Absent: gently. */
    bytesPerSecond: z.number('must be at least 1').gte(1, 'must be at least 1').exactOptional(),
    restart: z.boolean('must be true or false').default(false),
  }),
  damage: z.object({
    /** The `nextIno` of the answer before. */
    afterIno: z.int('must be an integer').exactOptional(),
  }),
  heal: z.object({
    /** As the daemon sees it. */
    tree: z.string('must be an absolute path').regex(/^\/[^\0]*$/, 'must be an absolute path'),
  }),
  usage: z.object({
    /** From the root of the mount, beginning with '/'. */
    paths: z
      .array(z.string('must be absolute').regex(/^\/[^\0]*$/, 'must be absolute'), 'must be a list')
      .min(1, 'must name at least one'),
    /** Report for each path, not for all of them together alone. */
    perPath: z.boolean('must be true or false'),
    /** Count what deleting would give back. */
    exclusive: z.boolean('must be true or false'),
  }),
  duplicates: z.object({
    /** A directory, from the root of the mount. */
    path: z.string('must be absolute').regex(/^\/[^\0]*$/, 'must be absolute'),
    /** Smaller files are left out. */
    bytesMin: z.number('must be at least 0').gte(0, 'must be at least 0'),
    /** Groups told. */
    groupsMax: z
      .int('must be an integer from 1 to 1000')
      .gte(1, 'must be from 1 to 1000')
      .lte(1000, 'must be from 1 to 1000'),
  }),
  settings: nothing,
  configure: z.object({
    name: z.string('must be the name of a setting'),
    /** As on the command line; absent: back to the default. */
    value: z.string('must be a text').exactOptional(),
  }),
  commit: nothing,
  awaitClose: nothing,
  /** Asks to stop a request of the same connection, which is then answered. */
  cancel: z.object({ request: z.int('must be the id of a request') }),
} as const satisfies Record<string, z.ZodType>;

export type Method = keyof typeof paramsOf;
/** As a client writes them; defaults may be left out. */
export type Params<M extends Method> = z.input<(typeof paramsOf)[M]>;
export type NoResult = Record<string, never>;

export interface Pong {
  readonly pid: number;
  readonly mountpoint: string;
  readonly version: string;
}

export interface Results {
  ping: Pong;
  stats: StoreStatistics;
  /** What the mount is busy with now, and sums since it began: rates come from two answers. */
  activity: Activity;
  gcPlan: GcPlan;
  // All that take long end early when they are cancelled or the connection ends. gc, scrub and heal
  // answer with `isComplete: false` then, and go on when they are asked for again; the others fail with
  // DEDUPFS_INTERRUPTED and have changed nothing.
  gc: GcReport;
  fsck: FsckReport;
  checkpoint: CheckpointReport;
  scrub: ScrubReport;
  damage: DamageReport;
  heal: HealReport;
  usage: UsageReport;
  duplicates: DuplicatesReport;
  settings: { readonly settings: readonly SettingState[] };
  /** Answered when it is written to config.toml and, where that is possible, in force. */
  configure: SettingChange;
  commit: NoResult;
  /**
   * Answered when the store is closed: `dedupfs umount` learns so how the final commit went. Who has
   * not been received by then gets no answer and finds it in the store (last-close.ts).
   */
  awaitClose: NoResult;
  /** Also when that request has been answered already. */
  cancel: NoResult;
}

/** What a method reports on the way; those that are not here report nothing. */
export interface Progresses {
  gc: GcProgress;
  fsck: FsckProgress;
  checkpoint: CheckpointProgress;
  scrub: ScrubProgress;
  heal: HealProgress;
  usage: UsageProgress;
  duplicates: DuplicatesProgress;
}

export type Progress<M extends Method> = M extends keyof Progresses ? Progresses[M] : never;
