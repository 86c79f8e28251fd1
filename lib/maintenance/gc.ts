// Gives space back: moves what is live out of mostly dead arenas and removes their files.
//
// Order (I1, I2), for each arena: seal it if packs still go there -> commit, so that every row is up
// to date -> move its live chunks into new packs, in slices between requests -> commit: the new packs
// and rows are durable -> drop the arena's rows -> commit -> unlink. A crash anywhere leaves either
// the old place valid or a file without a row, which the next mount removes.

import { expectDefined } from '../assert.ts';
import type { BlockStore } from '../blockstore/block-store.ts';
import type { PackEntry } from '../blockstore/directory.ts';
import { shareStoredBytes, type Frame } from '../blockstore/frame.ts';
import { Pack } from '../blockstore/pack.ts';
import type { KeyedHash } from '../blake3.ts';
import type { ChunkId } from '../dedup/chunk-index.ts';
import { compressFrame, decompress, type CodedCompressor } from '../dedup/codec.ts';
import type { PackWriter } from '../dedup/pack-writer.ts';
import { CorruptionError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { ArenaState } from '../metastore/packs.ts';
import { planGc, type GcPlan, type PlannedArena } from './gc-plan.ts';

/** Packs looked at before requests get their turn again: at 512 KiB each, some milliseconds. */
const PACKS_PER_SLICE = 1;

interface LiveChunk {
  readonly chunk: ChunkId;
  readonly entry: PackEntry;
  /** In its frame. */
  readonly position: number;
}

export interface GcParts {
  readonly metastore: Metastore;
  readonly blockStore: BlockStore;
  readonly packWriter: PackWriter;
  readonly hash: KeyedHash;
  /** For frames that have lost some of their chunks. */
  readonly compressor: CodedCompressor;
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
  readonly plan: GcPlan;
  readonly arenasRemoved: number;
  readonly bytesMoved: number;
  readonly bytesFreed: number;
}

export class GarbageCollector {
  readonly #parts: GcParts;
  #running: Promise<GcReport> | undefined;

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
    }
  }

  async #run(request: GcRequest): Promise<GcReport> {
    await this.#parts.commit();
    const plan = this.plan(request.liveShareMin);
    const progress = { moved: 0, freed: 0, removed: 0 };
    // The emptiest first: they give most back for what they need.
    const leaving = plan.arenas
      .filter((arena) => arena.action !== 'keep')
      .sort((left, right) => left.liveBytes - right.liveBytes);
    // All at first, so that nothing moves into an arena that is emptied later in this run.
    for (const { arena } of leaving) await this.#seal(arena);
    await this.#parts.commit();
    for (const arena of leaving) {
      if (request.isCancelled?.() === true) break;
      if (!this.#parts.hasRoom(arena.liveBytes)) {
        this.#parts.log.warn({ ...arena }, 'gc keeps an arena: no room to move what is live in it');
        continue;
      }
      await this.#evacuate(arena, plan, progress, request);
    }
    return {
      plan,
      arenasRemoved: progress.removed,
      bytesMoved: progress.moved,
      bytesFreed: Math.max(0, progress.freed - progress.moved),
    };
  }

  async #evacuate(
    planned: PlannedArena,
    plan: GcPlan,
    progress: { moved: number; freed: number; removed: number },
    request: GcRequest,
  ): Promise<void> {
    const { metastore, blockStore, log } = this.#parts;
    let after = 0;
    for (;;) {
      const packs = metastore.packs.list(planned.arena, after, PACKS_PER_SLICE);
      const last = packs.at(-1);
      if (last === undefined) break;
      if (request.isCancelled?.() === true) return;
      after = last.id;
      const live = packs.filter((pack) => pack.nlive > 0).map((pack) => pack.id);
      if (live.length > 0) progress.moved += await this.#moveSlice(planned.arena, live);
      request.onProgress?.({ bytesDone: progress.moved, bytesTotal: plan.bytesToMove });
      await new Promise((resolve) => setImmediate(resolve));
    }
    await this.#parts.commit();
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
    log.info({ arena: planned.arena, bytes }, 'gc removed an arena');
  }

  async #seal(arena: number): Promise<void> {
    const { metastore, blockStore } = this.#parts;
    if (metastore.packs.arena(arena)?.state !== ArenaState.CURRENT) return;
    while (!this.#parts.isGateOpen()) await this.#parts.gateOpened();
    this.#parts.noteChange();
    metastore.packs.sealArena(arena);
    if (blockStore.currentArena === arena) blockStore.seal();
  }

  /** Moves the live chunks of some packs; returns their stored bytes. */
  async #moveSlice(arena: number, packIds: readonly number[]): Promise<number> {
    await this.#parts.packWriter.room();
    this.#parts.packWriter.assertPutting();
    while (!this.#parts.isGateOpen()) await this.#parts.gateOpened();
    this.#parts.noteChange();
    let bytes = 0;
    for (const packId of packIds) bytes += this.#movePack(arena, packId);
    return bytes;
  }

  #movePack(arena: number, packId: number): number {
    const { blockStore, log } = this.#parts;
    let bytes = 0;
    try {
      const pack = new Pack(blockStore.read(arena, packId), packId);
      let index = 0;
      while (index < pack.header.count) {
        const frame = pack.frameOf(index);
        bytes += this.#moveFrame(packId, frame);
        index += frame.entries.length;
      }
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      log.error({ err: error, arena, pack: packId }, 'gc met damage; the pack stays where it is');
    }
    return bytes;
  }

  /**
   * Moves what is live of a frame: as it is when that is all of it, else compressed anew.
   * @throws CorruptionError  it is damaged: it must not be given a new, unbroken home
   */
  #moveFrame(packId: number, frame: Frame): number {
    const { metastore, packWriter, compressor } = this.#parts;
    const live: LiveChunk[] = [];
    frame.entries.forEach((entry, position) => {
      const chunk = metastore.chunks.at(entry.fingerprint, packId, frame.first + position);
      if (chunk !== undefined) live.push({ chunk, entry, position });
    });
    if (live.length === 0) return 0;
    const plains = this.#verify(frame, live);
    const isWhole = live.length === frame.entries.length;
    const content = isWhole ? frame : compressFrame(plains, compressor);
    const place = packWriter.append({
      chunks: live.map(({ entry, chunk }) => ({ ...entry, chunk })),
      codec: content.codec,
      stored: content.stored,
    });
    const plainBytes = live.map(({ entry }) => entry.plainBytes);
    const shares = shareStoredBytes(plainBytes, content.stored.length);
    live.forEach(({ chunk }, position) => {
      const storedBytes = expectDefined(shares[position], 'share');
      metastore.chunks.place(chunk, {
        packId: place.packId,
        index: place.index + position,
        storedBytes,
      });
    });
    return content.stored.length;
  }

  #verify(frame: Frame, live: readonly LiveChunk[]): Buffer[] {
    const plain = decompress(frame.stored, frame.codec, frame.plainBytes);
    return live.map(({ chunk, entry, position }) => {
      let offset = 0;
      for (const before of frame.entries.slice(0, position)) offset += before.plainBytes;
      const bytes = plain.subarray(offset, offset + entry.plainBytes);
      if (!this.#parts.hash.digest(bytes).equals(entry.fingerprint)) {
        throw new CorruptionError(`chunk ${chunk} does not match its fingerprint`);
      }
      return bytes;
    });
  }
}
