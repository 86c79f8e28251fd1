// How a command reaches a store: through the daemon that serves it, or by opening it itself.

import { ControlClient } from '../control/client.ts';
import { ExitCode, UserError } from '../errors.ts';
import { silentLog } from '../log.ts';
import { SlabPool } from '../slab-pool.ts';
import type {
  CheckpointReport,
  DamageReport,
  DuplicatesProgress,
  DuplicatesReport,
  DuplicatesRequest,
  FsckProgress,
  FsckReport,
  GcPlan,
  GcProgress,
  GcReport,
  HealProgress,
  HealReport,
  ScrubProgress,
  ScrubReport,
  ScrubRequest,
  StoreStatistics,
  UsageProgress,
  UsageReport,
  UsageRequest,
} from '../store/contract.ts';
import { openStore } from '../store/store.ts';
import { findOwner, lockedBy } from './owner.ts';
import { findPlace } from './place.ts';

/** What maintenance commands ask of a store, mounted or not. */
export interface StoreAccess extends AsyncDisposable {
  readonly storePath: string;
  /** Process of the daemon that answers; undefined when this process has the store open. */
  readonly daemonPid: number | undefined;
  statistics(): Promise<StoreStatistics>;
  planGc(threshold: number | undefined): Promise<GcPlan>;
  gc(threshold: number | undefined, onProgress: (progress: GcProgress) => void): Promise<GcReport>;
  checkpoint(full: boolean): Promise<CheckpointReport>;
  fsck(level: 'quick' | 'full', onProgress: (progress: FsckProgress) => void): Promise<FsckReport>;
  /** When the signal comes, the scrub is stopped and its report says so. */
  scrub(request: ScrubCommand): Promise<ScrubReport>;
  damage(afterIno: number | undefined): Promise<DamageReport>;
  heal(tree: string, onProgress: (progress: HealProgress) => void): Promise<HealReport>;
  duplicates(
    request: DuplicatesQuestion,
    onProgress: (progress: DuplicatesProgress) => void,
  ): Promise<DuplicatesReport>;
  usage(
    request: UsageQuestion,
    onProgress: (progress: UsageProgress) => void,
  ): Promise<UsageReport>;
}

export type DuplicatesQuestion = Pick<DuplicatesRequest, 'path' | 'bytesMin' | 'groupsMax'>;
export type UsageQuestion = Pick<UsageRequest, 'perPath' | 'exclusive'> & {
  readonly paths: string[];
};

export interface ScrubCommand extends Pick<ScrubRequest, 'bytesPerSecond' | 'restart'> {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: ScrubProgress) => void;
}

/**
 * @param path STORE or DIR as the user gave it
 * @throws UserError NO_STORE, LOCKED (another command has it open), and what opening a store throws
 */
export async function reachStore(path: string): Promise<StoreAccess> {
  const { storePath } = findPlace(path);
  const owner = findOwner(storePath);
  if (owner === undefined) return openAlone(storePath);
  try {
    const client = await ControlClient.connect(storePath);
    return askDaemon(storePath, client, owner.pid);
  } catch (cause) {
    if (cause instanceof UserError && cause.exitCode === ExitCode.NO_PERMISSION) throw cause;
    throw lockedBy(storePath, owner);
  }
}

async function openAlone(storePath: string): Promise<StoreAccess> {
  const store = await openStore(storePath, {
    create: false,
    pool: new SlabPool(2),
    log: silentLog(),
    background: false,
  });
  return {
    storePath,
    daemonPid: undefined,
    statistics: async () => store.statistics(),
    planGc: async (threshold) => store.planGc(threshold),
    gc: (threshold, onProgress) => store.gc({ ...thresholdOf(threshold), onProgress }),
    checkpoint: (full) => store.checkpoint({ full }),
    fsck: (level, onProgress) => store.fsck({ level, onProgress }),
    scrub: (request) => store.scrub(request),
    damage: (afterIno) => store.listDamage(afterInoOf(afterIno)),
    heal: (tree, onProgress) => store.heal({ tree, onProgress }),
    duplicates: (question, onProgress) => store.duplicates({ ...question, onProgress }),
    usage: (question, onProgress) => store.usage({ ...question, onProgress }),
    [Symbol.asyncDispose]: () => store.close(),
  };
}

function askDaemon(storePath: string, client: ControlClient, pid: number): StoreAccess {
  return {
    storePath,
    daemonPid: pid,
    statistics: () => client.request('stats', {}),
    planGc: (threshold) => client.request('gcPlan', thresholdOf(threshold)),
    gc: (threshold, onProgress) => client.request('gc', thresholdOf(threshold), onProgress),
    checkpoint: (full) => client.request('checkpoint', { full }),
    fsck: (level, onProgress) => client.request('fsck', { level }, onProgress),
    scrub: (request) => askForScrub(client, request),
    damage: (afterIno) => client.request('damage', afterInoOf(afterIno)),
    heal: (tree, onProgress) => client.request('heal', { tree }, onProgress),
    duplicates: (question, onProgress) => client.request('duplicates', question, onProgress),
    usage: (question, onProgress) => client.request('usage', question, onProgress),
    [Symbol.asyncDispose]: async () => client[Symbol.dispose](),
  };
}

function thresholdOf(threshold: number | undefined): { threshold?: number } {
  return threshold === undefined ? {} : { threshold };
}

/** The daemon stops it when the connection ends. */
async function askForScrub(client: ControlClient, command: ScrubCommand): Promise<ScrubReport> {
  const { bytesPerSecond, restart, signal, onProgress } = command;
  const rate = bytesPerSecond === undefined ? {} : { bytesPerSecond };
  const stopped = new Promise<never>((_, reject) => {
    const stop = (): void => {
      client[Symbol.dispose]();
      const message =
        'interrupted; the daemon stops the scrub, and the next one goes on from there';
      reject(new UserError(ExitCode.INTERRUPTED, 'DEDUPFS_INTERRUPTED', message));
    };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
  });
  const report = client.request('scrub', { ...rate, restart: restart === true }, onProgress);
  return Promise.race([report, stopped]);
}

function afterInoOf(afterIno: number | undefined): { afterIno?: number } {
  return afterIno === undefined ? {} : { afterIno };
}
