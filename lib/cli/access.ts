// How a command reaches a store: through the daemon that serves it, or by opening it itself.

import { ControlClient } from '../control/client.ts';
import type { Method, Params, Progress, Results } from '../control/methods.ts';
import { ExitCode, UserError } from '../errors.ts';
import { silentLog } from '../log.ts';
import { SlabPool } from '../slab-pool.ts';
import type {
  CheckpointOptions,
  CheckpointReport,
  DamageReport,
  DuplicatesReport,
  DuplicatesRequest,
  FsckOptions,
  FsckReport,
  GcOptions,
  GcPlan,
  GcReport,
  HealReport,
  HealRequest,
  ScrubReport,
  ScrubRequest,
  StoreStatistics,
  UsageReport,
  UsageRequest,
} from '../store/contract.ts';
import { prepareFolder } from '../store/create.ts';
import { openStore } from '../store/store.ts';
import { findOwner, lockedBy } from './owner.ts';
import { findPlace } from './place.ts';
import { readConfig } from './settings/config-file.ts';
import { mergeSettings, NOTHING_GIVEN } from './settings/merge.ts';
import { storeSettingsOf } from './settings/store-settings.ts';

/**
 * What maintenance commands ask of a store, mounted or not. When the signal in their options comes, gc,
 * scrub and heal end with a report that says so; the others fail with the signal's reason.
 */
export interface StoreAccess extends AsyncDisposable {
  readonly storePath: string;
  /** Process of the daemon that answers; undefined when this process has the store open. */
  readonly daemonPid: number | undefined;
  statistics(): Promise<StoreStatistics>;
  planGc(threshold: number | undefined): Promise<GcPlan>;
  gc(options: GcOptions): Promise<GcReport>;
  checkpoint(options: CheckpointOptions): Promise<CheckpointReport>;
  fsck(options: FsckOptions): Promise<FsckReport>;
  scrub(request: ScrubRequest): Promise<ScrubReport>;
  damage(afterIno: number | undefined): Promise<DamageReport>;
  heal(request: HealRequest): Promise<HealReport>;
  duplicates(request: DuplicatesRequest): Promise<DuplicatesReport>;
  usage(request: UsageRequest): Promise<UsageReport>;
}

/**
 * @param path STORE or DIR as the user gave it
 * @throws UserError NO_STORE, LOCKED (another command has it open), BAD_CONFIG, and what opening a store throws
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
  prepareFolder(storePath, false);
  const settings = mergeSettings(readConfig(storePath).values, NOTHING_GIVEN);
  const store = await openStore(storePath, {
    ...storeSettingsOf(settings),
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
    gc: (options) => store.gc(options),
    checkpoint: (options) => store.checkpoint(options),
    fsck: (options) => store.fsck(options),
    scrub: (request) => store.scrub(request),
    damage: (afterIno) => store.listDamage(afterInoOf(afterIno)),
    heal: (request) => store.heal(request),
    duplicates: (request) => store.duplicates(request),
    usage: (request) => store.usage(request),
    [Symbol.asyncDispose]: () => store.close(),
  };
}

function askDaemon(storePath: string, client: ControlClient, pid: number): StoreAccess {
  const ask = async <M extends Method>(
    method: M,
    params: Params<M>,
    { onProgress, signal }: AskOptions<M>,
  ): Promise<Results[M]> => client.request(method, params, onProgress, signal);
  return {
    storePath,
    daemonPid: pid,
    statistics: () => client.request('stats', {}),
    planGc: (threshold) => client.request('gcPlan', thresholdOf(threshold)),
    gc: (options) => ask('gc', thresholdOf(options.threshold), options),
    checkpoint: (options) => ask('checkpoint', { full: options.full === true }, options),
    fsck: (options) => ask('fsck', { level: options.level }, options),
    scrub: (request) => {
      const { bytesPerSecond, restart } = request;
      const rate = bytesPerSecond === undefined ? {} : { bytesPerSecond };
      return ask('scrub', { ...rate, restart: restart === true }, request);
    },
    damage: (afterIno) => client.request('damage', afterInoOf(afterIno)),
    heal: (request) => ask('heal', { tree: request.tree }, request),
    duplicates: (request) => {
      const { path, bytesMin, groupsMax } = request;
      return ask('duplicates', { path, bytesMin, groupsMax }, request);
    },
    usage: (request) => {
      const { paths, perPath, exclusive } = request;
      return ask('usage', { paths: [...paths], perPath, exclusive }, request);
    },
    [Symbol.asyncDispose]: async () => client[Symbol.dispose](),
  };
}

interface AskOptions<M extends Method> {
  readonly onProgress?: ((progress: Progress<M>) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

function thresholdOf(threshold: number | undefined): { threshold?: number } {
  return threshold === undefined ? {} : { threshold };
}

function afterInoOf(afterIno: number | undefined): { afterIno?: number } {
  return afterIno === undefined ? {} : { afterIno };
}
