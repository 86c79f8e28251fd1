// Makes a metastore from a metadata checkpoint and the arenas as they are now: the tree is that of the
// checkpoint; where its chunks lie is looked up in the packs, which gc may have moved since. Counters
// are raised above everything that the lost metastore can have given out, so that nothing is reused.

import { closeSync, fsyncSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { removeDatabase } from '../metastore/remove-database.ts';
import { setImmediate } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import type { KeyedHash } from '../blake3.ts';
import type { BlockStore } from '../blockstore/block-store.ts';
import { arenaFileDefect } from '../blockstore/arena-file.ts';
import type { CheckpointManifest } from '../blockstore/checkpoint-manifest.ts';
import { Pack } from '../blockstore/pack.ts';
import { CorruptionError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { loadCounters, saveCounters } from '../metastore/counters.ts';
import { MetaDatabase } from '../metastore/database.ts';
import type { CheckpointReader } from './checkpoint-reader.ts';
import { readCheckpoint } from './checkpoint-restore.ts';
import { rebuildIndex, type RebuildIndexReport } from './rebuild-index.ts';

/** More inodes than can be made between two checkpoints: their numbers are nowhere but in the lost tree. */
const INODES_SKIPPED = 2 ** 24;
/** A damaged pack hides at most so many chunk ids: the count of its entries is 16 bits. */
const CHUNKS_PER_PACK_MAX = 2 ** 16;
/** And a damaged arena of 1 GiB: packs of 16 KiB, when fsync is called all the time, and such chunks. */
const PACKS_PER_ARENA_MAX = 2 ** 16;
const CHUNKS_PER_ARENA_MAX = 2 ** 18;
/** The lost metastore can have been so many batches beyond the packs (store/recover.ts). */
const BATCHES_SKIPPED = 2;

export type RebuildProgress = (step: string, done: number, total: number) => void;

/** Writes the pages to `path` and syncs them. @throws CorruptionError  not whole; the file is removed */
export async function restoreImage(
  path: string,
  checkpoint: { readonly reader: CheckpointReader; readonly manifest: CheckpointManifest },
  onProgress: RebuildProgress,
): Promise<void> {
  removeDatabase(path);
  const descriptor = openSync(path, 'wx', 0o600);
  try {
    await readCheckpoint({
      ...checkpoint,
      onPage: (bytes, offset) => writeSync(descriptor, bytes, 0, bytes.length, offset),
      onProgress: (done, total) => onProgress('restoring', done, total),
    });
    fsyncSync(descriptor);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

/**
 * What is wrong with a metastore of a store with this uuid; undefined when SQLite finds it whole. The
 * file is not changed.
 */
export function metastoreDefect(path: string, uuid: string | undefined): string | undefined {
  let database: MetaDatabase | undefined;
  try {
    database = new MetaDatabase(path, { create: false, isReadOnly: true });
    const { connection } = database;
    const found = connection.prepare('PRAGMA integrity_check(1)').pluck().get() as string;
    if (found !== 'ok') return found;
    const owner: unknown = connection.prepare("SELECT v FROM meta WHERE k = 'uuid'").pluck().get();
    if (uuid === undefined || owner === uuid) return undefined;
    return `it belongs to store ${String(owner)}`;
  } catch (error) {
    // SQLite's errors and, without a meta table, those of our statements: not a metastore.
    return (error as Error).message;
  } finally {
    database?.close();
    removeTraces(path);
  }
}

/** What reading a database leaves beside it; the caller holds the store's lock, nobody else uses it. */
function removeTraces(path: string): void {
  rmSync(`${path}-shm`, { force: true });
  const log = `${path}-wal`;
  if (statSync(log, { throwIfNoEntry: false })?.size === 0) rmSync(log);
}

/** How far the packs are ahead of a sound metastore, more than a crash can bring about. */
export async function metastoreLag(
  path: string,
  blockStore: BlockStore,
): Promise<{ readonly batch: number; readonly packBatch: number } | undefined> {
  const database = new MetaDatabase(path, { create: false, isReadOnly: true });
  try {
    const { batch } = loadCounters(database.connection);
    const packBatch = await newestBatch(database.connection, blockStore);
    return packBatch > batch + BATCHES_SKIPPED ? { batch, packBatch } : undefined;
  } finally {
    database.close();
    removeTraces(path);
  }
}

export interface RebuildMetastoreParts {
  /** Of the restored image. */
  readonly path: string;
  readonly blockStore: BlockStore;
  readonly hash: KeyedHash;
  readonly log: Logger;
  readonly onProgress: RebuildProgress;
}

export interface RebuiltMetastore {
  readonly index: RebuildIndexReport;
  /** Commits after the checkpoint that left packs behind. */
  readonly batchesLost: number;
}

/** Brings a restored image up to the arenas, and makes it durable in one file. */
export async function rebuildMetastore(parts: RebuildMetastoreParts): Promise<RebuiltMetastore> {
  const { path, blockStore, hash, log, onProgress } = parts;
  const database = new MetaDatabase(path, { create: false });
  let rebuilt: RebuiltMetastore;
  try {
    const { connection } = database;
    const { batch } = loadCounters(connection);
    const index = await rebuildIndex({
      connection,
      blockStore,
      hash,
      log,
      onProgress: ({ bytesDone, bytesTotal }) => onProgress('indexing', bytesDone, bytesTotal),
    });
    const batchesLost = loadCounters(connection).batch - batch;
    skipNumbers(connection, index);
    database.commit();
    database.foldWal();
    rebuilt = { index, batchesLost };
  } finally {
    database.close();
  }
  const descriptor = openSync(path, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
  return rebuilt;
}

/** The latest commit that packs beyond those the metastore knows were made for; its own when none. */
async function newestBatch(connection: Database.Database, blockStore: BlockStore): Promise<number> {
  const { batch, nextPack } = loadCounters(connection);
  let newest = batch;
  for (const arena of blockStore.arenaIds()) {
    for (const packId of unknownPacks(blockStore, arena, nextPack)) {
      newest = Math.max(newest, batchOf(blockStore, arena, packId));
      await setImmediate();
    }
  }
  return newest;
}

/** None of an arena that cannot be read: that is for fsck to report. */
function unknownPacks(blockStore: BlockStore, arena: number, nextPack: number): number[] {
  if (arenaFileDefect(blockStore.path(arena)) !== undefined) return [];
  try {
    return [...blockStore.arena(arena).packIds(nextPack)];
  } catch (error) {
    if ((error as Error).message.startsWith('MDB_')) return [];
    throw error;
  }
}

function batchOf(blockStore: BlockStore, arena: number, packId: number): number {
  try {
    return new Pack(blockStore.read(arena, packId), packId).header.batch;
  } catch (error) {
    if (error instanceof CorruptionError) return 0;
    throw error;
  }
}

/** Above what rebuildIndex has seen: what it could not see. */
function skipNumbers(connection: Database.Database, index: RebuildIndexReport): void {
  const counters = loadCounters(connection);
  const arenas = index.arenasDamaged.length;
  counters.batch += BATCHES_SKIPPED;
  counters.nextIno += INODES_SKIPPED;
  counters.nextPack += arenas * PACKS_PER_ARENA_MAX;
  counters.nextChunk += arenas * CHUNKS_PER_ARENA_MAX + index.packsDamaged * CHUNKS_PER_PACK_MAX;
  saveCounters(connection, counters);
}
