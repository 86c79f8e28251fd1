// Puts the packs of a synthetic store: random chunks with their true fingerprints, in real arenas.

import type { KeyedHash } from '../../lib/blake3.ts';
import type { ArenaAllocator, BlockStore } from '../../lib/blockstore/block-store.ts';
import { PackBuilder } from '../../lib/blockstore/pack.ts';
import { CodecId } from '../../lib/dedup/codec.ts';
import { INDEXED_BYTES } from '../../lib/metastore/chunks.ts';
import { Keystream } from '../sources.ts';
import { CHUNK_BYTES, CHUNKS_PER_PACK, PACKS_PER_ARENA, type Shape } from './shape.ts';

/** Packs put at a time: they share a sync. */
const PUTS_MAX = 512;
const CREATED_MS = 1_735_689_600_000;

export interface MadePack {
  readonly packId: number;
  readonly arena: number;
  readonly firstChunk: number;
  /** As the index has them, one for each chunk. */
  readonly fingerprints: readonly Buffer[];
}

export class PackMaker implements ArenaAllocator {
  readonly #blockStore: BlockStore;
  readonly #parts: { readonly shape: Shape; readonly hash: KeyedHash };
  readonly #random: Keystream;
  readonly #builder = new PackBuilder(CHUNKS_PER_PACK * CHUNK_BYTES);
  #puts: Promise<void>[] = [];
  #arenas = 0;

  constructor(
    blockStore: BlockStore,
    parts: { readonly shape: Shape; readonly hash: KeyedHash; readonly seed: string },
  ) {
    this.#blockStore = blockStore;
    this.#parts = parts;
    this.#random = new Keystream(parts.seed, 'chunks');
    blockStore.useAllocator(this);
  }

  /** How many were begun. */
  get arenas(): number {
    return this.#arenas;
  }

  nextArena(): number {
    this.#arenas += 1;
    return this.#arenas;
  }

  arenaBegun(): void {
    // Their rows are made from those of the packs.
  }

  /** All packs in order; durable when the generator ends. */
  async *packs(): AsyncGenerator<MadePack> {
    const { packs, chunks } = this.#parts.shape;
    for (let packId = 1; packId <= packs; packId += 1) {
      const firstChunk = 1 + (packId - 1) * CHUNKS_PER_PACK;
      const count = Math.min(CHUNKS_PER_PACK, chunks + 1 - firstChunk);
      yield this.#make(packId, firstChunk, count);
      const isArenaFull = packId % PACKS_PER_ARENA === 0;
      if (this.#puts.length >= PUTS_MAX || isArenaFull) await this.#settle();
      if (isArenaFull) this.#blockStore.seal();
    }
    await this.#settle();
  }

  #make(packId: number, firstChunk: number, count: number): MadePack {
    const stored = this.#random.next(count * CHUNK_BYTES);
    const chunks = Array.from({ length: count }, (_, index) => {
      const bytes = stored.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
      const fingerprint = this.#parts.hash.digest(bytes);
      return { fingerprint, plainBytes: CHUNK_BYTES, chunk: firstChunk + index };
    });
    this.#builder.reset();
    this.#builder.append({ chunks, codec: CodecId.NONE, stored });
    const header = { packId, batch: 1, createdMs: CREATED_MS };
    // A copy: the builder's memory holds the next pack while this one is written.
    const bytes = Buffer.from(this.#builder.seal(header));
    const arena = this.#blockStore.arenaFor(bytes.length);
    this.#puts.push(this.#blockStore.put(arena, packId, bytes));
    const fingerprints = chunks.map(({ fingerprint }) => fingerprint.subarray(0, INDEXED_BYTES));
    return { packId, arena, firstChunk, fingerprints };
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#puts);
    this.#puts = [];
  }
}
