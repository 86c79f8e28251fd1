// Directories of packs, read once for many chunks.

import { Pack } from '../../blockstore/pack.ts';
import { CorruptionError } from '../../errors.ts';
import { INDEXED_BYTES } from '../../metastore/chunks.ts';
import { soundArenas } from './arena-file.ts';
import type { CheckContext } from './check.ts';

/** Chunks lie in packs nearly in the order of their ids, so a few directories are enough. */
const DIRECTORIES_MAX = 256;

/** A pack's directory, copied out of the arena. */
export interface Directory {
  /** INDEXED_BYTES of each chunk's fingerprint. */
  readonly fingerprints: Buffer;
  readonly plainBytes: Uint32Array;
  readonly storedBytes: Uint32Array;
}

export class DirectoryCache {
  readonly #context: CheckContext;
  readonly #arenas: ReadonlySet<number>;
  readonly #arenaOf;
  readonly #directories = new Map<number, Directory | undefined>();

  constructor(context: CheckContext) {
    this.#context = context;
    this.#arenas = new Set(soundArenas(context));
    this.#arenaOf = context.connection.prepare('SELECT arena FROM pack WHERE id = ?').pluck();
  }

  /** Undefined when the pack cannot be read. */
  get(pack: number): Directory | undefined {
    if (this.#directories.has(pack)) return this.#directories.get(pack);
    const directory = this.#read(pack);
    if (this.#directories.size >= DIRECTORIES_MAX) {
      for (const oldest of this.#directories.keys()) {
        this.#directories.delete(oldest);
        break;
      }
    }
    this.#directories.set(pack, directory);
    return directory;
  }

  #read(packId: number): Directory | undefined {
    const arena = this.#arenaOf.get(packId) as number | undefined;
    if (arena === undefined || !this.#arenas.has(arena)) return undefined;
    try {
      const entries = new Pack(this.#context.blockStore.read(arena, packId), packId).entries();
      return {
        fingerprints: Buffer.concat(
          entries.map(({ fingerprint }) => fingerprint.subarray(0, INDEXED_BYTES)),
        ),
        plainBytes: Uint32Array.from(entries, (entry) => entry.plainBytes),
        storedBytes: Uint32Array.from(entries, (entry) => entry.storedBytes),
      };
    } catch (error) {
      if (error instanceof CorruptionError) return undefined;
      throw error;
    }
  }
}
