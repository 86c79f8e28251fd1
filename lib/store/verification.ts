// The part of an open store that looks for damage and repairs it: quarantine, scrub, heal, and the
// list of files that are hit.

import type { BlockStore } from '../blockstore/block-store.ts';
import type { Logger } from '../log.ts';
import { DamageRegister } from '../maintenance/damage.ts';
import { findDamagedFiles, type DamageReport } from '../maintenance/damaged-files.ts';
import { FileDamageLog } from '../maintenance/file-damage-log.ts';
import { heal, type HealReport, type HealRequest } from '../maintenance/heal.ts';
import {
  Scrubber,
  type ScrubProgress,
  type ScrubReport,
  type ScrubRequest,
} from '../maintenance/scrub.ts';
import { loadScrubState, type ScrubOutcome } from '../maintenance/scrub-state.ts';
import type { Metastore } from '../metastore/metastore.ts';
import type { DataPath } from './data-path.ts';
import { ScrubSchedule, type ScrubScheduleOptions } from './scrub-schedule.ts';

export interface VerificationParts {
  readonly storePath: string;
  readonly metastore: Metastore;
  readonly blockStore: BlockStore;
  readonly log: Logger;
  readonly chunkBytesMax: number;
  readonly settings: ScrubScheduleOptions['settings'];
  /** Nobody waits for answers of this process. */
  readonly isAlone: boolean;
  /** Where this store is mounted: nothing is read from there. */
  readonly mountpoint: string | undefined;
  /** Asked when it is needed: it is built after this. */
  dataPath(): DataPath;
  readonly gate: { readonly isOpen: boolean; whenOpen(callback: () => void): void };
  /** Announces a change; false: none may be made. */
  tryChange(): boolean;
  /** Whether the store takes changes. */
  mayChange(): boolean;
  /** Whether the host has room for so many bytes more. */
  hasRoom(bytes: number): boolean;
  commit(): Promise<void>;
}

export class Verification {
  readonly damage: DamageRegister;
  readonly fileDamage: FileDamageLog;
  readonly #parts: VerificationParts;
  #scrubber: Scrubber | undefined;
  #schedule: ScrubSchedule | undefined;

  constructor(parts: VerificationParts) {
    this.#parts = parts;
    const { metastore, blockStore, log, gate } = parts;
    this.damage = new DamageRegister({
      metastore,
      blockStore,
      log,
      tryChange: () => parts.tryChange(),
      isGateOpen: () => gate.isOpen,
      whenGateOpen: (callback) => gate.whenOpen(callback),
      readChunk: (chunk) => parts.dataPath().reader.read(chunk),
    });
    this.fileDamage = new FileDamageLog(metastore, log);
  }

  get #scrub(): Scrubber {
    const { metastore, blockStore, log, gate } = this.#parts;
    this.#scrubber ??= new Scrubber({
      metastore,
      blockStore,
      log,
      isAlone: this.#parts.isAlone,
      hash: this.#parts.dataPath().hash,
      damage: this.damage,
      isGateOpen: () => gate.isOpen,
      gateOpened: async () => new Promise((resolve) => gate.whenOpen(resolve)),
      tryChange: () => this.#parts.tryChange(),
      commit: async () => this.#commit(),
    });
    return this.#scrubber;
  }

  /** Scrubs by itself from now on, when it is due. */
  start(): void {
    const { metastore, log, settings } = this.#parts;
    this.#schedule = new ScrubSchedule(this.#scrub, {
      settings,
      log,
      bornMs: this.bornMs,
      loadState: () => loadScrubState(metastore),
      mayChange: () => this.#parts.mayChange(),
    });
    this.#schedule.start();
  }

  async scrub(request: ScrubRequest): Promise<ScrubReport> {
    return this.#scrub.run(request);
  }

  /** When the store was made. */
  get bornMs(): number {
    return (this.#parts.metastore.inodes.get(1)?.btimeSec ?? 0) * 1000;
  }

  /** Of the scrub under way. */
  get scrubProgress(): ScrubProgress | undefined {
    return this.#scrubber?.progress;
  }

  get lastScrub(): ScrubOutcome | undefined {
    return loadScrubState(this.#parts.metastore).last;
  }

  async listDamage(options: { afterIno?: number; filesMax?: number }): Promise<DamageReport> {
    await this.#commit();
    return findDamagedFiles(this.#parts.metastore, options);
  }

  /** @throws UserError USAGE  the tree lies in this mount, or cannot be read */
  async heal(request: HealRequest): Promise<HealReport> {
    const { metastore, gate, chunkBytesMax, mountpoint, storePath } = this.#parts;
    const { ingest, contentIngest } = this.#parts.dataPath();
    return heal(
      {
        metastore,
        ingest,
        chunkBytesMax,
        excluded: [storePath, ...(mountpoint === undefined ? [] : [mountpoint])],
        isGateOpen: () => gate.isOpen,
        gateOpened: async () => new Promise((resolve) => gate.whenOpen(resolve)),
        tryChange: () => this.#parts.tryChange(),
        hasRoom: (bytes) => this.#parts.hasRoom(bytes),
        jobDone: () => contentIngest.proceed(),
        commit: async () => this.#commit(),
      },
      request,
    );
  }

  /** A store that takes no changes any more can still be read. */
  async #commit(): Promise<void> {
    if (this.#parts.mayChange()) await this.#parts.commit();
  }

  /** Ends what began by itself at its next slice; whatever it did stays valid. */
  async stop(): Promise<void> {
    this.#schedule?.stop();
    await this.fileDamage.stop();
    await this.#scrubber?.interrupt();
    await this.damage.stop();
  }
}
