// An open store: what it answers, and the order in which it is opened and closed.

import { resolve } from 'node:path';
import { BlockStore } from '../blockstore/block-store.ts';
import { blake3Provider } from '../blake3.ts';
import { DedupfsError } from '../errors.ts';
import type { DedupFileSystem } from '../filesystem/filesystem.ts';
import { runFsck } from '../maintenance/fsck.ts';
import { collectActivity } from './activity.ts';
import { StoreAssembly, type StoreFiles, type StoreSetup } from './assembly.ts';
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
  Store,
  StoreActivity,
  StoreOptions,
  StoreSettings,
  StoreStatistics,
  UsageReport,
  UsageRequest,
} from './contract.ts';
import { findOrCreate, prepareFolder } from './create.ts';
import { HostSpace, NOTHING_PENDING } from './host-space.ts';
import { StoreLock } from './lock.ts';
import { explainRefusal, openMetastore } from './open-metastore.ts';
import { recover } from './recover.ts';
import { SettingsInForce } from './settings-in-force.ts';
import { collectStatistics } from './statistics.ts';

export { isUnused } from './create.ts';
export { lockState, readOwner, type LockState } from './lock.ts';

/** @throws UserError NO_STORE LOCKED WRONG_FORMAT STORE_CONFLICT STORE_INCONSISTENT DISK_FULL NO_PERMISSION USAGE */
export async function openStore(path: string, options: StoreOptions): Promise<Store> {
  const storePath = resolve(path);
  const settings = new SettingsInForce(options);
  if (prepareFolder(storePath, options.create)) {
    options.log.warn(
      { store: storePath },
      'the store was readable by others; its mode is 0700 now',
    );
  }
  const lock = await StoreLock.acquire(storePath, options.mountpoint);
  try {
    const found = findOrCreate(storePath, options);
    return await OpenStore.open({ storePath, found, settings, options, lock });
  } catch (error) {
    lock.release();
    throw error;
  }
}

interface OpenArguments extends StoreSetup {
  readonly lock: StoreLock;
}

class OpenStore implements Store {
  readonly path: string;
  readonly uuid: string;
  readonly created: boolean;
  readonly migratedFrom: number | undefined;
  readonly filesystem: DedupFileSystem;
  readonly #arguments: OpenArguments;
  readonly #files: StoreFiles;
  readonly #parts: StoreAssembly;
  #closing: Promise<void> | undefined;
  /** Maintenance that closing ends, and waits for. */
  readonly #underWay = new Set<Promise<unknown>>();

  /** Opens both stores and recovers, before anything can change. */
  static async open(args: OpenArguments): Promise<OpenStore> {
    const { storePath, found, options } = args;
    let store: OpenStore | undefined;
    const metastore = openMetastore(storePath, found.format.uuid);
    const space = new HostSpace(storePath, () =>
      store === undefined ? NOTHING_PENDING : store.#parts.dataPath.pending,
    );
    metastore.database.room = space;
    const blockStore = new BlockStore(`${storePath}/arenas`, {
      arenaBytesMax: found.format.arenaBytesMax,
      log: options.log,
      room: space,
    });
    try {
      await recover({ storePath, metastore, blockStore, log: options.log });
      store = new OpenStore(args, { metastore, blockStore, space });
      await store.#start();
      return store;
    } catch (error) {
      const explained = explainRefusal(storePath, metastore, error);
      if (store !== undefined) await store.#parts.dataPath.close();
      metastore.close();
      await blockStore.close();
      space.close();
      throw explained;
    }
  }

  private constructor(args: OpenArguments, files: StoreFiles) {
    const { found, storePath } = args;
    this.#arguments = args;
    this.path = storePath;
    this.uuid = found.format.uuid;
    this.created = found.created;
    this.migratedFrom = found.migratedFrom;
    this.#files = files;
    this.#parts = new StoreAssembly(args, files);
    this.filesystem = this.#parts.filesystem;
  }

  async #start(): Promise<void> {
    const { options, storePath } = this.#arguments;
    const { chunks, batch } = this.#files.metastore.counters;
    options.log.info(
      { store: storePath, uuid: this.uuid, chunks, batch, blake3Provider },
      'store open',
    );
    await this.#parts.checkpoint.load();
    if (!options.background) return;
    this.#files.space.start();
    this.#files.space.lookAhead().catch((error: unknown) => {
      options.log.warn({ err: error }, 'looking at the arenas beforehand failed');
    });
    this.#parts.checkpointSchedule.start();
    this.#parts.orphans.reclaimLeftovers();
    this.#parts.collection.start();
    this.#parts.verification.start();
  }

  activity(): StoreActivity {
    return collectActivity(this.#arguments, this.#files, this.#parts);
  }

  statistics(): StoreStatistics {
    return collectStatistics({
      path: this.path,
      uuid: this.uuid,
      format: this.#arguments.found.format,
      compression: this.#arguments.settings.compression.text,
      metastore: this.#files.metastore,
      dirtyBytes: this.#parts.dataPath.contentIngest.pendingBytes,
      hostBytes: this.#files.space.usedBytesNow,
      checkpoint: this.#parts.checkpoint.newest,
      readOnlyReason: this.#parts.committer.readOnlyReason,
      lastScrub: this.#parts.verification.lastScrub,
    });
  }

  configure(settings: StoreSettings): void {
    this.#arguments.settings.change(settings);
    this.#parts.checkpointSchedule.reschedule();
  }

  async checkpoint(options: CheckpointOptions = {}): Promise<CheckpointReport> {
    return this.#parts.checkpoint.run(options);
  }

  async scrub(request: ScrubRequest = {}): Promise<ScrubReport> {
    return this.#untilClose(request, async (either) => this.#parts.verification.scrub(either));
  }

  async listDamage(options: { afterIno?: number; filesMax?: number } = {}): Promise<DamageReport> {
    return this.#parts.verification.listDamage(options);
  }

  async heal(request: HealRequest): Promise<HealReport> {
    return this.#parts.verification.heal({ ...request, signal: this.#orClosing(request.signal) });
  }

  async usage(request: UsageRequest): Promise<UsageReport> {
    return this.#parts.inspection.usage(request);
  }

  async duplicates(request: DuplicatesRequest): Promise<DuplicatesReport> {
    return this.#parts.inspection.duplicates(request);
  }

  planGc(threshold?: number): GcPlan {
    return this.#parts.collection.plan(threshold);
  }

  async gc(options: GcOptions = {}): Promise<GcReport> {
    return this.#untilClose(options, async (either) => this.#parts.collection.run(either));
  }

  async fsck(options: FsckOptions): Promise<FsckReport> {
    return this.#untilClose(options, async (either) => this.#check(either));
  }

  async #check(options: FsckOptions): Promise<FsckReport> {
    // gc removes files outside of a commit: it must not be half way.
    await this.#parts.collection.interrupt();
    await this.#parts.checkpoint.interrupt();
    return this.#parts.committer.exclusively(async () =>
      runFsck(
        {
          connection: this.#files.metastore.database.connection,
          metastore: this.#files.metastore,
          blockStore: this.#files.blockStore,
          hash: this.#parts.dataPath.hash,
          log: this.#arguments.options.log,
          onProgress: options.onProgress,
          signal: options.signal,
        },
        options.level,
      ),
    );
  }

  /** Closing the store ends the work at its next turn, and waits for that. */
  async #untilClose<Options extends { readonly signal?: AbortSignal | undefined }, Report>(
    options: Options,
    work: (options: Options & { readonly signal: AbortSignal }) => Promise<Report>,
  ): Promise<Report> {
    this.#parts.closing.throwIfAborted();
    const running = work({ ...options, signal: this.#orClosing(options.signal) });
    this.#underWay.add(running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(running);
    }
  }

  #orClosing(signal: AbortSignal | undefined): AbortSignal {
    const { closing } = this.#parts;
    return signal === undefined ? closing : AbortSignal.any([closing, signal]);
  }

  async commit(): Promise<void> {
    await this.#parts.committer.commit();
  }

  async close(): Promise<void> {
    this.#parts.beginClose();
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#parts.collection.stop();
    this.#parts.checkpointSchedule.stop();
    try {
      await this.#parts.collection.interrupt();
      await this.#parts.verification.stop();
      await Promise.allSettled(this.#underWay); // who asked for it is told how it went
      // Removed files that are still open stay orphans: the next mount gives their space back.
      if (this.#parts.committer.readOnlyReason === undefined) await this.commit();
      await this.#parts.checkpointSchedule.finish();
    } finally {
      this.#parts.committer.stop();
      this.#parts.orphans.stop();
      await this.#parts.checkpoint.interrupt();
      await this.#parts.dataPath.close();
      this.#files.metastore.close();
      await this.#files.blockStore.close();
      this.#files.space.close();
      this.#arguments.lock.release();
    }
    const { readOnlyReason } = this.#parts.committer;
    if (readOnlyReason === undefined) return;
    throw new DedupfsError(
      `changes after commit ${this.#files.metastore.counters.batch} are lost, because ${readOnlyReason}`,
    );
  }
}
