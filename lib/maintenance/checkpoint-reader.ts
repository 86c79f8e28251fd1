// Reads metadata checkpoints: finds them, the newest first, and gives their pages, each verified.

import { blake3 } from '../blake3.ts';
import { CheckpointArena, checkpointArenaIds } from '../blockstore/checkpoint-arena.ts';
import { readManifest, type CheckpointManifest } from '../blockstore/checkpoint-manifest.ts';
import { PageMap, PAGE_FINGERPRINT_BYTES, pagesOfMap } from '../blockstore/page-map.ts';
import type { StoredPage } from '../blockstore/page-map.ts';
import { decompress } from '../dedup/codec.ts';
import { CorruptionError } from '../errors.ts';

/** Bound on remembered pages of decoded frames: 8 MiB of 8 KiB pages. */
const CACHED_PAGES_MAX = 1024;

export interface FoundCheckpoint {
  readonly arena: number;
  /** Pack of the manifest: the last of the checkpoint. */
  readonly packId: number;
  readonly manifest: CheckpointManifest;
}

/** Why something that may have been a checkpoint is none. */
export type NoteDamage = (arena: number, reason: unknown) => void;

export class CheckpointReader {
  readonly #arena: CheckpointArena;
  /** Pages and maps of frames decoded lately, by place. */
  readonly #decoded = new Map<string, Buffer>();

  constructor(arena: CheckpointArena) {
    this.#arena = arena;
  }

  /** Checkpoints of the arena that have a valid manifest, the newest first. */
  *checkpoints(noteDamage: NoteDamage): Generator<FoundCheckpoint> {
    const arena = this.#arena.id;
    for (const packId of this.#arena.packIds().reverse()) {
      let manifest: CheckpointManifest | undefined;
      try {
        manifest = readManifest(this.#arena.read(packId));
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
        noteDamage(arena, error);
      }
      if (manifest !== undefined) yield { arena, packId, manifest };
    }
  }

  /** @throws CorruptionError */
  map(manifest: CheckpointManifest, index: number): PageMap {
    const place = manifest.maps[index];
    if (place === undefined) throw new CorruptionError(`the checkpoint has no page map ${index}`);
    return PageMap.parse(this.page(place), pagesOfMap(index, manifest.pages));
  }

  /** The bytes at a place, which stay valid. @throws CorruptionError  they are not what they must be */
  page(place: StoredPage): Buffer {
    const key = `${place.packId}/${place.index}`;
    let bytes = this.#decoded.get(key);
    if (bytes === undefined) {
      this.#decodeFrame(place);
      bytes = this.#decoded.get(key);
    }
    const isSound =
      bytes !== undefined &&
      blake3(bytes).subarray(0, PAGE_FINGERPRINT_BYTES).equals(place.fingerprint);
    if (bytes !== undefined && isSound) return bytes;
    throw new CorruptionError(
      `page ${place.index} of pack ${place.packId} in ${this.#arena.path} is damaged`,
    );
  }

  #decodeFrame(place: StoredPage): void {
    if (this.#decoded.size >= CACHED_PAGES_MAX) this.#decoded.clear();
    const frame = this.#arena.read(place.packId).frameOf(place.index);
    const plain = decompress(frame.stored, frame.codec, frame.plainBytes);
    let offset = 0;
    frame.entries.forEach(({ plainBytes }, position) => {
      const key = `${place.packId}/${frame.first + position}`;
      this.#decoded.set(key, plain.subarray(offset, offset + plainBytes));
      offset += plainBytes;
    });
  }
}

/**
 * Looks at the checkpoints of a store, the newest first, until `use` accepts one.
 * @returns what `use` returned; undefined when no checkpoint was accepted
 */
export async function findCheckpoint<T>(
  folder: string,
  noteDamage: NoteDamage,
  use: (checkpoint: FoundCheckpoint, reader: CheckpointReader) => Promise<T | undefined>,
): Promise<T | undefined> {
  for (const id of checkpointArenaIds(folder).reverse()) {
    const found = await useArena(folder, id, noteDamage, use);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function useArena<T>(
  folder: string,
  id: number,
  noteDamage: NoteDamage,
  use: (checkpoint: FoundCheckpoint, reader: CheckpointReader) => Promise<T | undefined>,
): Promise<T | undefined> {
  let arena: CheckpointArena;
  try {
    arena = CheckpointArena.open(folder, id);
  } catch (error) {
    if (!isDamage(error)) throw error;
    noteDamage(id, error);
    return undefined;
  }
  try {
    const reader = new CheckpointReader(arena);
    for (const checkpoint of reader.checkpoints(noteDamage)) {
      const used = await use(checkpoint, reader);
      if (used !== undefined) return used;
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    noteDamage(id, error); // LMDB's own pages: what else is in this arena cannot be found
  } finally {
    await arena.close();
  }
  return undefined;
}

function isDamage(error: unknown): boolean {
  return error instanceof CorruptionError || (error as Error).message.startsWith('MDB_');
}

/** The newest checkpoint with a valid manifest; its pages are not looked at. */
export async function newestCheckpoint(
  folder: string,
  noteDamage: NoteDamage,
): Promise<FoundCheckpoint | undefined> {
  return findCheckpoint(folder, noteDamage, async (checkpoint) => Promise.resolve(checkpoint));
}
