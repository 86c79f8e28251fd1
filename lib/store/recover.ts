// What a mount does with the traces of a crash: packs and arenas that no committed batch names are
// removed (I4), names without inodes are finished off by the filesystem. And the opposite case, a
// metastore that is older than its arenas, is refused: writing on would reuse ids.

import { statSync } from 'node:fs';
import { arenaFileDefect } from '../blockstore/arena-file.ts';
import { salvagePacks } from '../blockstore/arena-salvage.ts';
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
    if (row.state === ArenaState.CURRENT) await resumeOrSeal(parts, row.id);
  }
}

/** A damaged arena takes no more packs; what of it can be read stays readable until a repair. */
async function resumeOrSeal(parts: RecoverParts, arenaId: number): Promise<void> {
  const { metastore, blockStore, log } = parts;
  try {
    blockStore.arena(arenaId).openToWrite();
    await removeUnknownPacks(parts, arenaId);
    blockStore.resume(arenaId);
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    log.error({ err: error, arena: arenaId }, 'an arena is damaged and takes no more packs');
    await passUnknownPacks(parts, arenaId);
    metastore.packs.sealArena(arenaId);
  }
}

/**
 * Like `checkBatches`, for a damaged arena. Packs that no commit names may stay in it: their ids must
 * not be given again (I3).
 */
async function passUnknownPacks(parts: RecoverParts, arenaId: number): Promise<void> {
  const { counters } = parts.metastore;
  for await (const { packId, batch, isInside } of salvagePacks(parts.blockStore.path(arenaId))) {
    if (isInside) continue;
    if (packId >= counters.nextPack) checkBatch(parts, packId, batch);
    counters.nextPack = Math.max(counters.nextPack, packId + 1);
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
  if (arenaFileDefect(path) === undefined) {
    checkBatches(parts, id, [...parts.blockStore.arena(id).packIds()]);
  } else {
    await passUnknownPacks(parts, id);
  }
  parts.log.warn({ arena: id }, 'removed an arena that no commit names');
  await parts.blockStore.remove(id);
}

async function removeUnknownPacks(parts: RecoverParts, arenaId: number): Promise<void> {
  const arena = parts.blockStore.arena(arenaId);
  const packIds = [...arena.packIds(parts.metastore.counters.nextPack)];
  if (packIds.length === 0) return;
  checkBatches(parts, arenaId, packIds);
  await arena.remove(packIds);
  parts.log.warn({ arena: arenaId, packs: packIds.length }, 'removed packs that no commit names');
}

function checkBatches(parts: RecoverParts, arenaId: number, packIds: readonly number[]): void {
  for (const packId of packIds) {
    try {
      const pack = new Pack(parts.blockStore.read(arenaId, packId), packId);
      checkBatch(parts, packId, pack.header.batch);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error; // else torn by the crash
    }
  }
}

/** Packs of the batches that a crash can have cut off are removed; a later one cannot be there. */
function checkBatch(parts: RecoverParts, packId: number, batch: number): void {
  const { metastore, storePath } = parts;
  if (batch <= metastore.counters.batch + BATCHES_AHEAD_MAX) return;
  throw new UserError(
    ExitCode.STORE_INCONSISTENT,
    'DEDUPFS_OLD_METASTORE',
    `the metastore of ${storePath} is older than its arenas: it ends with batch ` +
      `${metastore.counters.batch}, pack ${packId} is of batch ${batch}; restore the matching meta.db`,
  );
}

function missing(parts: RecoverParts, path: string): UserError {
  return new UserError(
    ExitCode.STORE_INCONSISTENT,
    'DEDUPFS_ARENA_MISSING',
    `store ${parts.storePath} lacks its arena ${path}; restore that file from a backup of the store`,
  );
}
