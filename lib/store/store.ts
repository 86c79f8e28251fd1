// An open store: puts the layers together, and takes them apart in the right order.

import { resolve } from 'node:path';
import { BlockStore } from '../blockstore/block-store.ts';
import { FRAME_BYTES_MAX } from '../blockstore/frame.ts';
import { blake3Provider, createKeyedHash } from '../blake3.ts';
import { ChunkReader } from '../dedup/chunk-reader.ts';
import {
  createCompressor,
  formatCompression,
  parseCompression,
  type Compression,
} from '../dedup/codec.ts';
import { Ingest } from '../dedup/ingest.ts';
import { PackWriter } from '../dedup/pack-writer.ts';
import { WorkerPool } from '../dedup/worker-pool.ts';
import { ExitCode, UserError } from '../errors.ts';
import { ContentIngest } from '../filesystem/content-ingest.ts';
import { ContentTable } from '../filesystem/content-table.ts';
import { DedupFileSystem } from '../filesystem/filesystem.ts';
import { GatherBuffer } from '../filesystem/gather-buffer.ts';
import { CommitGate } from '../filesystem/gate.ts';
import { OrphanReclaimer } from '../filesystem/orphans.ts';
import { runFsck } from '../maintenance/fsck.ts';
import { GarbageCollector } from '../maintenance/gc.ts';
import { Metastore } from '../metastore/metastore.ts';
import { Committer } from './committer.ts';
import type {
  FsckProgress,
  FsckReport,
  GcPlan,
  GcProgress,
  GcReport,
  Store,
  StoreOptions,
  StoreStatistics,
} from './contract.ts';
import { findOrCreate, prepareFolder, type FoundStore } from './create.ts';
import { HostSpace } from './host-space.ts';
import { StoreLock } from './lock.ts';
import { recover } from './recover.ts';
import { collectStatistics, hostStatistics } from './statistics.ts';

export { readOwner } from './lock.ts';

/** How often the daemon looks whether gc is worth a run. */
const GC_INTERVAL_MS = 2000;

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
  readonly #workers: WorkerPool;
  readonly #packWriter: PackWriter;
  readonly #contentIngest: ContentIngest;
  readonly #committer: Committer;
  readonly #orphans: OrphanReclaimer;
  readonly #collector: GarbageCollector;
  readonly #gate = new CommitGate();
  readonly #space: HostSpace;
  #gcTimer: NodeJS.Timeout | undefined;
  #isGcCancelled = false;
  #closing: Promise<void> | undefined;

  /** Opens both stores and recovers, before anything can change. */
  static async open(args: OpenArguments): Promise<OpenStore> {
    const { storePath, found, options } = args;
    const metastore = new Metastore(`${storePath}/meta.db`, { create: false });
    const blockStore = new BlockStore(`${storePath}/arenas`, {
      arenaBytesMax: found.format.arenaBytesMax,
      log: options.log,
    });
    try {
      checkUuid(storePath, found.format.uuid, metastore.getMeta('uuid'));
      await recover({ storePath, metastore, blockStore, log: options.log });
      const store = new OpenStore(args, metastore, blockStore);
      await store.#start();
      return store;
    } catch (error) {
      metastore.close();
      await blockStore.close();
      throw error;
    }
  }

  private constructor(args: OpenArguments, metastore: Metastore, blockStore: BlockStore) {
    const { found, options, storePath } = args;
    const { chunking, fingerprintKey } = found.format;
    const { counters, chunks } = metastore;
    const key = Buffer.from(fingerprintKey, 'hex');
    const hash = createKeyedHash(key);
    this.#arguments = args;
    this.path = storePath;
    this.uuid = found.format.uuid;
    this.created = found.created;
    this.#metastore = metastore;
    this.#blockStore = blockStore;
    blockStore.onArenaFull((sealed) => metastore.packs.nextArena(sealed));
    this.#packWriter = new PackWriter({
      blockStore,
      frameBytesMax: Math.max(chunking.bytesMax, FRAME_BYTES_MAX),
      nextPackId: () => counters.nextPack++,
      batch: () => counters.batch + 1,
      onSealed: ({ packId, arena, recordBytes }) => {
        metastore.packs.insert(packId, arena, recordBytes);
        this.#committer.notePack();
      },
    });
    this.#workers = new WorkerPool({
      cut: chunking,
      compression: args.compression,
      fingerprintKey: key,
      onFailure: (error) => this.#committer.fail('a worker failed', error),
    });
    const reader = new ChunkReader({ index: chunks, writer: this.#packWriter, blockStore, hash });
    const contents = new ContentTable(metastore.extents, reader);
    const gather = new GatherBuffer(options.pool);
    this.#contentIngest = new ContentIngest({
      ingest: new Ingest({ workers: this.#workers, index: chunks, writer: this.#packWriter }),
      pool: options.pool,
      chunkBytesMax: chunking.bytesMax,
      isGateOpen: () => this.#gate.isOpen,
      onFailure: (error) => this.#committer.fail('ingest failed', error),
      onSettled: (content) => contents.release(content),
      releaseGather: () => gather.release(),
    });
    this.#committer = new Committer({
      gate: this.#gate,
      contentIngest: this.#contentIngest,
      packWriter: this.#packWriter,
      metastore,
      log: options.log,
      background: options.background,
      onDurable: () => undefined,
    });
    this.#orphans = new OrphanReclaimer({
      metastore,
      contents,
      ingest: this.#contentIngest,
      gate: this.#gate,
      mayChange: () => {
        if (this.#committer.readOnlyReason !== undefined) return false;
        this.#committer.noteChange();
        return true;
      },
    });
    this.#space = new HostSpace(
      storePath,
      () => this.#contentIngest.pendingBytes + this.#packWriter.pendingBytes,
    );
    this.#collector = new GarbageCollector({
      metastore,
      blockStore,
      packWriter: this.#packWriter,
      hash,
      compressor: {
        codec: args.compression.codec,
        compressor: createCompressor(args.compression),
      },
      log: options.log,
      changesAllowed: async () => this.#changesAllowed(),
      noteChange: () => this.#committer.noteChange(),
      commit: async () => this.commit(),
    });
    this.filesystem = new DedupFileSystem({
      core: {
        metastore,
        contents,
        orphans: this.#orphans,
        gate: this.#gate,
        log: options.log,
        changes: {
          begin: () => this.#committer.noteChange(),
          admit: (bytes) => this.#space.admit(bytes),
          commit: async () => this.commit(),
        },
      },
      ingest: this.#contentIngest,
      gather,
      statistics: () => hostStatistics(this.path, metastore.counters, this.#space),
    });
  }

  async #start(): Promise<void> {
    this.#orphans.reclaimAll();
    await this.commit();
    const { options, storePath } = this.#arguments;
    const { chunks, batch } = this.#metastore.counters;
    options.log.info(
      { store: storePath, uuid: this.uuid, chunks, batch, blake3Provider },
      'store open',
    );
    if (!options.background) return;
    this.#gcTimer = setInterval(() => this.#gcInBackground(), GC_INTERVAL_MS);
  }

  async #changesAllowed(): Promise<void> {
    while (!this.#gate.isOpen) {
      await new Promise<void>((resolve) => this.#gate.whenOpen(resolve));
    }
  }

  #gcInBackground(): void {
    if (this.#collector.isRunning || this.#closing !== undefined) return;
    if (this.#committer.readOnlyReason !== undefined) return;
    const isNeeded = this.#collector.plan().arenas.some(({ action }) => action !== 'keep');
    if (!isNeeded) return;
    this.#isGcCancelled = false;
    this.#collector.run({ isCancelled: () => this.#isGcCancelled }).catch((error: unknown) => {
      this.#arguments.options.log.error({ err: error }, 'gc failed; it will be tried again');
    });
  }

  /** Ends a background run of gc at its next slice; whatever it did stays valid. */
  async #stopCollector(): Promise<void> {
    this.#isGcCancelled = true;
    if (this.#collector.isRunning) await this.#collector.run().catch(() => undefined);
  }

  statistics(): StoreStatistics {
    return collectStatistics({
      path: this.path,
      uuid: this.uuid,
      format: this.#arguments.found.format,
      compression: formatCompression(this.#arguments.compression),
      metastore: this.#metastore,
      dirtyBytes: this.#contentIngest.pendingBytes,
      readOnlyReason: this.#committer.readOnlyReason,
    });
  }

  planGc(threshold?: number): GcPlan {
    return this.#collector.plan(threshold);
  }

  async gc(
    options: { threshold?: number; onProgress?: (progress: GcProgress) => void } = {},
  ): Promise<GcReport> {
    const { threshold, onProgress } = options;
    return this.#collector.run({
      liveShareMin: threshold,
      ...(onProgress === undefined ? {} : { onProgress }),
    });
  }

  async fsck(options: {
    level: 'quick' | 'full';
    onProgress?: (progress: FsckProgress) => void;
  }): Promise<FsckReport> {
    const key = Buffer.from(this.#arguments.found.format.fingerprintKey, 'hex');
    // gc removes files outside of a commit: it must not be half way.
    await this.#stopCollector();
    return this.#committer.exclusively(async () =>
      runFsck(
        {
          connection: this.#metastore.database.connection,
          metastore: this.#metastore,
          blockStore: this.#blockStore,
          hash: createKeyedHash(key),
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
    clearInterval(this.#gcTimer);
    try {
      await this.#stopCollector();
      if (this.#committer.readOnlyReason === undefined) {
        this.#orphans.reclaimAll();
        await this.commit();
      }
    } finally {
      this.#committer.stop();
      await this.#workers.close();
      this.#metastore.close();
      await this.#blockStore.close();
      this.#arguments.lock.release();
    }
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
