// Gives chunks back: finds the record, decodes it, checks it against its fingerprint (G2), and keeps
// the plain bytes of the most recent ones.

import type { BlockStore } from '../blockstore/block-store.ts';
import { Pack } from '../blockstore/pack.ts';
import type { KeyedHash } from '../blake3.ts';
import { CorruptionError } from '../errors.ts';
import type { ChunkId, ChunkIndex, ChunkLocation } from './chunk-index.ts';
import { decompress } from './codec.ts';
import type { PackWriter } from './pack-writer.ts';

/** Bound on decoded chunks kept; two packs of every one of a dozen interleaved readers fit. */
export const DECODED_BYTES_MAX = 24 * 1024 * 1024;

interface StoredRecord {
  readonly fingerprint: Buffer;
  readonly codec: number;
  readonly plainBytes: number;
  readonly record: Buffer;
}

export class ChunkReader {
  readonly #index: ChunkIndex;
  readonly #writer: PackWriter;
  readonly #blockStore: BlockStore;
  readonly #hash: KeyedHash;
  /** Decoded chunks, the least recently used first. */
  readonly #decoded = new Map<ChunkId, Buffer>();
  #decodedBytes = 0;

  constructor(options: {
    readonly index: ChunkIndex;
    readonly writer: PackWriter;
    readonly blockStore: BlockStore;
    readonly hash: KeyedHash;
  }) {
    this.#index = options.index;
    this.#writer = options.writer;
    this.#blockStore = options.blockStore;
    this.#hash = options.hash;
  }

  /**
   * The chunk's plain bytes, verified. Shared with the cache: do not write to them.
   * @throws CorruptionError  missing, undecodable, or not the bytes that were stored
   */
  read(chunk: ChunkId): Buffer {
    const known = this.#decoded.get(chunk);
    if (known !== undefined) {
      this.#decoded.delete(chunk);
      this.#decoded.set(chunk, known);
      return known;
    }
    const plain = this.#decode(chunk);
    this.#keep(chunk, plain);
    return plain;
  }

  #decode(chunk: ChunkId): Buffer {
    const location = this.#index.locate(chunk);
    try {
      const stored = this.#record(location);
      const plain = decompress(stored.record, stored.codec, stored.plainBytes);
      this.#verify(plain, stored, location);
      return plain;
    } catch (cause) {
      if (!(cause instanceof CorruptionError)) throw cause;
      throw new CorruptionError(`chunk ${chunk} in pack ${location.packId} cannot be read`, {
        cause,
      });
    }
  }

  #record(location: ChunkLocation): StoredRecord {
    const pending = this.#writer.find(location.packId, location.index);
    if (pending !== undefined) return { ...pending.entry, record: pending.record };
    const arena = this.#index.arenaOf(location.packId);
    const pack = new Pack(this.#blockStore.read(arena, location.packId), location.packId);
    const entry = pack.entry(location.index);
    return { ...entry, record: pack.record(entry) };
  }

  #verify(plain: Buffer, stored: StoredRecord, location: ChunkLocation): void {
    const found = this.#hash.digest(plain);
    if (!found.equals(stored.fingerprint)) {
      const [want, got] = [stored.fingerprint, found].map((digest) => digest.toString('hex', 0, 8));
      throw new CorruptionError(`its bytes hash to ${got}…, its fingerprint is ${want}…`);
    }
    // The index must mean this very record, or a wrong row would read as right bytes.
    if (!found.subarray(0, location.fingerprint.length).equals(location.fingerprint)) {
      throw new CorruptionError('the index names another chunk at this place');
    }
    if (plain.length !== location.plainBytes) {
      throw new CorruptionError(
        `it has ${plain.length} bytes, the index says ${location.plainBytes}`,
      );
    }
  }

  #keep(chunk: ChunkId, plain: Buffer): void {
    this.#decoded.set(chunk, plain);
    this.#decodedBytes += plain.length;
    for (const [oldest, bytes] of this.#decoded) {
      if (this.#decodedBytes <= DECODED_BYTES_MAX) return;
      this.#decoded.delete(oldest);
      this.#decodedBytes -= bytes.length;
    }
  }
}
