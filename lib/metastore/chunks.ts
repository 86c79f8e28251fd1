// The chunk index: fingerprint -> chunk -> place, and the reference counts (I5).
//
// Changes are summed for the batch and written by `flush`, which runs inside a commit while nothing
// is being ingested: only then can a chunk without references be dropped, because no job can have
// found it and not yet referred to it.
//
// A quarantined chunk (G6) keeps its row and references, without fingerprint and place, and counts
// neither as live nor as stored: what is left of its record pins no arena. It is written to the
// batch at once. The same content stored again (`add`) gives it a place under its old id.

import type Database from 'better-sqlite3';
import { assert } from '../assert.ts';
import { CacheCounts } from '../cache-counts.ts';
import type { ChunkId, ChunkIndex, ChunkLocation, ChunkPlacement } from '../dedup/chunk-index.ts';
import { CorruptionError } from '../errors.ts';
import type { Counters } from './counters.ts';
import type { ReferenceCounter } from './extents.ts';
import type { PackTable } from './packs.ts';
import type { QuarantineTable } from './quarantine.ts';
import type { StatementSource } from './database.ts';
import { KnownChunks } from './known-chunks.ts';
import { referenceRuns, type ReferenceRun } from './reference-runs.ts';
import type { Change, ChunkDescription, FreshChunk, Row } from './chunk-changes.ts';

/** Bytes of a fingerprint that the index holds: 128 bits of a keyed hash do not collide. */
export const INDEXED_BYTES = 16;

export class ChunkTable implements ChunkIndex, ReferenceCounter {
  readonly #counters: Counters;
  readonly #packs: PackTable;
  readonly #quarantine: QuarantineTable;
  readonly #find: Database.Statement;
  readonly #select: Database.Statement;
  readonly #insert: Database.Statement;
  readonly #update: Database.Statement;
  readonly #addReferences: Database.Statement;
  readonly #selectUnreferenced: Database.Statement;
  readonly #delete: Database.Statement;
  readonly #changes = new Map<ChunkId, Change>();
  /** Chunks of this batch by indexed fingerprint (latin1). */
  readonly #fresh = new Map<string, ChunkId>();
  readonly #known: KnownChunks;
  /** Fingerprints found in memory; a miss asks the index on disk. */
  readonly knownCounts = new CacheCounts();
  #damageCount = 0;
  /** Rows written since the last commit by `quarantine`. */
  #quarantinedCount = 0;
  /** Quarantined chunks that are stored again in this batch. */
  #readoptedCount = 0;

  constructor(
    connection: StatementSource,
    parts: {
      readonly counters: Counters;
      readonly packs: PackTable;
      readonly quarantine: QuarantineTable;
    },
  ) {
    this.#counters = parts.counters;
    this.#packs = parts.packs;
    this.#quarantine = parts.quarantine;
    this.#find = connection.prepare('SELECT id FROM chunk WHERE h = ?').pluck();
    this.#select = connection
      .prepare('SELECT h, refs, pack, idx, bytes, stored FROM chunk WHERE id = ?')
      .raw();
    this.#insert = connection.prepare(
      'INSERT INTO chunk (id, h, refs, pack, idx, bytes, stored) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    this.#update = connection.prepare(
      'UPDATE chunk SET h = ?, refs = ?, pack = ?, idx = ?, stored = ? WHERE id = ?',
    );
    this.#known = new KnownChunks(connection);
    this.#addReferences = connection.prepare(
      'UPDATE chunk SET refs = refs + ? WHERE id BETWEEN ? AND ?',
    );
    this.#selectUnreferenced = connection
      .prepare('SELECT id FROM chunk WHERE id BETWEEN ? AND ? AND refs <= 0')
      .pluck();
    this.#delete = connection.prepare('DELETE FROM chunk WHERE id = ?');
  }

  find(fingerprint: Uint8Array): ChunkId | undefined {
    const indexed = view(fingerprint);
    const cached = this.#known.find(indexed) ?? this.#freshOne(indexed);
    if (cached !== undefined) {
      this.knownCounts.hits += 1;
      return cached;
    }
    this.knownCounts.misses += 1;
    const row = this.#stored(indexed);
    if (row === undefined) return undefined;
    this.#known.learn(indexed, row);
    return row;
  }

  #freshOne(indexed: Buffer): ChunkId | undefined {
    if (this.#fresh.size === 0) return undefined;
    return this.#fresh.get(indexed.toString('latin1', 0, INDEXED_BYTES));
  }

  #stored(indexed: Buffer): ChunkId | undefined {
    return this.#find.get(indexed) as ChunkId | undefined;
  }

  add(fingerprint: Uint8Array, plainBytes: number): ChunkId {
    const indexed = view(fingerprint);
    const key = indexed.toString('latin1', 0, INDEXED_BYTES);
    const damaged = this.#quarantine.find(indexed);
    const isReadopted = damaged?.plainBytes === plainBytes;
    const chunk = isReadopted ? damaged.chunk : this.#nextId();
    if (isReadopted) this.#readoptedCount += 1;
    this.#fresh.set(key, chunk);
    this.#change(chunk).fresh = { key, plainBytes, isReadopted };
    return chunk;
  }

  #nextId(): ChunkId {
    const chunk = this.#counters.nextChunk as ChunkId;
    this.#counters.nextChunk += 1;
    return chunk;
  }

  isWanted(fingerprint: Uint8Array): boolean {
    const indexed = view(fingerprint);
    if (this.#quarantine.find(indexed) === undefined) return false;
    return !this.#fresh.has(indexed.toString('latin1', 0, INDEXED_BYTES));
  }

  get damageCount(): number {
    return this.#damageCount;
  }

  /** Quarantined chunks whose content would be recognised and has not come yet. */
  get wantedCount(): number {
    return this.#quarantine.count - this.#readoptedCount;
  }

  /**
   * The record at this place was read and is not the chunk: from now on nothing new refers to it.
   * Written to the batch, so the gate must be open and the change announced. Returns whether it was
   * so; false: the chunk is gone, quarantined already, or lies elsewhere by now.
   */
  quarantine(chunk: ChunkId, place: { readonly packId: number; readonly index: number }): boolean {
    const change = this.#changes.get(chunk);
    // What this batch stored comes from memory and was never read back.
    if (change?.fresh !== undefined || change?.placement !== undefined) return false;
    const row = this.#select.get(chunk) as Row | undefined;
    if (row === undefined) return false;
    const [h, refs, pack, index, plainBytes, stored] = row;
    if (h === null || pack !== place.packId || index !== place.index) return false;
    this.#update.run(null, refs, 0, 0, 0, chunk);
    this.#quarantine.insert(h, chunk);
    this.#known.delete(h);
    this.#packs.addLive(pack, -stored, -1);
    this.#total({ storedBytes: -stored, damagedChunks: 1, damagedBytes: plainBytes });
    this.#damageCount += 1;
    this.#quarantinedCount += 1;
    return true;
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

  /** With what this batch changed of it; undefined: there is no such chunk. */
  describe(chunk: ChunkId): ChunkDescription | undefined {
    const change = this.#changes.get(chunk);
    const storedBytes = change?.placement?.storedBytes;
    const added = change?.references ?? 0;
    if (change?.fresh?.isReadopted === false) {
      const { plainBytes } = change.fresh;
      return { references: added, plainBytes, storedBytes: storedBytes ?? 0 };
    }
    const row = this.#select.get(chunk) as Row | undefined;
    if (row === undefined) return undefined;
    const [, refs, , , plainBytes, stored] = row;
    return { references: refs + added, plainBytes, storedBytes: storedBytes ?? stored };
  }

  arenaOf(packId: number): number {
    return this.#packs.arenaOf(packId);
  }

  at(fingerprint: Uint8Array, packId: number, index: number): ChunkId | undefined {
    const indexed = view(fingerprint);
    // Not remembered: who asks this walks through everything.
    const chunk = this.#known.find(indexed) ?? this.#freshOne(indexed) ?? this.#stored(indexed);
    if (chunk === undefined || this.#isUnplaced(chunk)) return undefined;
    const location = this.locate(chunk);
    return location.packId === packId && location.index === index ? chunk : undefined;
  }

  #isUnplaced(chunk: ChunkId): boolean {
    const change = this.#changes.get(chunk);
    return change?.fresh !== undefined && change.placement === undefined;
  }

  /** Chunks that changed since the last commit. */
  get changeCount(): number {
    return this.#changes.size + this.#quarantinedCount;
  }

  /** Writes the summed changes to the batch and drops chunks that nothing refers to. */
  flush(): void {
    const counted: [ChunkId, number][] = [];
    for (const [chunk, change] of this.#changes) {
      if (change.fresh?.isReadopted === true) this.#restore(chunk, change, change.fresh);
      else if (change.fresh !== undefined) this.#insertFresh(chunk, change, change.fresh);
      else if (change.placement !== undefined) this.#move(chunk, change, change.placement);
      else if (change.references !== 0) counted.push([chunk, change.references]);
    }
    for (const run of referenceRuns(counted)) this.#count(run);
    this.#changes.clear();
    this.#fresh.clear();
    this.#quarantinedCount = 0;
    this.#readoptedCount = 0;
  }

  #insertFresh(chunk: ChunkId, change: Change, fresh: FreshChunk): void {
    assert(change.references >= 0, `chunk ${chunk} has ${change.references} references`);
    // Written and deleted within one batch: its record is dead from the start.
    if (change.references === 0) return;
    const { placement } = change;
    assert(placement !== undefined, `chunk ${chunk} was stored before the commit`);
    const { packId, index, storedBytes } = placement;
    const h = Buffer.from(fresh.key, 'latin1');
    this.#insert.run(chunk, h, change.references, packId, index, fresh.plainBytes, storedBytes);
    this.#packs.addLive(packId, storedBytes, 1);
    this.#total({ chunks: 1, uniqueBytes: fresh.plainBytes, storedBytes });
  }

  /** A quarantined chunk has a record again. */
  #restore(chunk: ChunkId, change: Change, fresh: FreshChunk): void {
    const row = this.#row(chunk);
    const left = row[1] + change.references;
    assert(left >= 0, `chunk ${chunk} has ${left} references`);
    if (left === 0) {
      this.#drop(chunk, row);
      return;
    }
    const { placement } = change;
    assert(placement !== undefined, `chunk ${chunk} was stored before the commit`);
    const { packId, index, storedBytes } = placement;
    this.#update.run(Buffer.from(fresh.key, 'latin1'), left, packId, index, storedBytes, chunk);
    this.#quarantine.delete(chunk);
    this.#packs.addLive(packId, storedBytes, 1);
    this.#total({ storedBytes, damagedChunks: -1, damagedBytes: -fresh.plainBytes });
  }

  #count({ first, last, references }: ReferenceRun): void {
    const { changes } = this.#addReferences.run(references, first, last);
    assert(changes === last - first + 1, `chunks ${first} to ${last} have ${changes} rows`);
    if (references > 0) return;
    for (const chunk of this.#selectUnreferenced.all(first, last) as ChunkId[]) {
      const row = this.#row(chunk);
      assert(row[1] === 0, `chunk ${chunk} has ${row[1]} references`);
      this.#drop(chunk, row);
    }
  }

  #move(chunk: ChunkId, change: Change, placement: ChunkPlacement): void {
    const row = this.#row(chunk);
    const [h, refs, pack, , , stored] = row;
    const left = refs + change.references;
    assert(left >= 0, `chunk ${chunk} has ${left} references`);
    if (left === 0) {
      this.#drop(chunk, row);
      return;
    }
    this.#update.run(h, left, placement.packId, placement.index, placement.storedBytes, chunk);
    this.#packs.addLive(pack, -stored, -1);
    this.#packs.addLive(placement.packId, placement.storedBytes, 1);
    this.#total({ storedBytes: placement.storedBytes - stored });
  }

  #row(chunk: ChunkId): Row {
    const row = this.#select.get(chunk) as Row | undefined;
    assert(row !== undefined, `chunk ${chunk} has a row`);
    return row;
  }

  #drop(chunk: ChunkId, row: Row): void {
    const [h, , pack, , plainBytes, stored] = row;
    this.#delete.run(chunk);
    if (h === null) {
      this.#quarantine.delete(chunk);
      this.#total({ damagedChunks: -1, damagedBytes: -plainBytes });
    } else {
      this.#known.delete(h);
      this.#packs.addLive(pack, -stored, -1);
    }
    this.#total({ chunks: -1, uniqueBytes: -plainBytes, storedBytes: -stored });
  }

  #total(change: Partial<Pick<Counters, ChunkTotal>>): void {
    for (const [name, by] of Object.entries(change)) this.#counters[name as ChunkTotal] += by;
  }
}

type ChunkTotal = 'chunks' | 'uniqueBytes' | 'storedBytes' | 'damagedChunks' | 'damagedBytes';

/** The indexed part of a fingerprint as a Buffer, without a copy. */
function view(fingerprint: Uint8Array): Buffer {
  return Buffer.from(fingerprint.buffer, fingerprint.byteOffset, INDEXED_BYTES);
}
