// Gives space back: moves what is live out of mostly dead arenas and removes their files.
//
// Order (I1, I2), for each arena: seal it if packs still go there -> commit, so that every row is up
// to date -> move its live chunks into new packs, in slices between requests -> commit: the new packs
// and rows are durable -> drop the arena's rows -> commit -> unlink. A crash anywhere leaves either
// the old place valid or a file without a row, which the next mount removes.
//
// Each chunk is verified before it moves. One that is bad is quarantined instead and then counts as
// dead, so that damage does not pin an arena. But a file whose tree is damaged is kept, however little
// in it can be reached: `fsck --repair` finds the packs in it without the tree (arena-salvage.ts).

import { existsSync } from 'node:fs';
import { expectDefined } from '../assert.ts';
import { arenaFileDefect } from '../blockstore/arena-file.ts';
import type { BlockStore } from '../blockstore/block-store.ts';
import { shareStoredBytes, type Frame } from '../blockstore/frame.ts';
import { Pack } from '../blockstore/pack.ts';
import type { KeyedHash } from '../blake3.ts';
import { compressFrame, type CodedCompressor } from '../dedup/codec.ts';
import type { PackWriter } from '../dedup/pack-writer.ts';
import { CorruptionError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { ArenaState } from '../metastore/packs.ts';
import type { DamageRegister } from './damage.ts';
import { planGc, type GcPlan, type PlannedArena } from './gc-plan.ts';
import { GcRecord } from './gc-record.ts';
import { verifiedLive, type LiveChunk } from './live-chunks.ts';
import { Survivors } from './survivors.ts';

/** Packs looked at before requests get their turn again: at 512 KiB each, some milliseconds. */
const PACKS_PER_SLICE = 1;
/** Rows of packs read at once. */
const PACKS_PER_LOOK = 1024;

export interface GcParts {
  readonly metastore: Metastore;
  readonly blockStore: BlockStore;
  readonly packWriter: PackWriter;
  readonly hash: KeyedHash;
  readonly damage: DamageRegister;
  /** For frames that have lost some of their chunks. */
  readonly compression: { readonly compressor: CodedCompressor };
  readonly log: Logger;
  /** Whether the host has room for so many bytes more. */
  hasRoom(bytes: number): boolean;
  /** Changes are allowed while it is, to be asked right before each, without an await between. */
  isGateOpen(): boolean;
  gateOpened(): Promise<void>;
  /** To be called before each change. */
  noteChange(): void;
  commit(): Promise<void>;
}

export interface GcRequest {
  readonly liveShareMin?: number | undefined;
  onProgress?(progress: { readonly bytesDone: number; readonly bytesTotal: number }): void;
  /** Asked between slices; true ends the run early, leaving everything valid. */
  isCancelled?(): boolean;
}

export interface GcReport {
  /** False: it was cancelled; what was moved stays moved. */
  readonly isComplete: boolean;
  readonly plan: GcPlan;
  readonly arenasRemoved: number;
  /** An arena was kept for lack of room to move what is live in it. */
  readonly lackedRoom: boolean;
  readonly bytesMoved: number;
  readonly bytesFreed: number;
}

export class GarbageCollector {
  readonly #parts: GcParts;
  #running: Promise<GcReport> | undefined;
  readonly record = new GcRecord();
  /** Damaged arenas that the log has been told of. */
  readonly #told = new Set<number>();

  constructor(parts: GcParts) {
    this.#parts = parts;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  plan(liveShareMin?: number): GcPlan {
    const { metastore, blockStore } = this.#parts;
    const sized = metastore.packs.arenas().map((row) => ({
      ...row,
      live: row.live + row.unsettled,
      hostBytes: blockStore.arenaBytes(row.id),
    }));
    return planGc(sized, liveShareMin);
  }

  /** One run at a time: a second caller gets the first run's report. */
  async run(request: GcRequest = {}): Promise<GcReport> {
    if (this.#running !== undefined) return this.#running;
    this.#running = this.#run(request);
    try {
      return await this.#running;
    } finally {
      this.#running = undefined;
      this.record.progress = null;
    }
  }

  async #run(request: GcRequest): Promise<GcReport> {
    await this.#parts.commit();
    const plan = this.plan(request.liveShareMin);
    const progress = { moved: 0, freed: 0, removed: 0 };
    let lackedRoom = false;
    // The emptiest first: they give most back for what they need.
    const leaving = plan.arenas
      .filter((arena) => arena.action !== 'keep')
      .sort((left, right) => left.liveBytes - right.liveBytes);
    // All at first, so that nothing moves into an arena that is emptied later in this run.
    for (const { arena } of leaving) await this.#seal(arena);
    await this.#parts.commit();
    for (const arena of leaving) {
      if (request.isCancelled?.() === true) break;
      if (this.#isSalvageable(arena.arena)) continue;
      if (!this.#parts.hasRoom(arena.liveBytes)) {
        lackedRoom = true;
        this.#parts.log.debug(
          { ...arena },
          'gc keeps an arena: no room to move what is live in it',
        );
        continue;
      }
      await this.#evacuate(arena, plan, progress, request);
    }
    return {
      isComplete: request.isCancelled?.() !== true,
      plan,
      arenasRemoved: progress.removed,
      lackedRoom,
      bytesMoved: progress.moved,
      bytesFreed: Math.max(0, progress.freed - progress.moved),
    };
  }

  /** Whether what cannot be reached in the arena may be all there. */
  #isSalvageable(arena: number): boolean {
    const { blockStore, log } = this.#parts;
    const path = blockStore.path(arena);
    const reason = existsSync(path) ? arenaFileDefect(path) : undefined;
    if (reason !== undefined && !this.#told.has(arena)) {
      this.#told.add(arena);
      log.error({ arena, reason }, 'gc keeps a damaged arena: fsck --repair salvages its packs');
    }
    return reason !== undefined;
  }

  async #evacuate(
    planned: PlannedArena,
    plan: GcPlan,
    progress: { moved: number; freed: number; removed: number },
    request: GcRequest,
  ): Promise<void> {
    const { metastore, blockStore, log } = this.#parts;
    const survivors = new Survivors();
    let after = -1;
    for (;;) {
      const packs = metastore.packs.list(planned.arena, after, PACKS_PER_SLICE);
      const last = packs.at(-1);
      if (last === undefined) break;
      if (request.isCancelled?.() === true) return;
      after = last.id;
      const live = packs.filter((pack) => pack.nlive > 0).map((pack) => pack.id);
      const moved = live.length > 0 ? await this.#moveSlice(planned.arena, live, survivors) : 0;
      this.#noteMoved(progress, moved);
      this.record.progress = { bytesDone: progress.moved, bytesTotal: plan.bytesToMove };
      request.onProgress?.(this.record.progress);
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (!survivors.isEmpty) {
      await this.#beginSlice();
      this.#noteMoved(progress, this.#moveSurvivors(survivors));
    }
    await this.#giveUpDamaged(planned.arena);
    const left = metastore.packs.arena(planned.arena)?.live ?? 0;
    if (left > 0) {
      log.error({ arena: planned.arena, liveBytes: left }, 'gc keeps an arena it could not empty');
      return;
    }
    const bytes = blockStore.arenaBytes(planned.arena);
    while (!this.#parts.isGateOpen()) await this.#parts.gateOpened();
    this.#parts.noteChange();
    metastore.packs.deleteArena(planned.arena);
    await this.#parts.commit();
    await blockStore.remove(planned.arena);
    progress.freed += bytes;
    progress.removed += 1;
    this.record.bytesFreed += bytes;
    this.record.arenasRemoved += 1;
    log.info({ arena: planned.arena, bytes }, 'gc removed an arena');
  }

  #noteMoved(progress: { moved: number }, bytes: number): void {
    progress.moved += bytes;
    this.record.bytesMoved += bytes;
  }

  /** What is still live in the arena could not be found there: it is damaged, or its row is. */
  async #giveUpDamaged(arena: number): Promise<void> {
    const { metastore, damage } = this.#parts;
    await damage.settle();
    await this.#parts.commit();
    if ((metastore.packs.arena(arena)?.live ?? 0) === 0) return;
    for (let after = -1; ;) {
      const packs = metastore.packs.list(arena, after, PACKS_PER_LOOK);
      for (const { id } of packs.filter(({ nlive }) => nlive > 0)) {
        damage.packDamaged(id, new CorruptionError('gc did not find all its live chunks'));
      }
      const last = packs.at(-1);
      if (last === undefined) break;
      after = last.id;
    }
    await damage.settle();
    await this.#parts.commit();
  }

  async #seal(arena: number): Promise<void> {
    const { metastore, blockStore } = this.#parts;
    if (metastore.packs.arena(arena)?.state !== ArenaState.CURRENT) return;
    while (!this.#parts.isGateOpen()) await this.#parts.gateOpened();
    this.#parts.noteChange();
    metastore.packs.sealArena(arena);
    if (blockStore.currentArena === arena) blockStore.seal();
  }

  /**
   * Moves the live chunks of some packs; returns their stored bytes. What frames that are no longer whole
   * have left may stay among the survivors, for a later slice to move.
   */
  async #moveSlice(
    arena: number,
    packIds: readonly number[],
    survivors: Survivors,
  ): Promise<number> {
    await this.#beginSlice();
    let bytes = 0;
    for (const packId of packIds) bytes += this.#movePack(arena, packId, survivors);
    return bytes;
  }

  async #beginSlice(): Promise<void> {
    await this.#parts.packWriter.room();
    this.#parts.packWriter.assertPutting();
    while (!this.#parts.isGateOpen()) await this.#parts.gateOpened();
    this.#parts.noteChange();
  }

  #movePack(arena: number, packId: number, survivors: Survivors): number {
    const { blockStore, damage } = this.#parts;
    let bytes = 0;
    try {
      const pack = new Pack(blockStore.read(arena, packId), packId);
      let index = 0;
      while (index < pack.header.count) {
        const frame = pack.frameOf(index);
        bytes += this.#moveFrame(packId, frame, survivors);
        index += frame.entries.length;
      }
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      damage.packDamaged(packId, error);
    }
    return bytes;
  }

  /** Moves a frame as it is when all of it is live; what is left of another joins the survivors. */
  #moveFrame(packId: number, frame: Frame, survivors: Survivors): number {
    const live = verifiedLive(this.#parts, packId, frame);
    if (live.length === frame.entries.length) return this.#append(live, frame);
    let bytes = 0;
    for (const one of live) {
      if (!survivors.fits(one.plain.length)) bytes += this.#moveSurvivors(survivors);
      survivors.add({ ...one, packId });
    }
    return bytes;
  }

  /** Moves those that are still where they were found. */
  #moveSurvivors(survivors: Survivors): number {
    const { metastore, compression } = this.#parts;
    const live = survivors.take().filter(({ chunk, entry, packId, index }) => {
      return metastore.chunks.at(entry.fingerprint, packId, index) === chunk;
    });
    if (live.length === 0) return 0;
    const plains = live.map(({ plain }) => plain);
    return this.#append(live, compressFrame(plains, compression.compressor));
  }

  #append(
    live: readonly Pick<LiveChunk, 'chunk' | 'entry'>[],
    { codec, stored }: Pick<Frame, 'codec' | 'stored'>,
  ): number {
    const chunks = live.map(({ entry, chunk }) => ({ ...entry, chunk }));
    const place = this.#parts.packWriter.append({ chunks, codec, stored });
    this.#place(live, place, stored.length);
    return stored.length;
  }

  #place(
    live: readonly Pick<LiveChunk, 'chunk' | 'entry'>[],
    { packId, index }: { readonly packId: number; readonly index: number },
    bytes: number,
  ): void {
    const plainBytes = live.map(({ entry }) => entry.plainBytes);
    const shares = shareStoredBytes(plainBytes, bytes);
    live.forEach(({ chunk }, position) => {
      const storedBytes = expectDefined(shares[position], 'share');
      this.#parts.metastore.chunks.place(chunk, { packId, index: index + position, storedBytes });
    });
  }
}
