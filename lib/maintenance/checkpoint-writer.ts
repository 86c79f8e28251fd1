// Writes a metadata checkpoint: reads the main file of the metastore page by page, stores the pages
// that the checkpoint before it has not, and the maps that changed; the manifest comes last.
//
// Only one map of the checkpoint before is in memory at a time. Pages that changed side by side are
// compressed together. Work is done in slices: the thread also serves the kernel.

import { setImmediate } from 'node:timers/promises';
import { blake3 } from '../blake3.ts';
import type { CheckpointArena } from '../blockstore/checkpoint-arena.ts';
import {
  NO_CHUNK,
  packManifest,
  type CheckpointManifest,
} from '../blockstore/checkpoint-manifest.ts';
import { FRAME_BYTES_MAX } from '../blockstore/frame.ts';
import { PackBuilder, PackKind } from '../blockstore/pack.ts';
import { MAP_ENTRY_BYTES, mapCount, PageMap, PAGES_PER_MAP } from '../blockstore/page-map.ts';
import { PAGE_FINGERPRINT_BYTES, pagesOfMap, type StoredPage } from '../blockstore/page-map.ts';
import { CodecId, codedCompressor, compressFrame, type CodedCompressor } from '../dedup/codec.ts';
import { CorruptionError } from '../errors.ts';
import type { CheckpointReader } from './checkpoint-reader.ts';

/** Pages hashed and compressed before requests get their turn again: 256 KiB, under a millisecond. */
const PAGES_PER_SLICE = 32;
/** Packs on their way to the disk, 4 MiB: they share a sync. */
const PUTS_MAX = 8;

/** The file to copy; it does not change while it is copied. */
export interface PageSource {
  readonly pageBytes: number;
  readonly pages: number;
  /**
   * Fills `into` with pages from this one on.
   * @throws CorruptionError a page is damaged  @throws Error  the copy must end
   */
  read(firstPage: number, into: Buffer): Promise<void>;
}

/** The checkpoint whose pages need not be stored again; it lies in the same arena. */
export interface BaseCheckpoint {
  readonly reader: CheckpointReader;
  readonly manifest: CheckpointManifest;
}

export interface WriterOptions {
  readonly arena: CheckpointArena;
  readonly base: BaseCheckpoint | undefined;
  readonly source: PageSource;
  /** Number of the first pack to be written. */
  readonly firstPack: number;
  readonly batch: number;
  readonly createdMs: number;
  /** To be asked before each pack. @throws NoSpaceError */
  assertRoom(bytes: number): void;
}

interface PendingPage {
  /** In its map. */
  readonly index: number;
  readonly bytes: Buffer;
  /** 32 bytes. */
  readonly fingerprint: Buffer;
}

export interface WrittenPages {
  readonly maps: readonly StoredPage[];
  /** What all pages take as stored, also those stored before. */
  readonly storedBytes: number;
}

export class CheckpointWriter {
  readonly #options: WriterOptions;
  readonly #compressor: CodedCompressor = codedCompressor({ codec: CodecId.LZ4, level: 0 });
  readonly #builder = new PackBuilder(Math.max(FRAME_BYTES_MAX, PAGES_PER_MAP * MAP_ENTRY_BYTES));
  readonly #pagesPerFrame: number;
  #nextPack: number;
  #puts: Promise<void>[] = [];
  #failure: unknown;
  #bytesWritten = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#nextPack = options.firstPack;
    this.#pagesPerFrame = Math.max(1, Math.floor(FRAME_BYTES_MAX / options.source.pageBytes));
  }

  /** Bytes of the packs put so far. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Resolves when all pages and maps are durable. @throws NoSpaceError and what the source throws */
  async writePages(): Promise<WrittenPages> {
    const { pages, pageBytes } = this.#options.source;
    const buffer = Buffer.allocUnsafeSlow(Math.min(pages, PAGES_PER_MAP) * pageBytes);
    const maps: StoredPage[] = [];
    let storedBytes = 0;
    for (let index = 0; index < mapCount(pages); index += 1) {
      const part = buffer.subarray(0, pagesOfMap(index, pages) * pageBytes);
      await this.#options.source.read(index * PAGES_PER_MAP, part);
      const before = this.#mapBefore(index);
      const map = await this.#storeChanged(part, before);
      maps.push(await this.#storeMap(index, map, before));
      for (let page = 0; page < map.pages; page += 1) storedBytes += map.storedBytes(page);
    }
    await this.#seal();
    await this.#settle();
    return { maps, storedBytes };
  }

  /**
   * Resolves when the checkpoint is durable and counts. Everything else must be before.
   * @returns the manifest's pack
   */
  async writeManifest(manifest: CheckpointManifest): Promise<number> {
    const packId = this.#nextPack;
    const bytes = packManifest(manifest, packId);
    this.#options.assertRoom(bytes.length);
    this.#nextPack += 1;
    await this.#options.arena.put(packId, bytes);
    this.#bytesWritten += bytes.length;
    return packId;
  }

  /** Takes back what was put; for a checkpoint that has no manifest. */
  async discard(): Promise<void> {
    await Promise.all(this.#puts);
    const { firstPack, arena } = this.#options;
    const count = this.#nextPack - firstPack;
    await arena.remove(Array.from({ length: count }, (_, index) => firstPack + index));
  }

  /** The map of the checkpoint before; undefined, and so all is stored anew, when it is damaged. */
  #mapBefore(index: number): PageMap | undefined {
    const { base } = this.#options;
    if (base === undefined || index >= base.manifest.maps.length) return undefined;
    try {
      return base.reader.map(base.manifest, index);
    } catch (error) {
      if (error instanceof CorruptionError) return undefined;
      throw error;
    }
  }

  async #storeChanged(bytes: Buffer, before: PageMap | undefined): Promise<PageMap> {
    const { pageBytes } = this.#options.source;
    const map = PageMap.empty(bytes.length / pageBytes);
    let run: PendingPage[] = [];
    for (let index = 0; index < map.pages; index += 1) {
      const page = bytes.subarray(index * pageBytes, (index + 1) * pageBytes);
      const fingerprint = blake3(page);
      if (isStored(before, index, fingerprint)) {
        map.copyFrom(before, index);
        await this.#storeRun(map, run);
        run = [];
      } else {
        run.push({ index, bytes: page, fingerprint });
      }
      if (run.length === this.#pagesPerFrame) {
        await this.#storeRun(map, run);
        run = [];
      }
      if (index % PAGES_PER_SLICE === PAGES_PER_SLICE - 1) await setImmediate();
    }
    await this.#storeRun(map, run);
    return map;
  }

  /** Compresses pages that lie side by side as one. */
  async #storeRun(map: PageMap, run: readonly PendingPage[]): Promise<void> {
    if (run.length === 0) return;
    const content = compressFrame(
      run.map(({ bytes }) => bytes),
      this.#compressor,
    );
    const chunks = run.map(({ fingerprint, bytes }) => ({
      fingerprint,
      plainBytes: bytes.length,
      chunk: NO_CHUNK,
    }));
    const { packId, index: first } = await this.#append({ chunks, ...content });
    run.forEach(({ index, fingerprint }, position) => {
      const place = { fingerprint, packId, index: first + position };
      map.set(index, place, this.#builder.entry(place.index).storedBytes);
    });
    if (this.#builder.isFull) await this.#seal();
  }

  async #storeMap(index: number, map: PageMap, before: PageMap | undefined): Promise<StoredPage> {
    const place = this.#options.base?.manifest.maps[index];
    if (place !== undefined && before?.bytes.equals(map.bytes) === true) return place;
    const digest = blake3(map.bytes);
    const chunk = { fingerprint: digest, plainBytes: map.bytes.length, chunk: NO_CHUNK };
    const stored = { chunks: [chunk], codec: CodecId.NONE, stored: map.bytes };
    const fingerprint = digest.subarray(0, PAGE_FINGERPRINT_BYTES);
    const written = { fingerprint, ...(await this.#append(stored)) };
    if (this.#builder.isFull) await this.#seal();
    return written;
  }

  async #append(
    frame: Parameters<PackBuilder['append']>[0],
  ): Promise<{ packId: number; index: number }> {
    if (this.#failure !== undefined) await this.#settle();
    const index = this.#builder.append(frame);
    return { packId: this.#nextPack, index };
  }

  async #seal(): Promise<void> {
    if (this.#builder.count === 0) return;
    const { batch, createdMs, arena } = this.#options;
    this.#options.assertRoom(this.#builder.bytes);
    const packId = this.#nextPack;
    this.#nextPack += 1;
    const bytes = Buffer.from(
      this.#builder.seal({ packId, batch, createdMs, kind: PackKind.PAGES }),
    );
    this.#builder.reset();
    this.#bytesWritten += bytes.length;
    const put = arena.put(packId, bytes).catch((error: unknown) => {
      this.#failure ??= error;
    });
    this.#puts.push(put);
    if (this.#puts.length >= PUTS_MAX) await this.#settle();
  }

  /** Waits for the packs on their way. */
  async #settle(): Promise<void> {
    await Promise.all(this.#puts);
    this.#puts = [];
    if (this.#failure !== undefined) throw this.#failure;
  }
}

function isStored(
  before: PageMap | undefined,
  index: number,
  fingerprint: Buffer,
): before is PageMap {
  if (before === undefined || index >= before.pages) return false;
  const found = before.page(index).fingerprint;
  return found.equals(fingerprint.subarray(0, PAGE_FINGERPRINT_BYTES));
}
