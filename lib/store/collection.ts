// The part of an open store that gives space back: gc when it is asked for and by itself.

import type { BlockStore } from '../blockstore/block-store.ts';
import type { CommitGate } from '../filesystem/gate.ts';
import type { OrphanReclaimer } from '../filesystem/orphans.ts';
import type { Logger } from '../log.ts';
import type { DamageRegister } from '../maintenance/damage.ts';
import { GarbageCollector } from '../maintenance/gc.ts';
import type { GcActivity } from '../maintenance/gc-record.ts';
import type { Metastore } from '../metastore/metastore.ts';
import type { GcOptions, GcPlan, GcReport } from './contract.ts';
import type { DataPath } from './data-path.ts';
import { GcSchedule } from './gc-schedule.ts';
import type { HostSpace } from './host-space.ts';
import type { SettingsInForce } from './settings-in-force.ts';

export interface CollectionParts {
  readonly metastore: Metastore;
  readonly blockStore: BlockStore;
  readonly dataPath: DataPath;
  readonly damage: DamageRegister;
  readonly orphans: OrphanReclaimer;
  readonly gate: CommitGate;
  readonly space: HostSpace;
  readonly settings: SettingsInForce;
  readonly log: Logger;
  /** To be called before each change. @throws EROFS */
  noteChange(): void;
  /** Whether the store takes changes. */
  mayChange(): boolean;
  commit(): Promise<void>;
}

export class Collection {
  readonly #parts: CollectionParts;
  readonly #collector: GarbageCollector;
  readonly #schedule: GcSchedule;

  constructor(parts: CollectionParts) {
    this.#parts = parts;
    const { metastore, blockStore, dataPath, damage, gate, space, log } = parts;
    this.#collector = new GarbageCollector({
      metastore,
      blockStore,
      packWriter: dataPath.packWriter,
      hash: dataPath.hash,
      damage,
      compression: parts.settings.compression,
      log,
      hasRoom: (bytes) => space.hasRoomForGc(bytes),
      isGateOpen: () => gate.isOpen,
      gateOpened: async () => new Promise((resolve) => gate.whenOpen(resolve)),
      noteChange: () => parts.noteChange(),
      commit: async () => parts.commit(),
    });
    this.#schedule = new GcSchedule(this.#collector, {
      log,
      threshold: () => parts.settings.gcThreshold,
      mayChange: () => parts.mayChange(),
    });
  }

  get activity(): GcActivity {
    const { arenasRemoved, bytesMoved, bytesFreed, progress } = this.#collector.record;
    return { arenasRemoved, bytesMoved, bytesFreed, progress };
  }

  /** @param threshold absent: the setting */
  plan(threshold = this.#parts.settings.gcThreshold): GcPlan {
    return this.#collector.plan(threshold);
  }

  /** Gives back first what removed files still hold. */
  async run(options: GcOptions): Promise<GcReport> {
    const { threshold = this.#parts.settings.gcThreshold, onProgress, signal } = options;
    const isCancelled = (): boolean => signal?.aborted === true;
    await this.#parts.orphans.reclaimAll(async () => this.#parts.commit(), isCancelled);
    // One that began by itself: this one has its own threshold, and tells how far it is.
    await this.interrupt();
    return this.#collector.run({
      liveShareMin: threshold,
      isCancelled,
      ...(onProgress === undefined ? {} : { onProgress }),
    });
  }

  /** Runs by itself from now on, when it is worthwhile. */
  start(): void {
    this.#schedule.start();
  }

  /** Ends a run under way at its next slice; whatever it did stays valid. */
  async interrupt(): Promise<void> {
    await this.#schedule.interrupt();
  }

  stop(): void {
    this.#schedule.stop();
  }
}
