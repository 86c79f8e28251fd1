// The packs read last: a reader wants a pack's frames one after the other. Of more packs the directories
// are kept: a file whose parts were written at many times goes back and forth between packs, and would
// read each of them as a whole for every frame.

import type { Frame } from '../blockstore/frame.ts';
import { Pack, type FrameFinder } from '../blockstore/pack.ts';
import { CacheCounts } from '../cache-counts.ts';

/** For so many readers at once, at about 0.6 MiB each. */
const PACKS_MAX = 4;
/** Directories of about 100 packs of 4 KiB chunks, or of 1,000 packs of 32 KiB chunks. */
export const DIRECTORY_BYTES_MAX = 1024 * 1024;

/**
 * Who wants this part of a pack's chunks has it read as a whole: 8 frames read one by one take as long as
 * 32 together.
 */
const WHOLE_SHARE = 1 / 4;

/** Where the bytes of packs come from. */
export interface PackSource {
  /** The pack's bytes, in `memory` if they fit. @throws CorruptionError */
  read(packId: number, memory?: Buffer): Buffer;
  /** Fills `into` with its bytes from `offset` on. @throws CorruptionError */
  readPart(packId: number, offset: number, into: Buffer): void;
}

interface CachedPack {
  readonly packId: number;
  readonly pack: Pack;
  readonly memory: Buffer;
}

export class PackCache {
  /** A hit: the pack or its directory is here, so that at most one frame is read. */
  readonly counts = new CacheCounts();
  readonly #source: PackSource;
  /** The least recently used first. */
  #packs: CachedPack[] = [];
  /** The least recently used first. */
  readonly #finders = new Map<number, FrameFinder>();
  #finderBytes = 0;
  #frameMemory = Buffer.alloc(0);

  constructor(source: PackSource) {
    this.#source = source;
  }

  /** The frame that holds a chunk; its stored bytes are valid until the next call. @throws CorruptionError */
  frameOf(packId: number, index: number): Frame {
    const known = this.#packs.find((cached) => cached.packId === packId);
    if (known !== undefined) {
      this.counts.hits += 1;
      this.#packs = [...this.#packs.filter((cached) => cached !== known), known];
      return known.pack.frameOf(index);
    }
    const finder = this.#finders.get(packId);
    if (finder === undefined) {
      this.counts.misses += 1;
      return this.#readPack(packId).frameOf(index);
    }
    this.counts.hits += 1;
    this.#finders.delete(packId);
    this.#finders.set(packId, finder);
    return this.#readFrame(packId, finder, index);
  }

  /** So many chunks of the pack will be asked for one after the other. @throws CorruptionError */
  expect(packId: number, count: number): void {
    const finder = this.#finders.get(packId);
    if (finder === undefined || count < finder.count * WHOLE_SHARE) return;
    if (this.#packs.some((cached) => cached.packId === packId)) return;
    this.#dropFinder(packId);
    this.#readPack(packId);
  }

  #readPack(packId: number): Pack {
    const spare = this.#packs.length < PACKS_MAX ? undefined : this.#packs.shift()?.memory;
    const bytes = this.#source.read(packId, spare);
    const memory = spare !== undefined && bytes.buffer === spare.buffer ? spare : bytes;
    const pack = new Pack(bytes, packId);
    this.#packs.push({ packId, pack, memory });
    this.#keep(packId, pack.frameFinder());
    return pack;
  }

  #readFrame(packId: number, finder: FrameFinder, index: number): Frame {
    const place = finder.placeOf(index);
    if (this.#frameMemory.length < place.storedBytes) {
      this.#frameMemory = Buffer.allocUnsafeSlow(place.storedBytes);
    }
    const stored = this.#frameMemory.subarray(0, place.storedBytes);
    this.#source.readPart(packId, place.offset, stored);
    return { ...place, stored };
  }

  #keep(packId: number, finder: FrameFinder): void {
    this.#finders.set(packId, finder);
    this.#finderBytes += finder.bytes;
    for (const [oldest] of this.#finders) {
      if (this.#finderBytes <= DIRECTORY_BYTES_MAX) return;
      this.#dropFinder(oldest);
    }
  }

  #dropFinder(packId: number): void {
    this.#finderBytes -= this.#finders.get(packId)?.bytes ?? 0;
    this.#finders.delete(packId);
  }

  /** The next read asks the source again. */
  forget(packId: number): void {
    this.#packs = this.#packs.filter((cached) => cached.packId !== packId);
    this.#dropFinder(packId);
  }
}
