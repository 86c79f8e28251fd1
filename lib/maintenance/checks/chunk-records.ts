// Every chunk row names a record that is this chunk: same fingerprint, same sizes. Packs that cannot
// be read or have no row are left to `packs-stored` and `pack-totals`.

import { Pack } from '../../blockstore/pack.ts';
import { CorruptionError } from '../../errors.ts';
import { INDEXED_BYTES } from '../../metastore/chunks.ts';
import { soundArenas } from './arena-file.ts';
import { defineCheck, type CheckContext } from './check.ts';
import { pages } from './paging.ts';

/** Chunks lie in packs nearly in the order of their ids, so a few directories are enough. */
const DIRECTORIES_MAX = 256;
/** In the worst case each is in another pack, a read from disk. */
const CHUNKS_PER_TURN = 128;

/** A pack's directory, copied out of the arena. */
interface Directory {
  /** INDEXED_BYTES of each chunk's fingerprint. */
  readonly fingerprints: Buffer;
  readonly plainBytes: Uint32Array;
  readonly storedBytes: Uint32Array;
}

type Row = [
  id: number,
  h: Buffer | null,
  pack: number,
  index: number,
  bytes: number,
  stored: number,
];

export const chunkRecords = defineCheck({
  name: 'chunk-records',
  invariant: 'I1',
  level: 'full',
  async *find(context) {
    const directories = new DirectoryCache(context);
    const chunks = pages<Row>(context, {
      sql: 'SELECT id, h, pack, idx, bytes, stored FROM chunk WHERE id > ? ORDER BY id LIMIT ?',
      start: [Number.MIN_SAFE_INTEGER],
      keyOf: ([id]) => [id],
      total: context.metastore.counters.nextChunk,
      rows: CHUNKS_PER_TURN,
    });
    for await (const page of chunks) {
      for (const row of page) {
        const message = compare(row, directories.get(row[2]));
        if (message !== undefined) yield message;
      }
    }
  },
});

function compare(row: Row, directory: Directory | undefined): string | undefined {
  const [id, h, pack, index, bytes, stored] = row;
  // A quarantined chunk is known to be bad.
  if (directory === undefined || h === null) return undefined;
  const place = `chunk ${id} (record ${index} of pack ${pack})`;
  const count = directory.plainBytes.length;
  if (index < 0 || index >= count) return `${place}: the pack has ${count} records`;
  const found = directory.fingerprints.subarray(index * INDEXED_BYTES, (index + 1) * INDEXED_BYTES);
  if (!found.equals(h)) {
    return `${place} has fingerprint ${found.toString('hex')}, its row says ${h.toString('hex')}`;
  }
  const plainBytes = directory.plainBytes[index];
  const storedBytes = directory.storedBytes[index];
  if (plainBytes !== bytes) return `${place} has ${plainBytes} plain bytes, its row says ${bytes}`;
  if (storedBytes !== stored) {
    return `${place} has ${storedBytes} stored bytes, its row says ${stored}`;
  }
  return undefined;
}

class DirectoryCache {
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
