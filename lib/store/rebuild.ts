// fsck --rebuild: makes meta.db, and FORMAT, from the newest whole metadata checkpoint and the arenas.
//
// Everything is done on a new file, meta.db.rebuild; only when that is whole and synced do names
// change: the damaged files are kept as meta.db.damaged, the new one becomes meta.db. In this order,
// so that a power cut at any moment leaves a store that is refused or one that is rebuilt: FORMAT,
// meta.db aside, its WAL aside (SQLite would play it into the new file), the new file. Rebuilding
// again is then right. No pack is removed: what was written after the checkpoint stays for gc.

import { copyFileSync, existsSync, renameSync, rmSync, statfsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createKeyedHash } from '../blake3.ts';
import { BlockStore } from '../blockstore/block-store.ts';
import type { CheckpointManifest } from '../blockstore/checkpoint-manifest.ts';
import { CorruptionError, describeError, ExitCode, UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { findCheckpoint } from '../maintenance/checkpoint-reader.ts';
import {
  metastoreDefect,
  metastoreLag,
  rebuildMetastore,
  restoreImage,
  type RebuildProgress,
  type RebuiltMetastore,
} from '../maintenance/rebuild-metastore.ts';
import { FORMAT_VERSION } from '../metastore/schema.ts';
import { syncFolder } from '../sync-folder.ts';
import { parseFormat, readFormat, restoreFormat, type Format } from './format.ts';
import { StoreLock } from './lock.ts';
import { removeDatabase } from '../metastore/remove-database.ts';
import { checkEntries, closeToOthers } from './safe-entries.ts';

/** Left free on the host beside the new metastore. */
const MARGIN_BYTES = 16 * 1024 * 1024;

export interface RebuildReport {
  /** When the tree was as it is now, ms since 1970; undefined: see `batch`. */
  readonly createdMs: number | undefined;
  /** The last commit of the tree. Undefined: the metastore was whole, and only FORMAT was lost. */
  readonly batch: number | undefined;
  /** Why the metastore, or FORMAT, had to be made anew. */
  readonly reason: string;
  readonly isFormatRestored: boolean;
  readonly rebuilt: RebuiltMetastore | undefined;
  /** Where the damaged metastore is now. */
  readonly keptAside: string | undefined;
  /** Newer checkpoints that could not be used, and why. */
  readonly skipped: readonly string[];
}

export interface RebuildOptions {
  readonly log: Logger;
  readonly onProgress: RebuildProgress;
  /** Ends it, with its reason, until the new metastore takes its place. */
  readonly signal?: AbortSignal;
}

/**
 * @throws UserError NO_STORE LOCKED WRONG_FORMAT DISK_FULL, FAILED when nothing is damaged,
 *         STORE_INCONSISTENT when there is no whole checkpoint
 */
export async function rebuildStore(path: string, options: RebuildOptions): Promise<RebuildReport> {
  const storePath = resolve(path);
  if (!existsSync(join(storePath, 'arenas'))) {
    throw new UserError(
      ExitCode.NO_STORE,
      'DEDUPFS_NO_STORE',
      `${storePath} has no arenas: it is not a dedupfs store, or nothing is left of it`,
    );
  }
  closeToOthers(storePath);
  checkEntries(storePath);
  const lock = await StoreLock.acquire(storePath, undefined);
  try {
    return await new Rebuild(storePath, options).run();
  } finally {
    lock.release();
  }
}

/** Where the new metastore begins: a checkpoint, or the metastore itself when that is newer. */
type Base = Pick<CheckpointManifest, 'batch'> &
  Partial<Pick<CheckpointManifest, 'createdMs' | 'formatFile'>>;

class Rebuild {
  readonly #storePath: string;
  readonly #options: RebuildOptions;
  readonly #skipped: string[] = [];
  readonly #folder: string;
  readonly #metastorePath: string;
  readonly #target: string;

  constructor(storePath: string, options: RebuildOptions) {
    this.#storePath = storePath;
    const { signal, onProgress } = options;
    this.#options = {
      ...options,
      onProgress: (...progress) => {
        signal?.throwIfAborted();
        onProgress(...progress);
      },
    };
    this.#folder = join(storePath, 'arenas');
    this.#metastorePath = join(storePath, 'meta.db');
    this.#target = join(storePath, 'meta.db.rebuild');
  }

  async run(): Promise<RebuildReport> {
    try {
      return await this.#run();
    } finally {
      // Of one that did not come to its end.
      removeDatabase(this.#target);
    }
  }

  async #run(): Promise<RebuildReport> {
    const { format, formatDefect } = readFormatIfSound(this.#storePath);
    this.#options.onProgress('checking', 0, 1);
    const state = await this.#inspect(format?.uuid);
    const reason = [formatDefect, state.defect].filter((defect) => defect !== undefined).join('; ');
    if (reason === '') throw nothingToDo(this.#storePath);
    const base = await this.#prepareBase(format, state);
    const formatText = format === undefined ? await this.#formatText(base) : undefined;
    const complete = format ?? parseFormat(this.#storePath, formatText ?? '');
    const rebuilt = base === undefined ? undefined : await this.#rebuild(complete);
    if (formatText !== undefined) restoreFormat(this.#storePath, formatText);
    const keptAside = base === undefined ? undefined : this.#swap();
    return {
      createdMs: base?.createdMs,
      batch: base?.batch,
      reason,
      isFormatRestored: formatText !== undefined,
      rebuilt,
      keptAside,
      skipped: this.#skipped,
    };
  }

  /** What is wrong with the metastore; `batch`: its last commit, when it is sound but too old. */
  async #inspect(
    uuid: string | undefined,
  ): Promise<{ readonly defect: string | undefined; readonly batch: number }> {
    const defect = metastoreDefect(this.#metastorePath, uuid);
    if (defect !== undefined) return { defect: `metastore: ${defect}`, batch: 0 };
    const lag = await this.#withBlockStore(async (blockStore) =>
      metastoreLag(this.#metastorePath, blockStore),
    );
    if (lag === undefined) return { defect: undefined, batch: 0 };
    const { batch, packBatch } = lag;
    const what = `it ends with batch ${batch}, the arenas have packs of batch ${packBatch}`;
    return { defect: `the metastore is older than its arenas: ${what}`, batch };
  }

  /** Puts the newest metastore there is at `target`. Undefined: there is nothing wrong with it. */
  async #prepareBase(
    format: Format | undefined,
    { defect, batch }: { readonly defect: string | undefined; readonly batch: number },
  ): Promise<Base | undefined> {
    if (defect === undefined) return undefined;
    const manifest = await this.#restore(format, batch);
    if (manifest !== undefined) return manifest;
    if (batch === 0) throw noCheckpoint(this.#storePath, this.#skipped);
    // Sound, only too old, and no checkpoint is newer.
    removeDatabase(this.#target);
    for (const suffix of ['', '-wal']) {
      const from = `${this.#metastorePath}${suffix}`;
      if (existsSync(from)) copyFileSync(from, `${this.#target}${suffix}`);
    }
    return { batch };
  }

  /** The content of FORMAT, as a checkpoint knows it. */
  async #formatText(base: Base | undefined): Promise<string> {
    if (base?.formatFile !== undefined) return base.formatFile;
    const text = await findCheckpoint(this.#folder, this.#note, async ({ manifest }) =>
      Promise.resolve(manifest.format === FORMAT_VERSION ? manifest.formatFile : undefined),
    );
    if (text === undefined) throw noCheckpoint(this.#storePath, this.#skipped);
    return text;
  }

  /** Restores the newest whole checkpoint of this store after commit `batch` to `target`. */
  async #restore(
    format: Format | undefined,
    batch: number,
  ): Promise<CheckpointManifest | undefined> {
    return findCheckpoint(this.#folder, this.#note, async ({ arena, manifest }, reader) => {
      if (manifest.batch <= batch) return undefined;
      const foreign = foreignness(manifest, format);
      if (foreign !== undefined) {
        this.#note(arena, foreign);
        return undefined;
      }
      this.#assertRoom(manifest);
      try {
        await restoreImage(this.#target, { reader, manifest }, this.#options.onProgress);
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
        this.#note(arena, error);
        return undefined;
      }
      const defect = metastoreDefect(this.#target, manifest.uuid);
      if (defect === undefined) return manifest;
      this.#note(arena, `the metastore of batch ${manifest.batch} in it is damaged: ${defect}`);
      removeDatabase(this.#target);
      return undefined;
    });
  }

  readonly #note = (arena: number, error: unknown): void => {
    this.#skipped.push(`checkpoint arena ${arena}: ${describeError(error)}`);
  };

  #assertRoom({ pages, pageBytes }: CheckpointManifest): void {
    const needed = pages * pageBytes + MARGIN_BYTES;
    const host = statfsSync(this.#storePath);
    const found = host.bavail * host.bsize;
    if (found >= needed) return;
    throw new UserError(
      ExitCode.DISK_FULL,
      'DEDUPFS_DISK_FULL',
      `no room to rebuild the metastore of ${this.#storePath}: it needs ${needed} bytes, ${found} are free; free some space`,
    );
  }

  async #rebuild({ fingerprintKey }: Format): Promise<RebuiltMetastore> {
    const { log, onProgress } = this.#options;
    const hash = createKeyedHash(Buffer.from(fingerprintKey, 'hex'));
    return this.#withBlockStore(async (blockStore) =>
      rebuildMetastore({ path: this.#target, blockStore, hash, log, onProgress }),
    );
  }

  /** Only for reading: no arena is begun, so their size does not matter. */
  async #withBlockStore<T>(work: (blockStore: BlockStore) => Promise<T>): Promise<T> {
    const blockStore = new BlockStore(this.#folder, { arenaBytesMax: 0, log: this.#options.log });
    try {
      return await work(blockStore);
    } finally {
      await blockStore.close();
    }
  }

  /** @returns where the damaged metastore is, when there was one */
  #swap(): string | undefined {
    const metastorePath = this.#metastorePath;
    const aside = unusedName(`${metastorePath}.damaged`);
    let keptAside: string | undefined;
    for (const suffix of ['', '-wal']) {
      if (!existsSync(`${metastorePath}${suffix}`)) continue;
      renameSync(`${metastorePath}${suffix}`, `${aside}${suffix}`);
      // Each rename durable before the next: a new file must never meet the old one's WAL.
      syncFolder(this.#storePath);
      keptAside = aside;
    }
    rmSync(`${metastorePath}-shm`, { force: true });
    renameSync(this.#target, metastorePath);
    syncFolder(this.#storePath);
    return keptAside;
  }
}

/** Undefined when FORMAT is lost or damaged. @throws UserError WRONG_FORMAT */
function readFormatIfSound(storePath: string): {
  format: Format | undefined;
  formatDefect: string | undefined;
} {
  try {
    const format = readFormat(storePath);
    return { format, formatDefect: format === undefined ? 'FORMAT is missing' : undefined };
  } catch (error) {
    if (!(error instanceof UserError) || error.exitCode === ExitCode.WRONG_FORMAT) throw error;
    return { format: undefined, formatDefect: error.message };
  }
}

/** Why a checkpoint is none of this store as this dedupfs knows it. */
function foreignness(manifest: CheckpointManifest, format: Format | undefined): string | undefined {
  if (manifest.format !== FORMAT_VERSION) {
    return `its metastore has format ${manifest.format}, this dedupfs reads ${FORMAT_VERSION}`;
  }
  if (format === undefined || manifest.uuid === format.uuid) return undefined;
  return `it belongs to store ${manifest.uuid}`;
}

function unusedName(path: string): string {
  for (let count = 1; ; count += 1) {
    const name = count === 1 ? path : `${path}.${count}`;
    if (!existsSync(name) && !existsSync(`${name}-wal`)) return name;
  }
}

function nothingToDo(storePath: string): UserError {
  return new UserError(
    ExitCode.FAILED,
    'DEDUPFS_NOTHING_TO_REBUILD',
    `the metastore of ${storePath} is whole, so it is not replaced; 'dedupfs fsck ${storePath}' tells what else may be wrong`,
  );
}

function noCheckpoint(storePath: string, skipped: readonly string[]): UserError {
  const why = skipped.length === 0 ? 'there is none' : skipped.join('; ');
  return new UserError(
    ExitCode.STORE_INCONSISTENT,
    'DEDUPFS_NO_CHECKPOINT',
    `store ${storePath} has no whole metadata checkpoint (${why}); restore meta.db and FORMAT from a backup of the store`,
  );
}
