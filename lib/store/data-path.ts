// The payload's way through an open store, put together: file contents -> ingest -> packs, and back.

import { createKeyedHash, type KeyedHash } from '../blake3.ts';
import type { BlockStore } from '../blockstore/block-store.ts';
import { FRAME_BYTES_MAX } from '../blockstore/frame.ts';
import type { DamageListener } from '../dedup/chunk-index.ts';
import { ChunkReader } from '../dedup/chunk-reader.ts';
import type { CompressionChoice } from '../dedup/compression-choice.ts';
import { Ingest } from '../dedup/ingest.ts';
import { PackWriter } from '../dedup/pack-writer.ts';
import { ReadAhead } from '../dedup/read-ahead.ts';
import { WorkerPool } from '../dedup/worker-pool.ts';
import { ContentIngest } from '../filesystem/content-ingest.ts';
import { ContentTable } from '../filesystem/content-table.ts';
import type { ContentParts } from '../filesystem/file-content.ts';
import { GatherBuffer } from '../filesystem/gather-buffer.ts';
import type { Metastore } from '../metastore/metastore.ts';
import type { SlabPool } from '../slab-pool.ts';
import type { Format } from './format.ts';
import type { PendingBytes } from './host-space.ts';

export interface DataPathOptions {
  readonly format: Format;
  readonly compression: CompressionChoice;
  readonly pool: SlabPool;
  readonly metastore: Metastore;
  readonly blockStore: BlockStore;
  isGateOpen(): boolean;
  readonly takeSegments: ContentParts['takeSegments'];
  /** Told of chunks that cannot be read. */
  readonly damage: DamageListener;
  /** A pack was sealed. */
  onPack(): void;
  /** Nothing more can be stored. */
  onFailure(what: string, error: unknown): void;
}

export class DataPath {
  readonly hash: KeyedHash;
  readonly packWriter: PackWriter;
  readonly reader: ChunkReader;
  readonly ahead: ReadAhead;
  readonly ingest: Ingest;
  readonly contents: ContentTable;
  readonly gather: GatherBuffer;
  readonly contentIngest: ContentIngest;
  readonly #workers: WorkerPool;
  readonly #metastore: Metastore;

  constructor(options: DataPathOptions) {
    const { blockStore, metastore } = options;
    this.#metastore = metastore;
    const { chunking, fingerprintKey } = options.format;
    const { chunks, counters, packs } = metastore;
    const key = Buffer.from(fingerprintKey, 'hex');
    this.hash = createKeyedHash(key);
    blockStore.useAllocator(packs);
    this.packWriter = new PackWriter({
      blockStore,
      frameBytesMax: Math.max(chunking.bytesMax, FRAME_BYTES_MAX),
      nextPackId: () => counters.nextPack++,
      batch: () => counters.batch + 1,
      onSealed: ({ packId, arena, recordBytes }) => {
        packs.insert(packId, arena, recordBytes);
        options.onPack();
      },
    });
    this.#workers = new WorkerPool({
      cut: chunking,
      compression: options.compression,
      fingerprintKey: key,
      onFailure: (error) => options.onFailure('a worker failed', error),
    });
    const writer = this.packWriter;
    const { hash } = this;
    const { damage } = options;
    const ahead = new ReadAhead({
      index: chunks,
      writer,
      ports: this.#workers.openDecoders(),
      pathOf: (arena) => blockStore.path(arena),
    });
    blockStore.onRemove = (arena) => ahead.forgetArena(arena);
    this.ahead = ahead;
    this.reader = new ChunkReader({ index: chunks, writer, blockStore, hash, damage, ahead });
    const { takeSegments } = options;
    this.contents = new ContentTable({
      extents: metastore.extents,
      reader: this.reader,
      takeSegments,
    });
    this.ingest = new Ingest({ workers: this.#workers, index: chunks, writer });
    this.gather = new GatherBuffer(options.pool);
    this.contentIngest = new ContentIngest({
      ingest: this.ingest,
      pool: options.pool,
      chunkBytesMax: chunking.bytesMax,
      activeJobsMax: this.#workers.slotCount + 2,
      isGateOpen: () => options.isGateOpen(),
      onFailure: (error) => {
        options.onFailure('ingest failed', error);
        this.contents.loseAll();
      },
      onSettled: (content) => this.contents.release(content),
      releaseGather: () => this.gather.release(),
    });
  }

  /** What is accepted and not on the disk yet. */
  get pending(): PendingBytes {
    const accepted = this.contentIngest.pendingBytes + this.packWriter.pendingBytes;
    return { accepted, growth: this.#metastore.database.growthBytes };
  }

  async close(): Promise<void> {
    this.ahead.close();
    await this.#workers.close();
  }
}
