// What was found bad at rest, on its way into quarantine (G6): the one place that takes it there,
// whoever found it (a read, gc, scrub).
//
// A chunk is quarantined inside a batch, so it waits for the gate. Of a pack that cannot be told
// anything about, or that does not hold what the index says, the chunks have to be searched: the
// index leads from chunks to packs only. This "sweep" walks all chunk rows in slices, for as many
// suspicious packs as have come together.

import { setImmediate } from 'node:timers/promises';
import type { BlockStore } from '../blockstore/block-store.ts';
import { Pack } from '../blockstore/pack.ts';
import type { ChunkId, DamageListener } from '../dedup/chunk-index.ts';
import { CorruptionError, describeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { ranges } from './checks/paging.ts';

/** Bound on chunks that wait for the gate; what is dropped is found again when it is read. */
const WAITING_MAX = 64 * 1024;
/** Packs that one walk over the chunk rows looks for. */
const PACKS_PER_SWEEP = 2048;
/** Lines for chunks in the log; the rest is counted. A lost arena has thousands. */
const LINES_PER_MINUTE_MAX = 100;

export interface DamageParts {
  readonly metastore: Metastore;
  readonly blockStore: BlockStore;
  readonly log: Logger;
  /** Announces a change; false: none may be made, and what is bad stays as it is. */
  tryChange(): boolean;
  isGateOpen(): boolean;
  whenGateOpen(callback: () => void): void;
  /** Reads a chunk and reports what is bad. @throws CorruptionError */
  readChunk(chunk: ChunkId): unknown;
}

interface DamagedPlace {
  readonly packId: number;
  readonly index: number;
  readonly cause: Error;
}

type Row = [chunk: ChunkId, packId: number, index: number];

export class DamageRegister implements DamageListener {
  readonly #parts: DamageParts;
  readonly #waiting = new Map<ChunkId, DamagedPlace>();
  readonly #suspects = new Set<number>();
  #sweeping: Promise<void> | undefined;
  #isStopped = false;
  readonly #lines = { minute: 0, count: 0, omitted: 0 };

  constructor(parts: DamageParts) {
    this.#parts = parts;
  }

  chunkDamaged(
    chunk: ChunkId,
    place: { readonly packId: number; readonly index: number },
    cause: Error,
  ): void {
    if (isSystemError(cause) || this.#waiting.size >= WAITING_MAX) return;
    const isFirst = this.#waiting.size === 0;
    this.#waiting.set(chunk, { ...place, cause });
    if (isFirst) this.#parts.whenGateOpen(() => this.#quarantine());
  }

  packDamaged(packId: number, cause: Error): void {
    if (isSystemError(cause)) return;
    if (this.#isStopped || this.#suspects.has(packId)) return;
    this.#suspects.add(packId);
    this.#parts.log.error({ pack: packId, reason: describeError(cause) }, 'a pack is suspicious');
    this.settle().catch((error: unknown) => {
      this.#parts.log.error({ err: error }, 'the chunks of a damaged pack could not be searched');
    });
  }

  #quarantine(): void {
    const { metastore, blockStore } = this.#parts;
    // A disk that is not mounted below the store is no damage.
    if (blockStore.arenaIds().length === 0) this.#waiting.clear();
    for (const [chunk, place] of this.#waiting) {
      if (!this.#parts.tryChange()) break;
      if (metastore.chunks.quarantine(chunk, place)) this.#note(chunk, place);
    }
    this.#waiting.clear();
  }

  #note(chunk: ChunkId, { packId, index, cause }: DamagedPlace): void {
    const lines = this.#lines;
    const minute = Math.floor(performance.now() / 60_000);
    if (minute !== lines.minute) Object.assign(lines, { minute, count: 0 });
    lines.count += 1;
    if (lines.count > LINES_PER_MINUTE_MAX) {
      lines.omitted += 1;
      return;
    }
    const { omitted } = lines;
    lines.omitted = 0;
    const where = { chunk, pack: packId, index, reason: describeError(cause), omitted };
    this.#parts.log.error(
      where,
      'a chunk is damaged; its files give EIO until its content comes again',
    );
  }

  /** Resolves when everything reported so far is in quarantine, in the batch under way. */
  async settle(): Promise<void> {
    while (this.#suspects.size > 0 && !this.#isStopped) {
      this.#sweeping ??= this.#sweep().finally(() => (this.#sweeping = undefined));
      await this.#sweeping;
    }
    await this.#quarantined();
  }

  async #quarantined(): Promise<void> {
    while (this.#waiting.size > 0) {
      await new Promise<void>((resolve) => this.#parts.whenGateOpen(resolve));
      // The chunks were waiting first, unless a commit began again right away.
      if (this.#parts.isGateOpen()) this.#quarantine();
    }
  }

  /** Ends a search under way at its next slice. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#sweeping?.catch(() => undefined);
  }

  async #sweep(): Promise<void> {
    const suspects = [...this.#suspects];
    const broken = new Map<number, Error>();
    for (const packId of suspects) {
      await setImmediate();
      if (this.#isStopped) return;
      if (!broken.has(packId)) this.#examine(packId, broken);
    }
    const all = [...new Set([...suspects, ...broken.keys()])];
    for (let first = 0; first < all.length && !this.#isStopped; first += PACKS_PER_SWEEP) {
      await this.#sweepChunks(all.slice(first, first + PACKS_PER_SWEEP), broken);
    }
    for (const packId of all) this.#suspects.delete(packId);
  }

  /** Tells whether the pack as a whole is lost; with its arena, all others in there are as well. */
  #examine(packId: number, broken: Map<number, Error>): void {
    const { metastore, blockStore } = this.#parts;
    let arena: number | undefined;
    try {
      arena = metastore.packs.arenaOf(packId);
      blockStore.arena(arena);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      broken.set(packId, error);
      if (arena === undefined) return;
      for (const id of packsOf(metastore, arena)) broken.set(id, error);
      return;
    }
    try {
      void new Pack(blockStore.read(arena, packId), packId);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      broken.set(packId, error);
    }
  }

  async #sweepChunks(
    packIds: readonly number[],
    broken: ReadonlyMap<number, Error>,
  ): Promise<void> {
    const { connection } = this.#parts.metastore.database;
    const select = connection
      .prepare(
        `SELECT id, pack, idx FROM chunk WHERE id > ? AND id <= ? AND h IS NOT NULL
         AND pack IN (SELECT value FROM json_each(?))`,
      )
      .raw();
    const wanted = JSON.stringify(packIds);
    const walk = { connection, progress: () => undefined, turn: async () => setImmediate() };
    for await (const { after, upTo } of ranges(walk, 'chunk')) {
      if (this.#isStopped) return;
      for (const row of select.all(after, upTo, wanted) as Row[]) {
        this.#check(row, broken);
        if (this.#waiting.size >= WAITING_MAX / 2) await this.#quarantined();
      }
    }
    await this.#quarantined();
  }

  #check([chunk, packId, index]: Row, broken: ReadonlyMap<number, Error>): void {
    const cause = broken.get(packId);
    if (cause !== undefined) {
      this.chunkDamaged(chunk, { packId, index }, cause);
      return;
    }
    try {
      this.#parts.readChunk(chunk);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
    }
  }
}

/** The host could not read, for now: it may be well again, so this is no damage at rest. */
export function isSystemError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall !== undefined && code !== 'ENOENT') return true;
  return isSystemError(error.cause);
}

function packsOf(metastore: Metastore, arena: number): number[] {
  return metastore.packs.list(arena, -1, Number.MAX_SAFE_INTEGER).map(({ id }) => id);
}
