// The packs read last: a reader wants a pack's frames one after the other.

import type { BlockStore } from '../blockstore/block-store.ts';
import { Pack } from '../blockstore/pack.ts';

/** For so many readers at once, at about 0.6 MiB each. */
const PACKS_MAX = 4;

interface CachedPack {
  readonly packId: number;
  readonly pack: Pack;
  readonly memory: Buffer;
}

export class PackCache {
  readonly #blockStore: BlockStore;
  /** The least recently used first. */
  #packs: CachedPack[] = [];

  constructor(blockStore: BlockStore) {
    this.#blockStore = blockStore;
  }

  /** The pack, valid until the next call. @throws CorruptionError */
  read(packId: number, arenaOf: (packId: number) => number): Pack {
    const known = this.#packs.find((cached) => cached.packId === packId);
    if (known !== undefined) {
      this.#packs = [...this.#packs.filter((cached) => cached !== known), known];
      return known.pack;
    }
    const spare = this.#packs.length < PACKS_MAX ? undefined : this.#packs.shift()?.memory;
    const bytes = this.#blockStore.read(arenaOf(packId), packId, spare);
    const memory = spare !== undefined && bytes.buffer === spare.buffer ? spare : bytes;
    const pack = new Pack(bytes, packId);
    this.#packs.push({ packId, pack, memory });
    return pack;
  }

  /** The next read asks the block store again. */
  forget(packId: number): void {
    this.#packs = this.#packs.filter((cached) => cached.packId !== packId);
  }
}
