// What a mount does with the traces of a crash: packs and arenas that no committed batch names are
// removed (I4), names without inodes are finished off by the filesystem. And the opposite case, a
// metastore that is older than its arenas, is refused: writing on would reuse ids.

import { renameSync, rmSync, statSync } from 'node:fs';
import { arenaFileDefect } from '../blockstore/arena-file.ts';
import type { BlockStore } from '../blockstore/block-store.ts';
import { Pack } from '../blockstore/pack.ts';
import { CorruptionError, describeError, ExitCode, UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { INDEXED_BYTES } from '../metastore/chunks.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { ArenaState } from '../metastore/packs.ts';

export interface RecoverParts {
  readonly storePath: string;
  readonly metastore: Metastore;
  readonly blockStore: BlockStore;
  readonly log: Logger;
}

/** What a crash left behind, and no committed batch needs. */
export interface Remnants {
  /** Arenas without a row, and whether their file can be opened. */
  readonly arenas: ReadonlyMap<number, 'whole' | 'torn' | 'unreadable'>;
  /** Of each arena that takes packs, those behind the last commit, ascending. */
  readonly packs: ReadonlyMap<number, readonly number[]>;
}

/** @throws UserError STORE_INCONSISTENT */
export async function recover(parts: RecoverParts): Promise<void> {
  try {
    await removeRemnants(parts);
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    throw new UserError(
      ExitCode.STORE_INCONSISTENT,
      'DEDUPFS_ARENA_DAMAGED',
      `store ${parts.storePath} is damaged: ${describeError(error)}; repair it with ${remedy(parts)}`,
      { cause: error },
    );
  }
}

async function removeRemnants(parts: RecoverParts): Promise<void> {
  const { metastore, blockStore, log } = parts;
  const remnants = findRemnants(parts);
  const last = Math.max(0, ...blockStore.arenaIds());
  for (const [id, state] of remnants.arenas) {
    if (state === 'unreadable') {
      // A repair did not come to its last step: the arena has no row because nobody can read it.
      putArenaAside(blockStore.path(id));
      log.warn({ arena: id }, 'put an arena aside that no commit names and nobody can read');
      continue;
    }
    await blockStore.remove(id);
    log.warn({ arena: id, state }, 'removed an arena that no commit names');
  }
  metastore.counters.nextArena = Math.max(metastore.counters.nextArena, last + 1);
  for (const [id, packIds] of remnants.packs) {
    await blockStore.arena(id).remove(packIds);
    log.warn({ arena: id, packs: packIds.length }, 'removed packs that no commit names');
  }
  for (const row of metastore.packs.arenas()) {
    if (row.state === ArenaState.CURRENT) blockStore.resume(row.id);
  }
}

/** Gives an arena's file another name, under which nothing looks for it. Returns the new path. */
export function putArenaAside(path: string): string {
  renameSync(path, `${path}.damaged`);
  rmSync(`${path}-lock`, { force: true });
  return `${path}.damaged`;
}

/** Looks, and changes nothing. @throws UserError STORE_INCONSISTENT  what is there is no trace of a crash */
export function findRemnants(parts: RecoverParts): Remnants {
  const { metastore, blockStore } = parts;
  const files = new Set(blockStore.arenaIds());
  for (const { id } of metastore.packs.arenas()) {
    if (!files.has(id)) throw missing(parts, blockStore.path(id));
  }
  const arenas = new Map<number, 'whole' | 'torn' | 'unreadable'>();
  for (const id of files) {
    if (metastore.packs.arena(id) === undefined) arenas.set(id, judgeUnknownArena(parts, id));
  }
  const packs = new Map<number, readonly number[]>();
  const from = Math.max(metastore.counters.nextPack, lastPack(parts) + 1);
  for (const row of metastore.packs.arenas()) {
    if (row.state !== ArenaState.CURRENT) continue;
    const packIds = [...blockStore.arena(row.id).packIds(from)];
    if (packIds.length === 0) continue;
    checkPacks(parts, row.id, packIds);
    packs.set(row.id, packIds);
  }
  return { arenas, packs };
}

/** A counter that is too low must not cost packs that have rows. */
function lastPack({ metastore }: RecoverParts): number {
  const select = metastore.database.connection.prepare('SELECT max(id) FROM pack').pluck();
  return Number(select.get() ?? 0);
}

/**
 * How far packs can be ahead of the metastore after a power cut: the batch being filled when COMMIT
 * was made but its WAL not yet synced (packs of the next batch are put meanwhile), and that one.
 */
const BATCHES_AHEAD_MAX = 2;

/** A new arena's file up to here can be torn before its first pack is durable. */
const TORN_BYTES_MAX = 64 * 1024;

function judgeUnknownArena(parts: RecoverParts, id: number): 'whole' | 'torn' | 'unreadable' {
  const path = parts.blockStore.path(id);
  const hasRows = parts.metastore.database.connection
    .prepare('SELECT 1 FROM pack WHERE arena = ? LIMIT 1')
    .get(id);
  if (hasRows !== undefined) throw nameless(parts, path);
  if (arenaFileDefect(path) !== undefined) {
    return statSync(path).size <= TORN_BYTES_MAX ? 'torn' : 'unreadable';
  }
  checkPacks(parts, id, [...parts.blockStore.arena(id).packIds()]);
  return 'whole';
}

/** Packs that a crash can have left are of its batches, and no chunk lies in them. */
function checkPacks(parts: RecoverParts, arenaId: number, packIds: readonly number[]): void {
  const { metastore, blockStore, storePath } = parts;
  const { connection } = metastore.database;
  const inPack = connection.prepare('SELECT 1 FROM chunk WHERE h = ? AND pack = ?');
  const arenaOf = connection.prepare('SELECT arena FROM pack WHERE id = ?').pluck();
  for (const packId of packIds) {
    const pack = tryRead(blockStore, arenaId, packId);
    if (pack === undefined) continue; // torn by the crash
    const { batch } = pack.header;
    if (batch > metastore.counters.batch + BATCHES_AHEAD_MAX) {
      throw new UserError(
        ExitCode.STORE_INCONSISTENT,
        'DEDUPFS_OLD_METASTORE',
        `the metastore of ${storePath} is older than its arenas: it ends with batch ` +
          `${metastore.counters.batch}, pack ${packId} is of batch ${batch}; ` +
          `restore the matching meta.db, or 'dedupfs fsck --rebuild ${storePath}' brings it up to them`,
      );
    }
    // A row of another arena: this is a copy that nothing needs any more.
    if (arenaOf.get(packId) !== undefined) continue;
    const isNeeded = pack.entries().some(({ fingerprint }) => {
      return inPack.get(fingerprint.subarray(0, INDEXED_BYTES), packId) !== undefined;
    });
    if (isNeeded) throw nameless(parts, blockStore.path(arenaId));
  }
}

function tryRead(blockStore: BlockStore, arenaId: number, packId: number): Pack | undefined {
  try {
    return new Pack(blockStore.read(arenaId, packId), packId);
  } catch (error) {
    if (error instanceof CorruptionError) return undefined;
    throw error;
  }
}

function remedy({ storePath }: RecoverParts): string {
  return `'dedupfs fsck --repair ${storePath}'`;
}

function missing(parts: RecoverParts, path: string): UserError {
  return new UserError(
    ExitCode.STORE_INCONSISTENT,
    'DEDUPFS_ARENA_MISSING',
    `store ${parts.storePath} lacks its arena ${path}; restore that file from a backup of the store, ` +
      `or keep what is left with ${remedy(parts)}`,
  );
}

function nameless(parts: RecoverParts, path: string): UserError {
  return new UserError(
    ExitCode.STORE_INCONSISTENT,
    'DEDUPFS_ROWS_MISSING',
    `the metastore of ${parts.storePath} needs packs of ${path} and has no row for it; ` +
      `repair it with ${remedy(parts)}`,
  );
}
