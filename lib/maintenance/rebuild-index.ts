// Rebuilds the rows of chunks, packs and arenas from the arenas alone.

import type Database from 'better-sqlite3';
import type { KeyedHash } from '../blake3.ts';
import type { BlockStore } from '../blockstore/block-store.ts';
import type { Logger } from '../log.ts';

export interface RebuildIndexContext {
  /** The metastore's, with a batch open on it; the caller commits it. No Metastore may be in use over it. */
  readonly connection: Database.Database;
  readonly blockStore: BlockStore;
  readonly hash: KeyedHash;
  readonly log: Logger;
  onProgress?(progress: { readonly bytesDone: number; readonly bytesTotal: number }): void;
}

export interface RebuildIndexReport {
  /** Arenas that could be read. */
  readonly arenas: number;
  /** Files of arenas that could not. */
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
}

/** @throws Error from SQLite and LMDB */
export async function rebuildIndex(context: RebuildIndexContext): Promise<RebuildIndexReport> {
  await Promise.reject(new Error(`not on this branch yet: ${context.connection.name}`));
  throw new Error('unreachable');
}
