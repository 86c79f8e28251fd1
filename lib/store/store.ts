// An open store: puts the layers together, and takes them apart in the right order.

import { resolve } from 'node:path';
import { BlockStore } from '../blockstore/block-store.ts';
import { blake3Provider } from '../blake3.ts';
import {
  codedCompressor,
  formatCompression,
  parseCompression,
  type Compression,
} from '../dedup/codec.ts';
import { Errno } from '../errno.ts';
import { DedupfsError, ExitCode, posixError, UserError } from '../errors.ts';
import type { Semantics } from '../filesystem/contract.ts';
import type { ChangeControl } from '../filesystem/core.ts';
import { DedupFileSystem } from '../filesystem/filesystem.ts';
import { CommitGate } from '../filesystem/gate.ts';
import { OrphanReclaimer } from '../filesystem/orphans.ts';
import { runFsck } from '../maintenance/fsck.ts';
import { GarbageCollector } from '../maintenance/gc.ts';
import { Metastore } from '../metastore/metastore.ts';
import { CHECKPOINT_MINUTES_DEFAULT, CheckpointSchedule } from './checkpoint-schedule.ts';
import { Committer } from './committer.ts';
import type {
  CheckpointReport,
  FsckProgress,
  FsckReport,
  GcPlan,
  GcProgress,
  GcReport,
  Store,
  StoreOptions,
  StoreStatistics,
} from './contract.ts';
import { DataPath } from './data-path.ts';
import { findOrCreate, prepareFolder, type FoundStore } from './create.ts';
import { GcSchedule } from './gc-schedule.ts';
import { HostSpace } from './host-space.ts';
import { StoreLock } from './lock.ts';
import { MetadataCheckpoint } from './metadata-checkpoint.ts';
import { recover } from './recover.ts';
import { collectStatistics, hostStatistics } from './statistics.ts';

export { readOwner } from './lock.ts';

const DEFAULT_SEMANTICS: Semantics = {
  acls: true,
  accessTimes: 'relative',
  directoryAccessTimes: true,
};

/** @throws UserError NO_STORE LOCKED WRONG_FORMAT STORE_CONFLICT STORE_INCONSISTENT DISK_FULL NO_PERMISSION USAGE */
export async function openStore(path: string, options: StoreOptions): Promise<Store> {
  const storePath = resolve(path);
  const compression = parseCompression(options.compression ?? 'lz4');
  prepareFolder(storePath, options.create);
  const lock = await StoreLock.acquire(storePath, options.mountpoint);
  try {
    const found = findOrCreate(storePath, options);
    return await OpenStore.open({ storePath, found, compression, options, lock });
  } catch (error) {
    lock.release();
    throw error;
  }
}

interface OpenArguments {
  readonly storePath: string;
  readonly found: FoundStore;
  readonly compression: Compression;
  readonly options: StoreOptions;
  readonly lock: StoreLock;
}

class OpenStore implements Store {
  readonly path: string;
  readonly uuid: string;
  readonly created: boolean;
  readonly filesystem: DedupFileSystem;
  readonly #arguments: OpenArguments;
  readonly #metastore: Metastore;
  readonly #blockStore: BlockStore;
  readonly #dataPath: DataPath;
  readonly #committer: Committer;
  readonly #orphans: OrphanReclaimer;
  readonly #collector: GarbageCollector;
  readonly #gate = new CommitGate();
  readonly #gcSchedule: GcSchedule;
  readonly #checkpoint: MetadataCheckpoint;
  readonly #checkpointSchedule: CheckpointSchedule;
  #closing: Promise<void> | undefined;

  /** Opens both stores and recovers, before anything can change. */
  static async open(args: OpenArguments): Promise<OpenStore> {
    const { storePath, found, options } = args;
    const metastore = new Metastore(`${storePath}/meta.db`, { create: false });
    const blockStore = new BlockStore(`${storePath}/arenas`, {
      arenaBytesMax: found.format.arenaBytesMax,
      log: options.log,
    });
    let store: OpenStore | undefined;
    try {
      checkUuid(storePath, found.format.uuid, metastore.getMeta('uuid'));
      await recover({ storePath, metastore, blockStore, log: options.log });
      store = new OpenStore(args, metastore, blockStore);
      await store.#start();
      return store;
    } catch (error) {
      if (store !== undefined) await store.#dataPath.close();
      metastore.close();
      await blockStore.close();
      throw error;
    }
  }

  private constructor(args: OpenArguments, metastore: Metastore, blockStore: BlockStore) {
    const { found, options, storePath } = args;
    const { log } = options;
    this.#arguments = args;
    this.path = storePath;
    this.uuid = found.format.uuid;
    this.created = found.created;
    this.#metastore = metastore;
    this.#blockStore = blockStore;
    const space = new HostSpace(storePath, () => this.#dataPath.pendingBytes);
    this.#dataPath = new DataPath({
      format: found.format,
      compression: args.compression,
      pool: options.pool,
      metastore,
      blockStore,
      isGateOpen: () => this.#gate.isOpen,
      hasRoom: (bytes) => space.hasHostRoom(bytes),
      takeSegments: (inode, segments) => this.#orphans.takeSegments(inode, segments),
      onPack: () => this.#committer.notePack(),
      onFailure: (what, error) => this.#committer.fail(what, error),
    });
    const { contentIngest, packWriter, contents, hash } = this.#dataPath;
    this.#committer = new Committer({
      gate: this.#gate,
      contentIngest,
      packWriter,
      metastore,
      log,
      background: options.background,
      hasRoom: (bytes) => space.hasHostRoom(bytes),
    });
    this.#orphans = new OrphanReclaimer({
      metastore,
      contents,
      ingest: contentIngest,
      gate: this.#gate,
      mayChange: () => this.#committer.tryChange(),
    });
    metastore.database.onFailure = (error) => this.#committer.fail('the metastore failed', error);
    this.#collector = new GarbageCollector({
      metastore,
      blockStore,
      packWriter,
      hash,
      compressor: codedCompressor(args.compression),
      log,
      hasRoom: (bytes) => space.hasRoomForGc(bytes),
      isGateOpen: () => this.#gate.isOpen,
      gateOpened: async () => new Promise((resolve) => this.#gate.whenOpen(resolve)),
      noteChange: () => this.#committer.noteChange(),
      commit: async () => this.commit(),
    });
    this.#gcSchedule = new GcSchedule(this.#collector, {
      log,
      mayChange: () => this.#closing === undefined && this.#committer.readOnlyReason === undefined,
    });
    this.#checkpoint = new MetadataCheckpoint({
      storePath,
      uuid: this.uuid,
      metastore,
      log,
      hasRoomToSpare: (bytes) => space.hasRoomToSpare(bytes),
      exclusively: async (work) => this.#committer.exclusively(work),
    });
    this.#checkpointSchedule = this.#scheduleCheckpoints();
    this.filesystem = this.#createFileSystem(space);
  }

  #scheduleCheckpoints(): CheckpointSchedule {
    const { checkpointMinutes, background, log } = this.#arguments.options;
    return new CheckpointSchedule(this.#checkpoint, {
      minutes: background ? (checkpointMinutes ?? CHECKPOINT_MINUTES_DEFAULT) : 0,
      log,
      mayChange: () => this.#committer.readOnlyReason === undefined,
      metastoreBytes: () => this.#metastore.database.mainBytes,
    });
  }

  #createFileSystem(space: HostSpace): DedupFileSystem {
    const { log, semantics } = this.#arguments.options;
    const { contentIngest, contents, gather } = this.#dataPath;
    return new DedupFileSystem({
      core: {
        metastore: this.#metastore,
        contents,
        orphans: this.#orphans,
        gate: this.#gate,
        semantics: semantics ?? DEFAULT_SEMANTICS,
        log,
        changes: this.#changeControl(space),
      },
      ingest: contentIngest,
      gather,
      statistics: () => hostStatistics(this.path, this.#metastore.counters, space),
    });
  }

  #changeControl(space: HostSpace): ChangeControl {
    return {
      begin: () => this.#committer.noteChange(),
      mayTouch: () => this.#committer.readOnlyReason === undefined && space.isRoomy,
      isReadOnly: () => this.#committer.readOnlyReason !== undefined,
      admit: (bytes) => {
        if (this.#dataPath.packWriter.isStuck) throw posixError(Errno.ENOSPC);
        space.admit(bytes);
      },
      commit: async () => this.commit(),
    };
  }

  async #start(): Promise<void> {
    const { options, storePath } = this.#arguments;
    const { chunks, batch } = this.#metastore.counters;
    options.log.info(
      { store: storePath, uuid: this.uuid, chunks, batch, blake3Provider },
      'store open',
    );
    await this.#checkpoint.load();
    if (!options.background) return;
    this.#checkpointSchedule.start();
    this.#orphans.reclaimLeftovers();
    this.#gcSchedule.start();
  }

  statistics(): StoreStatistics {
    return collectStatistics({
      path: this.path,
      uuid: this.uuid,
      format: this.#arguments.found.format,
      compression: formatCompression(this.#arguments.compression),
      metastore: this.#metastore,
      dirtyBytes: this.#dataPath.contentIngest.pendingBytes,
      checkpoint: this.#checkpoint.newest,
      readOnlyReason: this.#committer.readOnlyReason,
    });
  }

  async checkpoint(options: { full?: boolean } = {}): Promise<CheckpointReport> {
    return this.#checkpoint.run(options);
  }

  planGc(threshold?: number): GcPlan {
    return this.#collector.plan(threshold);
  }

  async gc(
    options: { threshold?: number; onProgress?: (progress: GcProgress) => void } = {},
  ): Promise<GcReport> {
    const { threshold, onProgress } = options;
    await this.#orphans.reclaimAll(async () => this.commit());
    return this.#collector.run({
      liveShareMin: threshold,
      ...(onProgress === undefined ? {} : { onProgress }),
    });
  }

  async fsck(options: {
    level: 'quick' | 'full';
    onProgress?: (progress: FsckProgress) => void;
  }): Promise<FsckReport> {
    // gc removes files outside of a commit: it must not be half way.
    await this.#gcSchedule.interrupt();
    await this.#checkpoint.interrupt();
    return this.#committer.exclusively(async () =>
      runFsck(
        {
          connection: this.#metastore.database.connection,
          metastore: this.#metastore,
          blockStore: this.#blockStore,
          hash: this.#dataPath.hash,
          log: this.#arguments.options.log,
          onProgress: options.onProgress ?? (() => undefined),
        },
        options.level,
      ),
    );
  }

  async commit(): Promise<void> {
    await this.#committer.commit();
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#gcSchedule.stop();
    this.#checkpointSchedule.stop();
    try {
      await this.#gcSchedule.interrupt();
      // Removed files that are still open stay orphans: the next mount gives their space back.
      if (this.#committer.readOnlyReason === undefined) await this.commit();
      await this.#checkpointSchedule.finish();
    } finally {
      this.#committer.stop();
      await this.#checkpoint.interrupt();
      await this.#dataPath.close();
      this.#metastore.close();
      await this.#blockStore.close();
      this.#arguments.lock.release();
    }
    const { readOnlyReason } = this.#committer;
    if (readOnlyReason === undefined) return;
    throw new DedupfsError(
      `changes after commit ${this.#metastore.counters.batch} are lost, because ${readOnlyReason}`,
    );
  }
}

function checkUuid(storePath: string, expected: string, found: string | undefined): void {
  if (found === expected) return;
  throw new UserError(
    ExitCode.STORE_INCONSISTENT,
    'DEDUPFS_OTHER_METASTORE',
    `the metastore in ${storePath} belongs to store ${found ?? 'unknown'}, FORMAT says ${expected}; restore the matching meta.db`,
  );
}
