// The chunk index: fingerprint -> chunk -> place, and the reference counts (I5).
//
// Changes are summed for the batch and written by `flush`, which runs inside a commit while nothing
// is being ingested: only then can a chunk without references be dropped, because no job can have
// found it and not yet referred to it.

import type Database from 'better-sqlite3';
import { assert } from '../assert.ts';
import type { ChunkId, ChunkIndex, ChunkLocation, ChunkPlacement } from '../dedup/chunk-index.ts';
import { CorruptionError } from '../errors.ts';
import type { Counters } from './counters.ts';
import type { ReferenceCounter } from './extents.ts';
import type { PackTable } from './packs.ts';
import type { StatementSource } from './database.ts';

/** Bytes of a fingerprint that the index holds: 128 bits of a keyed hash do not collide. */
export const INDEXED_BYTES = 16;

/** Bound on remembered fingerprints of known chunks, at about 120 bytes each. */
const CACHED_CHUNKS_MAX = 64 * 1024;

/** What changed of a chunk since the last commit. */
interface Change {
  /** References added less references given up. */
  references: number;
  /** Set for a chunk that has no row yet. */
  readonly fresh: { readonly key: string; readonly plainBytes: number } | undefined;
  /** Where its record lies now, when that is new. */
  placement: ChunkPlacement | undefined;
}

type Row = [
  h: Buffer | null,
  refs: number,
  pack: number,
  index: number,
  bytes: number,
  stored: number,
];

export class ChunkTable implements ChunkIndex, ReferenceCounter {
  readonly #counters: Counters;
  readonly #packs: PackTable;
  readonly #find: Database.Statement;
  readonly #select: Database.Statement;
  readonly #insert: Database.Statement;
  readonly #update: Database.Statement;
  readonly #addReferences: Database.Statement;
  readonly #delete: Database.Statement;
  readonly #changes = new Map<ChunkId, Change>();
  /** Chunks of this batch by indexed fingerprint (latin1). */
  readonly #fresh = new Map<string, ChunkId>();
  /** Rows found lately. */
  readonly #known = new Map<string, ChunkId>();

  constructor(connection: StatementSource, counters: Counters, packs: PackTable) {
    this.#counters = counters;
    this.#packs = packs;
    this.#find = connection.prepare('SELECT id FROM chunk WHERE h = ?').pluck();
    this.#select = connection
      .prepare('SELECT h, refs, pack, idx, bytes, stored FROM chunk WHERE id = ?')
      .raw();
    this.#insert = connection.prepare(
      'INSERT INTO chunk (id, h, refs, pack, idx, bytes, stored) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    this.#update = connection.prepare(
      'UPDATE chunk SET refs = ?, pack = ?, idx = ?, stored = ? WHERE id = ?',
    );
    this.#addReferences = connection
      .prepare('UPDATE chunk SET refs = refs + ? WHERE id = ? RETURNING refs')
      .pluck();
    this.#delete = connection.prepare('DELETE FROM chunk WHERE id = ?');
  }

  find(fingerprint: Uint8Array): ChunkId | undefined {
    const indexed = view(fingerprint);
    const key = indexed.toString('latin1', 0, INDEXED_BYTES);
    const cached = this.#fresh.get(key) ?? this.#known.get(key);
    if (cached !== undefined) return cached;
    const row = this.#find.get(indexed) as ChunkId | undefined;
    if (row === undefined) return undefined;
    if (this.#known.size >= CACHED_CHUNKS_MAX) this.#known.clear();
    this.#known.set(key, row);
    return row;
  }

  add(fingerprint: Uint8Array, plainBytes: number): ChunkId {
    const chunk = this.#counters.nextChunk as ChunkId;
    this.#counters.nextChunk += 1;
    const key = view(fingerprint).toString('latin1', 0, INDEXED_BYTES);
    this.#fresh.set(key, chunk);
    const fresh = { key, plainBytes };
    this.#changes.set(chunk, { references: 0, fresh, placement: undefined });
    return chunk;
  }

  place(chunk: ChunkId, placement: ChunkPlacement): void {
    this.#change(chunk).placement = placement;
  }

  addReferences(chunk: ChunkId, count: number): void {
    this.#change(chunk).references += count;
  }

  #change(chunk: ChunkId): Change {
    let change = this.#changes.get(chunk);
    if (change === undefined) {
      change = { references: 0, fresh: undefined, placement: undefined };
      this.#changes.set(chunk, change);
    }
    return change;
  }

  locate(chunk: ChunkId): ChunkLocation {
    const change = this.#changes.get(chunk);
    if (change?.fresh !== undefined) {
      if (change.placement === undefined)
        throw new CorruptionError(`chunk ${chunk} was not stored`);
      const { packId, index } = change.placement;
      const { key, plainBytes } = change.fresh;
      return { packId, index, plainBytes, fingerprint: Buffer.from(key, 'latin1') };
    }
    const row = this.#select.get(chunk) as Row | undefined;
    if (row === undefined) throw new CorruptionError(`chunk ${chunk} has no row`);
    const [fingerprint, , pack, index, plainBytes] = row;
    if (fingerprint === null) throw new CorruptionError(`chunk ${chunk} is quarantined`);
    const placement = change?.placement ?? { packId: pack, index };
    return { packId: placement.packId, index: placement.index, plainBytes, fingerprint };
  }

  arenaOf(packId: number): number {
    return this.#packs.arenaOf(packId);
  }

  /** The chunk whose record lies at this place, if its row says so. For gc. */
  at(fingerprint: Uint8Array, packId: number, index: number): ChunkId | undefined {
    const chunk = this.find(fingerprint);
    if (chunk === undefined || this.#isUnplaced(chunk)) return undefined;
    const location = this.locate(chunk);
    return location.packId === packId && location.index === index ? chunk : undefined;
  }

  #isUnplaced(chunk: ChunkId): boolean {
    const change = this.#changes.get(chunk);
    return change?.fresh !== undefined && change.placement === undefined;
  }

  /** Chunks with changes that are not written yet. */
  get changeCount(): number {
    return this.#changes.size;
  }

  /** Writes the summed changes to the batch and drops chunks that nothing refers to. */
  flush(): void {
    for (const [chunk, change] of this.#changes) {
      if (change.fresh !== undefined) this.#insertFresh(chunk, change, change.fresh);
      else if (change.placement !== undefined) this.#move(chunk, change, change.placement);
      else if (change.references !== 0) this.#count(chunk, change.references);
    }
    this.#changes.clear();
    this.#fresh.clear();
  }

  #insertFresh(
    chunk: ChunkId,
    change: Change,
    fresh: { readonly key: string; readonly plainBytes: number },
  ): void {
    assert(change.references >= 0, `chunk ${chunk} has ${change.references} references`);
    // Written and deleted within one batch: its record is dead from the start.
    if (change.references === 0) return;
    const { placement } = change;
    assert(placement !== undefined, `chunk ${chunk} was stored before the commit`);
    const { packId, index, storedBytes } = placement;
    const h = Buffer.from(fresh.key, 'latin1');
    this.#insert.run(chunk, h, change.references, packId, index, fresh.plainBytes, storedBytes);
    this.#packs.addLive(packId, storedBytes, 1);
    this.#total({ chunks: 1, plainBytes: fresh.plainBytes, storedBytes });
  }

  #count(chunk: ChunkId, references: number): void {
    const left = this.#addReferences.get(references, chunk) as number | undefined;
    assert(left !== undefined && left >= 0, `chunk ${chunk} has ${left} references`);
    if (left === 0) this.#drop(chunk, this.#row(chunk));
  }

  #move(chunk: ChunkId, change: Change, placement: ChunkPlacement): void {
    const row = this.#row(chunk);
    const [, refs, pack, , , stored] = row;
    const left = refs + change.references;
    assert(left >= 0, `chunk ${chunk} has ${left} references`);
    if (left === 0) {
      this.#drop(chunk, row);
      return;
    }
    this.#update.run(left, placement.packId, placement.index, placement.storedBytes, chunk);
    this.#packs.addLive(pack, -stored, -1);
    this.#packs.addLive(placement.packId, placement.storedBytes, 1);
    this.#total({ chunks: 0, plainBytes: 0, storedBytes: placement.storedBytes - stored });
  }

  #row(chunk: ChunkId): Row {
    const row = this.#select.get(chunk) as Row | undefined;
    assert(row !== undefined, `chunk ${chunk} has a row`);
    return row;
  }

  #drop(chunk: ChunkId, row: Row): void {
    const [h, , pack, , plainBytes, stored] = row;
    this.#delete.run(chunk);
    if (h !== null) this.#known.delete(h.toString('latin1', 0, INDEXED_BYTES));
    this.#packs.addLive(pack, -stored, -1);
    this.#total({ chunks: -1, plainBytes: -plainBytes, storedBytes: -stored });
  }

  #total(change: { chunks: number; plainBytes: number; storedBytes: number }): void {
    this.#counters.chunks += change.chunks;
    this.#counters.uniqueBytes += change.plainBytes;
    this.#counters.storedBytes += change.storedBytes;
  }
}

/** The indexed part of a fingerprint as a Buffer, without a copy. */
function view(fingerprint: Uint8Array): Buffer {
  return Buffer.from(fingerprint.buffer, fingerprint.byteOffset, INDEXED_BYTES);
}
