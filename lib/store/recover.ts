// What a mount does with the traces of a crash: packs and arenas that no committed batch names are
// removed (I4), names without inodes are finished off by the filesystem. And the opposite case, a
// metastore that is older than its arenas, is refused: writing on would reuse ids.

import { statSync } from 'node:fs';
import { arenaFileDefect } from '../blockstore/arena-file.ts';
import type { BlockStore } from '../blockstore/block-store.ts';
import { Pack } from '../blockstore/pack.ts';
import { CorruptionError, ExitCode, UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { ArenaState } from '../metastore/packs.ts';

export interface RecoverParts {
  readonly storePath: string;
  readonly metastore: Metastore;
  readonly blockStore: BlockStore;
  readonly log: Logger;
}

/** @throws UserError STORE_INCONSISTENT */
export async function recover(parts: RecoverParts): Promise<void> {
  const { metastore, blockStore } = parts;
  const files = new Set(blockStore.arenaIds());
  for (const { id } of metastore.packs.arenas()) {
    if (!files.has(id)) throw missing(parts, blockStore.path(id));
  }
  for (const id of files) {
    if (metastore.packs.arena(id) === undefined) await removeUnknownArena(parts, id);
  }
  const last = Math.max(0, ...files);
  metastore.counters.nextArena = Math.max(metastore.counters.nextArena, last + 1);
  for (const row of metastore.packs.arenas()) {
    if (row.state !== ArenaState.CURRENT) continue;
    await removeUnknownPacks(parts, row.id);
    blockStore.resume(row.id);
  }
}

/**
 * How far packs can be ahead of the metastore after a power cut: the batch being filled when COMMIT
 * was made but its WAL not yet synced (packs of the next batch are put meanwhile), and that one.
 */
const BATCHES_AHEAD_MAX = 2;

/** A new arena's file up to here can be torn before its first pack is durable. */
const TORN_BYTES_MAX = 64 * 1024;

async function removeUnknownArena(parts: RecoverParts, id: number): Promise<void> {
  const path = parts.blockStore.path(id);
  if (statSync(path).size <= TORN_BYTES_MAX && arenaFileDefect(path) !== undefined) {
    parts.log.warn({ arena: id }, 'removed an arena whose creation was cut off');
    await parts.blockStore.remove(id);
    return;
  }
  const packIds = [...parts.blockStore.arena(id).packIds()];
  checkBatch(parts, id, packIds);
  parts.log.warn({ arena: id, packs: packIds.length }, 'removed an arena that no commit names');
  await parts.blockStore.remove(id);
}

async function removeUnknownPacks(parts: RecoverParts, arenaId: number): Promise<void> {
  const arena = parts.blockStore.arena(arenaId);
  const packIds = [...arena.packIds(parts.metastore.counters.nextPack)];
  if (packIds.length === 0) return;
  checkBatch(parts, arenaId, packIds);
  await arena.remove(packIds);
  parts.log.warn({ arena: arenaId, packs: packIds.length }, 'removed packs that no commit names');
}

/** Packs of the batches that a crash can have cut off are removed; a later one cannot be there. */
function checkBatch(parts: RecoverParts, arenaId: number, packIds: readonly number[]): void {
  const { metastore, blockStore, storePath } = parts;
  for (const packId of packIds) {
    let batch: number;
    try {
      batch = new Pack(blockStore.read(arenaId, packId), packId).header.batch;
    } catch (error) {
      if (error instanceof CorruptionError) continue; // torn by the crash
      throw error;
    }
    if (batch <= metastore.counters.batch + BATCHES_AHEAD_MAX) continue;
    throw new UserError(
      ExitCode.STORE_INCONSISTENT,
      'DEDUPFS_OLD_METASTORE',
      `the metastore of ${storePath} is older than its arenas: it ends with batch ` +
        `${metastore.counters.batch}, pack ${packId} is of batch ${batch}; restore the matching meta.db, or ` +
        `'dedupfs fsck --rebuild ${storePath}' brings it up to them`,
    );
  }
}

function missing(parts: RecoverParts, path: string): UserError {
  return new UserError(
    ExitCode.STORE_INCONSISTENT,
    'DEDUPFS_ARENA_MISSING',
    `store ${parts.storePath} lacks its arena ${path}; restore that file from a backup of the store`,
  );
}
