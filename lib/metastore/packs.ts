// Rows of packs and arenas: what lies where, and how much of it is still live (I6).

import type Database from 'better-sqlite3';
import { expectDefined } from '../assert.ts';
import type { ArenaAllocator } from '../blockstore/block-store.ts';
import { CorruptionError } from '../errors.ts';
import type { Counters } from './counters.ts';
import type { StatementSource } from './database.ts';

export const ArenaState = { CURRENT: 0, SEALED: 1 } as const;

export interface ArenaRow {
  readonly id: number;
  state: number;
  /** Sum of the sizes of its packs. */
  bytes: number;
  /** Stored bytes of its live chunks. */
  live: number;
  /** Bytes of packs put since the last commit, not in `live` yet; not stored. */
  unsettled: number;
}

interface PackDelta {
  live: number;
  nlive: number;
}

/** Bound on remembered pack -> arena pairs. */
const CACHED_PACKS_MAX = 16 * 1024;

export class PackTable implements ArenaAllocator {
  readonly #counters: Counters;
  readonly #selectArena: Database.Statement;
  readonly #insert: Database.Statement;
  readonly #update: Database.Statement;
  readonly #list: Database.Statement;
  readonly #after: Database.Statement;
  readonly #selectLive: Database.Statement;
  readonly #deletePacks: Database.Statement;
  readonly #putArena: Database.Statement;
  readonly #deleteArena: Database.Statement;
  /** All arenas: one for each GiB of packs, so they fit in memory. */
  readonly #arenas = new Map<number, ArenaRow>();
  readonly #dirtyArenas = new Set<ArenaRow>();
  readonly #deltas = new Map<number, PackDelta>();
  readonly #arenaOfPack = new Map<number, number>();

  constructor(connection: StatementSource, counters: Counters) {
    this.#counters = counters;
    this.#selectArena = connection.prepare('SELECT arena FROM pack WHERE id = ?').pluck();
    this.#insert = connection.prepare(
      'INSERT INTO pack (id, arena, bytes, live, nlive) VALUES (?, ?, ?, 0, 0)',
    );
    this.#update = connection.prepare(
      'UPDATE pack SET live = live + ?, nlive = nlive + ? WHERE id = ?',
    );
    this.#list = connection
      .prepare('SELECT id, nlive FROM pack WHERE arena = ? AND id > ? ORDER BY id LIMIT ?')
      .raw();
    this.#after = connection
      .prepare('SELECT id, arena, bytes FROM pack WHERE id > ? AND id < ? ORDER BY id LIMIT ?')
      .raw();
    this.#selectLive = connection.prepare('SELECT nlive FROM pack WHERE id = ?').pluck();
    this.#deletePacks = connection.prepare('DELETE FROM pack WHERE arena = ?');
    this.#putArena = connection.prepare(
      'INSERT OR REPLACE INTO arena (id, state, bytes, live) VALUES (?, ?, ?, ?)',
    );
    this.#deleteArena = connection.prepare('DELETE FROM arena WHERE id = ?');
    const rows = connection
      .prepare('SELECT id, state, bytes, live, 0 AS unsettled FROM arena')
      .all() as ArenaRow[];
    for (const row of rows) this.#arenas.set(row.id, row);
  }

  arenas(): ArenaRow[] {
    return [...this.#arenas.values()];
  }

  arena(id: number): ArenaRow | undefined {
    return this.#arenas.get(id);
  }

  nextArena(): number {
    const id = this.#counters.nextArena;
    this.#counters.nextArena += 1;
    return id;
  }

  arenaBegun(id: number, sealed: number | undefined): void {
    if (sealed !== undefined) this.sealArena(sealed);
    const row: ArenaRow = { id, state: ArenaState.CURRENT, bytes: 0, live: 0, unsettled: 0 };
    this.#arenas.set(id, row);
    this.#dirtyArenas.add(row);
  }

  sealArena(id: number): void {
    const row = expectDefined(this.#arenas.get(id), 'arena');
    row.state = ArenaState.SEALED;
    this.#dirtyArenas.add(row);
  }

  /** Records a pack that was put into an arena; nothing in it is live yet. */
  insert(packId: number, arena: number, bytes: number): void {
    const row = expectDefined(this.#arenas.get(arena), 'arena');
    this.#insert.run(packId, arena, bytes);
    row.bytes += bytes;
    row.unsettled += bytes;
    this.#dirtyArenas.add(row);
    this.#counters.packs += 1;
    this.#counters.packBytes += bytes;
    this.#remember(packId, arena);
  }

  /** @throws CorruptionError  no such pack */
  arenaOf(packId: number): number {
    const known = this.#arenaOfPack.get(packId);
    if (known !== undefined) return known;
    const arena = this.#selectArena.get(packId) as number | undefined;
    if (arena === undefined) throw new CorruptionError(`pack ${packId} has no row`);
    this.#remember(packId, arena);
    return arena;
  }

  #remember(packId: number, arena: number): void {
    if (this.#arenaOfPack.size >= CACHED_PACKS_MAX) this.#arenaOfPack.clear();
    this.#arenaOfPack.set(packId, arena);
  }

  /** Chunks of a pack came alive or died; summed until `flush`. */
  addLive(packId: number, storedBytes: number, count: number): void {
    const delta = this.#deltas.get(packId);
    if (delta === undefined) {
      this.#deltas.set(packId, { live: storedBytes, nlive: count });
    } else {
      delta.live += storedBytes;
      delta.nlive += count;
    }
  }

  /** The packs after `after`, whatever their arena, below `end`. */
  after(after: number, end: number, count: number): { id: number; arena: number; bytes: number }[] {
    const rows = this.#after.all(after, end, count) as [number, number, number][];
    return rows.map(([id, arena, bytes]) => ({ id, arena, bytes }));
  }

  /** Live chunks of a pack, with the changes of this batch. */
  liveCount(packId: number): number {
    const stored = (this.#selectLive.get(packId) as number | undefined) ?? 0;
    return stored + (this.#deltas.get(packId)?.nlive ?? 0);
  }

  /** Packs of an arena after `after`, with their number of live chunks. */
  list(arena: number, after: number, count: number): { id: number; nlive: number }[] {
    const rows = this.#list.all(arena, after, count) as [number, number][];
    return rows.map(([id, nlive]) => ({ id, nlive }));
  }

  /** Forgets an arena and its packs; nothing in it may be live. */
  deleteArena(id: number): void {
    const row = expectDefined(this.#arenas.get(id), 'arena');
    this.flush();
    this.#counters.packs -= this.#deletePacks.run(id).changes;
    this.#counters.packBytes -= row.bytes;
    this.#deleteArena.run(id);
    this.#arenas.delete(id);
    this.#dirtyArenas.delete(row);
    this.#arenaOfPack.clear();
  }

  /** Packs and arenas with changes that are not written yet. */
  get dirtyCount(): number {
    return this.#deltas.size + this.#dirtyArenas.size;
  }

  /** Writes the summed changes to the batch. */
  flush(): void {
    for (const [packId, { live, nlive }] of this.#deltas) {
      // A lost row is damage that fsck reports; the chunks that lay in it can be given up all the same.
      if (this.#update.run(live, nlive, packId).changes === 0) continue;
      const row = this.#arenas.get(this.arenaOf(packId));
      if (row === undefined) continue;
      row.live += live;
      this.#dirtyArenas.add(row);
    }
    this.#deltas.clear();
    for (const row of this.#dirtyArenas) {
      row.unsettled = 0;
      this.#putArena.run(row.id, row.state, row.bytes, row.live);
    }
    this.#dirtyArenas.clear();
  }
}
