// Runs repairs over folders that hold a metastore and arenas, inside the test's process.

import { join } from 'node:path';
import { rmSync } from 'node:fs';
import { createKeyedHash, type KeyedHash } from '../../lib/blake3.ts';
import { BlockStore } from '../../lib/blockstore/block-store.ts';
import type { ChunkId } from '../../lib/dedup/chunk-index.ts';
import { decompress } from '../../lib/dedup/codec.ts';
import { Pack } from '../../lib/blockstore/pack.ts';
import { CorruptionError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { RepairJournal, type RepairChange } from '../../lib/maintenance/repair-journal.ts';
import { repairMetastore, type RepairOutcome } from '../../lib/maintenance/repair.ts';
import { Metastore } from '../../lib/metastore/metastore.ts';
import { SAMPLE_KEY } from './damage.ts';

const ARENA_BYTES_MAX = 1024 * 1024;

export interface FolderRepair extends RepairOutcome {
  readonly changes: readonly RepairChange[];
}

export function openArenas(folder: string): BlockStore {
  return new BlockStore(join(folder, 'arenas'), {
    arenaBytesMax: ARENA_BYTES_MAX,
    log: silentLog(),
  });
}

/** Repairs the metastore of a folder in place. */
export async function repairFolder(
  folder: string,
  options: { readonly idsPerPass?: number } = {},
): Promise<FolderRepair> {
  const blockStore = openArenas(folder);
  const journalPath = join(folder, 'journal');
  const journal = new RepairJournal(journalPath);
  try {
    const outcome = await repairMetastore({
      path: join(folder, 'meta.db'),
      blockStore,
      hash: createKeyedHash(SAMPLE_KEY),
      log: silentLog(),
      journal,
      ...options,
    });
    return { ...outcome, changes: [...journal.listed] };
  } finally {
    journal.finish();
    rmSync(journalPath);
    await blockStore.close();
  }
}

/** What a read of a file gives: its bytes, undefined where it is EIO; holes are zeros. */
export class FileReader {
  readonly #metastore: Metastore;
  readonly #blockStore: BlockStore;
  readonly #hash: KeyedHash = createKeyedHash(SAMPLE_KEY);

  constructor(folder: string) {
    this.#metastore = new Metastore(join(folder, 'meta.db'), { create: false });
    this.#blockStore = openArenas(folder);
  }

  get metastore(): Metastore {
    return this.#metastore;
  }

  async close(): Promise<void> {
    this.#metastore.close();
    await this.#blockStore.close();
  }

  /** Each part that one extent or hole shows. */
  read(ino: number): { offset: number; bytes: number; content: Buffer | undefined }[] {
    const inode = this.#metastore.inodes.get(ino);
    if (inode === undefined) throw new Error(`no inode ${ino}`);
    return this.#metastore.extents
      .find(ino, { offset: 0, end: inode.size })
      .map(({ offset, bytes, chunk, chunkOffset }) => ({
        offset,
        bytes,
        content: this.#chunk(chunk)?.subarray(chunkOffset, chunkOffset + bytes),
      }));
  }

  #chunk(chunk: ChunkId): Buffer | undefined {
    try {
      const { packId, index, fingerprint } = this.#metastore.chunks.locate(chunk);
      const arena = this.#metastore.chunks.arenaOf(packId);
      const frame = new Pack(this.#blockStore.read(arena, packId), packId).frameOf(index);
      const plain = decompress(frame.stored, frame.codec, frame.plainBytes);
      let start = 0;
      for (const entry of frame.entries.slice(0, index - frame.first)) start += entry.plainBytes;
      const bytes = plain.subarray(
        start,
        start + (frame.entries[index - frame.first]?.plainBytes ?? 0),
      );
      const digest = this.#hash.digest(bytes);
      return digest.subarray(0, fingerprint.length).equals(fingerprint)
        ? Buffer.from(bytes)
        : undefined;
    } catch (error) {
      if (error instanceof CorruptionError) return undefined;
      throw error;
    }
  }
}
