// Rebuilds the rows of chunks, packs and arenas from the arenas alone.
//
// Which chunks are needed is what the extent maps say (I5). Where they are is what the packs say: every
// pack is read, each frame with a needed chunk decoded, each such chunk compared with its
// fingerprint; the newest valid record wins. A chunk without one is quarantined: it reads as EIO until
// the same content is written again. Chunks that no extent names get no row; gc removes them.
//
// A record's chunk is known by the id beside it. Packs of version 1 have none: theirs are matched by
// fingerprint with the rows that are still readable; so are records whose id nothing needs, because
// the content may have been stored again under another id.
//
// Everything collected lies in tables of the database itself (rebuild-tables.ts): memory stays bounded.

import { setImmediate } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import type { KeyedHash } from '../blake3.ts';
import { arenaFileDefect } from '../blockstore/arena-file.ts';
import type { BlockStore } from '../blockstore/block-store.ts';
import type { Frame } from '../blockstore/frame.ts';
import { Pack } from '../blockstore/pack.ts';
import { decompress } from '../dedup/codec.ts';
import { CorruptionError, describeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { explainDamage } from '../metastore/checked-database.ts';
import { loadCounters, saveCounters } from '../metastore/counters.ts';
import { RecordKind, RebuildTables } from './rebuild-tables.ts';

/** Keys taken from an arena at a time. */
const PACKS_PER_PAGE = 512;

export interface RebuildIndexContext {
  /** The metastore's, with a batch open on it; the caller commits it. No Metastore may be in use over it. */
  readonly connection: Database.Database;
  readonly blockStore: BlockStore;
  readonly hash: KeyedHash;
  readonly log: Logger;
  /** What it throws ends the rebuild. */
  onProgress?(progress: { readonly bytesDone: number; readonly bytesTotal: number }): void;
}

export interface RebuildIndexReport {
  /** Arenas that could be read. */
  readonly arenas: number;
  /** Those that could not, or not to their end. */
  readonly arenasDamaged: readonly number[];
  readonly packs: number;
  /** Packs whose header or directory is damaged. */
  readonly packsDamaged: number;
  /** Chunks with a record. */
  readonly chunks: number;
  /** Chunks that extents name and that have no valid record anywhere: quarantined, they read as EIO. */
  readonly chunksQuarantined: number;
  /** Rows of fmap that cannot be decoded; what they name is not counted. */
  readonly mapsDamaged: number;
  /**
   * A table could not be read and was left out of the schema instead of emptied: its pages stay in the
   * file, used by nothing, until the database is written anew (VACUUM INTO).
   */
  readonly hasLostPages: boolean;
}

/**
 * @throws CorruptionError  the extent maps or the counters cannot be read
 * @throws Error from SQLite and LMDB
 */
export async function rebuildIndex(context: RebuildIndexContext): Promise<RebuildIndexReport> {
  try {
    return await new IndexRebuild(context).run();
  } catch (error) {
    throw explainDamage(context.connection, error);
  }
}

class IndexRebuild {
  readonly #context: RebuildIndexContext;
  readonly #tables: RebuildTables;
  readonly #damagedArenas: number[] = [];
  #packs = 0;
  #damagedPacks = 0;
  readonly #highest = { chunk: 0, pack: 0, arena: 0, batch: 0 };

  constructor(context: RebuildIndexContext) {
    this.#context = context;
    this.#tables = new RebuildTables(context.connection);
  }

  async run(): Promise<RebuildIndexReport> {
    const tables = this.#tables;
    tables.create();
    const before = loadCounters(this.#context.connection);
    await tables.collectKnown(before.nextChunk);
    const { mapsDamaged, chunkMax } = await tables.collectNamed();
    this.#highest.chunk = chunkMax;
    await this.#readArenas();
    const hasLostPages = tables.empty();
    const totals = await tables.fill();
    this.#saveCounters(totals);
    tables.drop();
    return {
      arenas: this.#context.blockStore.arenaIds().length - this.#damagedArenas.length,
      arenasDamaged: this.#damagedArenas,
      packs: this.#packs,
      packsDamaged: this.#damagedPacks,
      chunks: totals.chunks - totals.quarantined,
      chunksQuarantined: totals.quarantined,
      mapsDamaged,
      hasLostPages,
    };
  }

  async #readArenas(): Promise<void> {
    const { blockStore, log } = this.#context;
    const arenas = blockStore.arenaIds();
    const sizes = arenas.map((id) => blockStore.arenaBytes(id));
    const bytesTotal = sizes.reduce((sum, bytes) => sum + bytes, 0);
    let bytesDone = 0;
    for (const [index, arena] of arenas.entries()) {
      this.#highest.arena = Math.max(this.#highest.arena, arena);
      this.#tables.addArena(arena);
      try {
        await this.#readArena(arena, (bytes) => {
          this.#context.onProgress?.({ bytesDone: bytesDone + bytes, bytesTotal });
        });
      } catch (error) {
        if (!isArenaDamage(error)) throw error;
        this.#damagedArenas.push(arena);
        log.error({ err: error, arena }, 'an arena cannot be read to its end');
      }
      bytesDone += sizes[index] ?? 0;
    }
  }

  async #readArena(arena: number, onBytes: (bytes: number) => void): Promise<void> {
    const { blockStore } = this.#context;
    const defect = arenaFileDefect(blockStore.path(arena));
    if (defect !== undefined) throw new CorruptionError(`arena ${arena}: ${defect}`);
    let from = 0;
    let bytes = 0;
    for (;;) {
      const packs = packsFrom(blockStore, arena, from);
      for (const packId of packs) {
        bytes += this.#readPack(arena, packId);
        onBytes(bytes);
        await setImmediate();
      }
      const last = packs.at(-1);
      if (last === undefined) return;
      from = last + 1;
    }
  }

  /** Synchronous: the pack's bytes are a short-lived view. Returns their number. */
  #readPack(arena: number, packId: number): number {
    const { blockStore, log } = this.#context;
    this.#highest.pack = Math.max(this.#highest.pack, packId);
    this.#packs += 1;
    let pack: Pack;
    let bytes: Buffer;
    try {
      bytes = blockStore.read(arena, packId);
      pack = new Pack(bytes, packId);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      this.#damagedPacks += 1;
      this.#tables.addDamagedPack(packId, arena);
      log.error({ err: error, arena, pack: packId }, 'a pack is damaged');
      return 0;
    }
    this.#highest.batch = Math.max(this.#highest.batch, pack.header.batch);
    const entries = pack.entries();
    for (const { chunk } of entries) this.#highest.chunk = Math.max(this.#highest.chunk, chunk);
    const stored = entries.reduce((sum, entry) => sum + entry.storedBytes, 0);
    this.#tables.addPack(packId, arena, stored);
    for (let index = 0; index < entries.length;) {
      const frame = pack.frameOf(index);
      this.#readFrame(packId, frame);
      index += frame.entries.length;
    }
    return bytes.length;
  }

  #readFrame(packId: number, frame: Frame): void {
    const tables = this.#tables;
    const wanted = frame.entries.map((entry) => tables.wanted(entry.chunk, entry.fingerprint));
    if (wanted.every((chunks) => chunks.length === 0)) return;
    const plain = decodeOrEmpty(frame);
    let end = 0;
    for (const [position, entry] of frame.entries.entries()) {
      const bytes = plain.subarray(end, end + entry.plainBytes);
      end += entry.plainBytes;
      const chunks = wanted[position] ?? [];
      if (chunks.length === 0) continue;
      const isValid = this.#context.hash.digest(bytes).equals(entry.fingerprint);
      for (const { chunk, isById } of chunks) {
        const kind = isById ? RecordKind.BY_ID : RecordKind.BY_FINGERPRINT;
        tables.addRecord({
          chunk,
          fingerprint: entry.fingerprint,
          packId,
          index: frame.first + position,
          plainBytes: entry.plainBytes,
          storedBytes: entry.storedBytes,
          kind: isValid ? kind : RecordKind.DAMAGED,
        });
      }
    }
  }

  #saveCounters(totals: Awaited<ReturnType<RebuildTables['fill']>>): void {
    const { connection } = this.#context;
    const counters = loadCounters(connection);
    const { chunk, pack, arena, batch } = this.#highest;
    counters.nextChunk = Math.max(counters.nextChunk, chunk + 1);
    counters.nextPack = Math.max(counters.nextPack, pack + 1);
    counters.nextArena = Math.max(counters.nextArena, arena + 1);
    counters.batch = Math.max(counters.batch, batch);
    counters.chunks = totals.chunks;
    counters.uniqueBytes = totals.uniqueBytes;
    counters.storedBytes = totals.storedBytes;
    counters.packs = totals.packs;
    counters.packBytes = totals.packBytes;
    const damaged = 'SELECT count(*), coalesce(sum(bytes), 0) FROM chunk WHERE h IS NULL';
    const [chunks, bytes] = connection.prepare(damaged).raw().get() as [number, number];
    counters.damagedChunks = chunks;
    counters.damagedBytes = bytes;
    saveCounters(connection, counters);
  }
}

function packsFrom(blockStore: BlockStore, arena: number, from: number): number[] {
  const packs: number[] = [];
  for (const pack of blockStore.arena(arena).packIds(from)) {
    packs.push(pack);
    if (packs.length === PACKS_PER_PAGE) break;
  }
  return packs;
}

/** The frame's plain bytes; empty, which matches no fingerprint, when it cannot be decoded. */
function decodeOrEmpty(frame: Frame): Buffer {
  try {
    return decompress(frame.stored, frame.codec, frame.plainBytes);
  } catch (error) {
    if (error instanceof CorruptionError) return Buffer.alloc(0);
    throw error;
  }
}

/** Damage of the file that keeps us or LMDB from reading on. */
function isArenaDamage(error: unknown): boolean {
  return error instanceof CorruptionError || describeError(error).startsWith('MDB_');
}
