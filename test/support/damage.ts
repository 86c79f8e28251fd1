// A small store with something of everything, made without the layers above the metastore, and ways
// to damage its files.

import { openSync, closeSync, readFileSync, readSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createKeyedHash } from '../../lib/blake3.ts';
import { BlockStore } from '../../lib/blockstore/block-store.ts';
import type { ChunkId } from '../../lib/dedup/chunk-index.ts';
import { CodecId } from '../../lib/dedup/codec.ts';
import { PackWriter } from '../../lib/dedup/pack-writer.ts';
import { silentLog } from '../../lib/log.ts';
import { runFsck, type CheckLevel, type FsckReport } from '../../lib/maintenance/fsck.ts';
import { FileType, HAS_XATTRS, type Inode } from '../../lib/metastore/inodes.ts';
import { SEGMENT_BYTES } from '../../lib/metastore/extent-codec.ts';
import { Metastore } from '../../lib/metastore/metastore.ts';

const CHUNK_BYTES = 40 * 1024;
/** Packs are closed after so many chunks, as commits would. */
const CHUNKS_PER_PACK = 3;
const CHUNKS = 14;
/** Two packs of 128 KiB and more go into an arena. */
const ARENA_BYTES_MAX = 400 * 1024;

/** Of the sample's fingerprints. */
export const SAMPLE_KEY = Buffer.alloc(32, 7);

/** Inode numbers of the sample. */
export const SampleIno = {
  ROOT: 1,
  DIRECTORY: 2,
  INNER: 3,
  INNERMOST: 4,
  FILE: 5,
  LINKED: 6,
  SYMLINK: 7,
  FIFO: 8,
  ORPHAN: 9,
} as const;

export class SampleStore {
  readonly folder: string;
  readonly #hash = createKeyedHash(SAMPLE_KEY);
  #metastore: Metastore;
  #blockStore: BlockStore;

  private constructor(folder: string, create: boolean) {
    this.folder = folder;
    this.#metastore = new Metastore(this.databasePath, { create });
    this.#blockStore = this.#openBlockStore();
  }

  static async create(folder: string): Promise<SampleStore> {
    const sample = new SampleStore(folder, true);
    await sample.#fill();
    return sample;
  }

  get databasePath(): string {
    return join(this.folder, 'meta.db');
  }

  get metastore(): Metastore {
    return this.#metastore;
  }

  get blockStore(): BlockStore {
    return this.#blockStore;
  }

  #openBlockStore(): BlockStore {
    return new BlockStore(join(this.folder, 'arenas'), {
      arenaBytesMax: ARENA_BYTES_MAX,
      log: silentLog(),
    });
  }

  async close(): Promise<void> {
    this.#metastore.close();
    await this.#blockStore.close();
  }

  /** Runs `damage` while the store is closed. */
  async whileClosed(damage: () => void): Promise<void> {
    await this.close();
    damage();
    this.#metastore = new Metastore(this.databasePath, { create: false });
    this.#blockStore = this.#openBlockStore();
  }

  async fsck(level: CheckLevel, idsPerPass?: number): Promise<FsckReport> {
    const context = {
      connection: this.#metastore.database.connection,
      metastore: this.#metastore,
      blockStore: this.#blockStore,
      hash: this.#hash,
      log: silentLog(),
      ...(idsPerPass === undefined ? {} : { idsPerPass }),
    };
    return runFsck(context, level);
  }

  /** What fsck says after a change by SQL, which is taken back. */
  async fsckAfter(
    sql: string,
    level: CheckLevel = 'full',
    idsPerPass?: number,
  ): Promise<FsckReport> {
    const { connection } = this.#metastore.database;
    connection.exec('SAVEPOINT damage');
    try {
      connection.exec(sql);
      return await this.fsck(level, idsPerPass);
    } finally {
      connection.exec('ROLLBACK TO damage; RELEASE damage');
    }
  }

  async #fill(): Promise<void> {
    const writer = this.#createWriter();
    const chunks: ChunkId[] = [];
    while (chunks.length < CHUNKS) {
      chunks.push(this.#store(writer, chunks.length));
      if (chunks.length % CHUNKS_PER_PACK === 0) await writer.flush();
    }
    this.#makeTree();
    this.#makeContent(chunks);
    await writer.flush();
    this.#metastore.commit();
  }

  #createWriter(): PackWriter {
    const { counters, packs } = this.#metastore;
    this.#blockStore.useAllocator(packs);
    return new PackWriter({
      blockStore: this.#blockStore,
      frameBytesMax: CHUNK_BYTES,
      nextPackId: () => counters.nextPack++,
      batch: () => counters.batch + 1,
      onSealed: ({ packId, arena, recordBytes }) => packs.insert(packId, arena, recordBytes),
    });
  }

  #store(writer: PackWriter, seed: number): ChunkId {
    const plain = Buffer.alloc(CHUNK_BYTES, `chunk ${seed} `);
    const fingerprint = this.#hash.digest(plain);
    const chunk = this.#metastore.chunks.add(fingerprint, plain.length);
    const place = writer.append({
      chunks: [{ fingerprint, plainBytes: plain.length, chunk }],
      codec: CodecId.NONE,
      stored: plain,
    });
    this.#metastore.chunks.place(chunk, { ...place, storedBytes: plain.length });
    return chunk;
  }

  #makeTree(): void {
    const { inodes, dentries, symlinks, xattrs, orphans } = this.#metastore;
    const make = (mode: number, nlink: number): Inode => {
      const inode = inodes.create(mode);
      inode.nlink = nlink;
      return inode;
    };
    const name = (parent: number, text: string, inode: Inode): void => {
      dentries.insert(parent, Buffer.from(text), inode.ino, inode.mode);
      if (inode.isDirectory) inode.parent = parent;
    };
    const root = make(FileType.DIRECTORY | 0o755, 3);
    root.parent = root.ino;
    name(root.ino, 'directory', make(FileType.DIRECTORY | 0o755, 3));
    name(SampleIno.DIRECTORY, 'inner', make(FileType.DIRECTORY | 0o755, 3));
    name(SampleIno.INNER, 'innermost', make(FileType.DIRECTORY | 0o755, 2));
    const file = make(FileType.REGULAR | 0o644, 1);
    name(SampleIno.DIRECTORY, 'file', file);
    xattrs.put(file.ino, Buffer.from('user.comment'), Buffer.from('one'));
    file.flags |= HAS_XATTRS;
    const linked = make(FileType.REGULAR | 0o644, 2);
    name(root.ino, 'linked', linked);
    name(SampleIno.INNER, 'other name', linked);
    const symlink = make(FileType.SYMLINK | 0o777, 1);
    name(root.ino, 'symlink', symlink);
    symlinks.insert(symlink.ino, Buffer.from('directory/file'));
    inodes.resize(symlink, 'directory/file'.length);
    name(root.ino, 'fifo', make(FileType.FIFO | 0o600, 1));
    const orphan = make(FileType.REGULAR | 0o600, 0);
    orphans.insert(orphan.ino);
  }

  #makeContent(chunks: readonly ChunkId[]): void {
    // A file with holes whose middle chunk lies across the border of two segments.
    const start = SEGMENT_BYTES - 2.5 * CHUNK_BYTES;
    this.#show(SampleIno.FILE, start, chunks.slice(0, 6));
    this.#show(SampleIno.LINKED, 0, chunks.slice(4, 12));
    this.#show(SampleIno.ORPHAN, 4096, chunks.slice(11));
  }

  #show(ino: number, start: number, chunks: readonly ChunkId[]): void {
    const { inodes, extents } = this.#metastore;
    const inode = inodes.get(ino);
    if (inode === undefined) throw new Error(`the sample has no inode ${ino}`);
    const shown = chunks.map((chunk, index) => ({
      offset: start + index * CHUNK_BYTES,
      bytes: CHUNK_BYTES,
      chunk,
      chunkOffset: 0,
    }));
    const end = start + chunks.length * CHUNK_BYTES;
    inodes.resize(inode, end);
    extents.replace(inode, { offset: start, end }, shown);
  }
}

/** Cuts bytes off a file's end. */
export function cutShort(path: string, bytes: number): void {
  truncateSync(path, readFileSync(path).length - bytes);
}

/** Overwrites bytes of a file where they are. */
export function overwrite(path: string, offset: number, bytes: Buffer): void {
  const descriptor = openSync(path, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, offset);
  closeSync(descriptor);
}

/** Inverts one byte of a file. */
export function flipByte(path: string, offset: number): void {
  const byte = Buffer.alloc(1);
  const descriptor = openSync(path, 'r');
  readSync(descriptor, byte, 0, 1, offset);
  closeSync(descriptor);
  overwrite(path, offset, Buffer.from([byte.readUInt8(0) ^ 0xff]));
}

/** Inverts one bit of a file. */
export function flipBit(path: string, offset: number, bit: number): void {
  const byte = Buffer.alloc(1);
  const descriptor = openSync(path, 'r');
  readSync(descriptor, byte, 0, 1, offset);
  closeSync(descriptor);
  overwrite(path, offset, Buffer.from([byte.readUInt8(0) ^ (1 << bit)]));
}

/** Where the pack begins in its arena's file. */
export function findPack(path: string, packId: number): number {
  const header = Buffer.alloc(12);
  header.write('DFPK\x02\x00', 'latin1');
  const file = readFileSync(path);
  let offset = file.indexOf(header.subarray(0, 6));
  while (offset >= 0 && file.readUInt32LE(offset + 8) !== packId) {
    offset = file.indexOf(header.subarray(0, 6), offset + 1);
  }
  if (offset < 0) throw new Error(`${path} holds no pack ${packId}`);
  return offset;
}
