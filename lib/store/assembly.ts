// The layers of an open store, put together: who needs whom, in one place. What the store answers with
// them is in store.ts.

import type { BlockStore } from '../blockstore/block-store.ts';
import { Errno } from '../errno.ts';
import { ExitCode, posixError, UserError } from '../errors.ts';
import type { Semantics } from '../filesystem/contract.ts';
import type { ChangeControl } from '../filesystem/core.ts';
import { DedupFileSystem } from '../filesystem/filesystem.ts';
import { CommitGate } from '../filesystem/gate.ts';
import { KernelListings } from '../filesystem/kernel-listings.ts';
import { OrphanReclaimer } from '../filesystem/orphans.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { CheckpointSchedule } from './checkpoint-schedule.ts';
import { Collection } from './collection.ts';
import { Committer } from './committer.ts';
import type { StoreOptions } from './contract.ts';
import type { FoundStore } from './create.ts';
import { DataPath } from './data-path.ts';
import type { HostSpace } from './host-space.ts';
import { Inspection } from './inspection.ts';
import { MetadataCheckpoint } from './metadata-checkpoint.ts';
import type { SettingsInForce } from './settings-in-force.ts';
import { hostStatistics } from './statistics.ts';
import { Verification } from './verification.ts';

const DEFAULT_SEMANTICS: Semantics = {
  acls: true,
  accessTimes: 'relative',
  directoryAccessTimes: true,
};

/** What was asked for and what was found. */
export interface StoreSetup {
  readonly storePath: string;
  readonly found: FoundStore;
  readonly settings: SettingsInForce;
  readonly options: StoreOptions;
}

/** What lies on the host, open. */
export interface StoreFiles {
  readonly metastore: Metastore;
  readonly blockStore: BlockStore;
  readonly space: HostSpace;
}

export class StoreAssembly {
  readonly dataPath: DataPath;
  readonly committer: Committer;
  readonly orphans: OrphanReclaimer;
  readonly collection: Collection;
  readonly verification: Verification;
  readonly inspection: Inspection;
  readonly checkpoint: MetadataCheckpoint;
  readonly checkpointSchedule: CheckpointSchedule;
  readonly filesystem: DedupFileSystem;
  readonly #setup: StoreSetup;
  readonly #files: StoreFiles;
  readonly #gate = new CommitGate();
  readonly #closing = new AbortController();

  constructor(setup: StoreSetup, files: StoreFiles) {
    this.#setup = setup;
    this.#files = files;
    const { found, options, storePath } = setup;
    const { metastore, blockStore, space } = files;
    const { log } = options;
    this.verification = this.#createVerification();
    this.dataPath = new DataPath({
      format: found.format,
      compression: setup.settings.compression,
      pool: options.pool,
      metastore,
      blockStore,
      isGateOpen: () => this.#gate.isOpen,
      damage: this.verification.damage,
      takeSegments: (inode, segments) => this.orphans.takeSegments(inode, segments),
      onPack: () => this.committer.notePack(),
      onFailure: (what, error) => this.committer.fail(what, error),
    });
    const { contentIngest, packWriter, contents } = this.dataPath;
    this.committer = new Committer({
      gate: this.#gate,
      contentIngest,
      packWriter,
      metastore,
      log,
      background: options.background,
      space,
    });
    this.orphans = new OrphanReclaimer({
      metastore,
      contents,
      ingest: contentIngest,
      gate: this.#gate,
      tryChange: () => this.committer.tryChange(),
    });
    metastore.database.onFailure = (error) => this.committer.fail('the metastore failed', error);
    this.collection = new Collection({
      metastore,
      blockStore,
      dataPath: this.dataPath,
      damage: this.verification.damage,
      orphans: this.orphans,
      gate: this.#gate,
      space,
      settings: setup.settings,
      log,
      noteChange: () => this.committer.noteChange(),
      mayChange: () => this.#mayChange,
      commit: async () => this.committer.commit(),
    });
    this.inspection = this.#createInspection();
    this.checkpoint = new MetadataCheckpoint({
      storePath,
      uuid: found.format.uuid,
      metastore,
      log,
      space,
      exclusively: async (work) => this.committer.exclusively(work),
    });
    this.checkpointSchedule = this.#scheduleCheckpoints();
    this.filesystem = this.#createFileSystem();
  }

  /** The store is being closed: what runs ends at its next turn, and nothing more begins by itself. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  beginClose(): void {
    if (this.closing.aborted) return;
    const reason = 'the store is being closed';
    this.#closing.abort(new UserError(ExitCode.FAILED, 'DEDUPFS_CLOSING', reason));
  }

  #scheduleCheckpoints(): CheckpointSchedule {
    const { settings, options } = this.#setup;
    return new CheckpointSchedule(this.checkpoint, {
      minutes: () => (options.background ? settings.checkpointMinutes : 0),
      log: options.log,
      mayChange: () => this.committer.readOnlyReason === undefined,
      metastoreBytes: () => this.#files.metastore.database.mainBytes,
    });
  }

  /** Whether the store takes changes. */
  get #mayChange(): boolean {
    return !this.closing.aborted && this.committer.readOnlyReason === undefined;
  }

  #createVerification(): Verification {
    const { options, storePath, found, settings } = this.#setup;
    const { metastore, blockStore, space } = this.#files;
    return new Verification({
      storePath,
      metastore,
      blockStore,
      log: options.log,
      chunkBytesMax: found.format.chunking.bytesMax,
      settings,
      isAlone: !options.background,
      mountpoint: options.mountpoint,
      dataPath: () => this.dataPath,
      gate: this.#gate,
      tryChange: () => options.isReadOnly !== true && this.committer.tryChange() === 'begun',
      mayChange: () => this.#mayChange,
      hasRoom: (bytes) => space.hasRoomForGc(bytes),
      commit: async () => this.committer.commit(),
    });
  }

  #createInspection(): Inspection {
    const { metastore, space } = this.#files;
    return new Inspection({
      metastore,
      closing: this.closing,
      contents: this.dataPath.contents,
      orphans: this.orphans,
      hasChanges: () => this.committer.isNeeded,
      mayChange: () => this.#mayChange,
      commit: async () => this.committer.commit(),
      hostBytes: () => space.usedBytes,
    });
  }

  #createFileSystem(): DedupFileSystem {
    const { log, semantics } = this.#setup.options;
    const { contentIngest, contents, gather, ahead } = this.dataPath;
    return new DedupFileSystem({
      core: {
        metastore: this.#files.metastore,
        contents,
        orphans: this.orphans,
        listings: new KernelListings(),
        gate: this.#gate,
        semantics: semantics ?? DEFAULT_SEMANTICS,
        noteDamage: (ino) => this.verification.fileDamage.note(ino),
        usageOf: (inode, signal) => this.inspection.inodeUsage(inode, signal),
        log,
        changes: this.#changeControl(),
      },
      ingest: contentIngest,
      gather,
      ahead,
      statistics: () => hostStatistics(this.#files.metastore.counters, this.#files.space),
    });
  }

  #changeControl(): ChangeControl {
    return {
      begin: () => this.committer.noteChange(),
      mayTouch: () => this.committer.readOnlyReason === undefined && this.#files.space.isRoomy,
      isReadOnly: () => this.committer.readOnlyReason !== undefined,
      admit: (bytes) => {
        if (this.dataPath.packWriter.isStuck) throw posixError(Errno.ENOSPC);
        this.#files.space.admit(bytes);
      },
      commit: async () => this.committer.makeDurable(),
    };
  }
}
