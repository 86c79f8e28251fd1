// A store in pieces, for fsck: locked, its metastore and its arenas opened, and nothing refused for
// being damaged. What a crash left is hidden, as a mount would remove it.

import { resolve } from 'node:path';
import { createKeyedHash, type KeyedHash } from '../blake3.ts';
import { BlockStore } from '../blockstore/block-store.ts';
import { CorruptionError, UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { NOTHING_HIDDEN, viewArenas, type Hidden } from '../maintenance/arena-view.ts';
import type { ArenaReader } from '../maintenance/checks/check.ts';
import { runFsck } from '../maintenance/fsck.ts';
import { Metastore } from '../metastore/metastore.ts';
import type { FsckOptions, FsckReport } from './contract.ts';
import { findOrCreate, prepareFolder } from './create.ts';
import { StoreLock } from './lock.ts';
import { checkIdentity } from './open-metastore.ts';
import { findRemnants } from './recover.ts';

export interface OfflineStore {
  /** Absolute. */
  readonly path: string;
  readonly uuid: string;
  readonly hash: KeyedHash;
  readonly blockStore: BlockStore;
  readonly log: Logger;
}

/**
 * Runs `work` with the store locked.
 * @throws UserError NO_STORE LOCKED WRONG_FORMAT NO_PERMISSION STORE_INCONSISTENT (no FORMAT)
 */
export async function withOfflineStore<Result>(
  path: string,
  log: Logger,
  work: (store: OfflineStore) => Promise<Result>,
): Promise<Result> {
  return withLockedStore(path, async (storePath) => {
    const { format } = findOrCreate(storePath, { create: false, log });
    const { arenaBytesMax, uuid, fingerprintKey } = format;
    const blockStore = new BlockStore(`${storePath}/arenas`, { arenaBytesMax, log });
    try {
      const hash = createKeyedHash(Buffer.from(fingerprintKey, 'hex'));
      return await work({ path: storePath, uuid, hash, blockStore, log });
    } finally {
      await blockStore.close();
    }
  });
}

/** Runs `work` while nobody else has the store. @throws UserError NO_STORE LOCKED NO_PERMISSION */
export async function withLockedStore<Result>(
  path: string,
  work: (storePath: string) => Promise<Result>,
): Promise<Result> {
  const storePath = resolve(path);
  prepareFolder(storePath, false);
  const lock = await StoreLock.acquire(storePath, undefined);
  try {
    return await work(storePath);
  } finally {
    lock.release();
  }
}

/** The arenas as they count for this metastore. */
export function countingArenas(store: OfflineStore, metastore: Metastore): ArenaReader {
  const { path: storePath, blockStore, log } = store;
  let hidden: Hidden = NOTHING_HIDDEN;
  try {
    const remnants = findRemnants({ storePath, metastore, blockStore, log });
    const firsts = [...remnants.packs].map(([id, packs]) => [id, packs[0] ?? 0] as const);
    hidden = { arenas: new Set(remnants.arenas.keys()), packsFrom: new Map(firsts) };
  } catch (error) {
    // No trace of a crash, but damage: the checks look at all of it and say what it is.
    if (!(error instanceof UserError) && !(error instanceof CorruptionError)) throw error;
    store.log.warn({ err: error }, 'the store cannot be mounted');
  }
  return viewArenas(blockStore, [hidden]);
}

/** fsck of a store that nobody has open. Changes nothing but what opening the metastore does. */
export async function checkOffline(
  path: string,
  options: FsckOptions & { readonly log: Logger },
): Promise<FsckReport> {
  const { level, log, onProgress, signal } = options;
  return withOfflineStore(path, log, async (store) => {
    const metastore = new Metastore(`${store.path}/meta.db`, { create: false });
    try {
      checkIdentity(store.path, store.uuid, metastore);
      const { connection } = metastore.database;
      const blockStore = countingArenas(store, metastore);
      const { hash } = store;
      return await runFsck(
        { connection, metastore, blockStore, hash, log, onProgress, signal },
        level,
      );
    } finally {
      metastore.close();
    }
  });
}
