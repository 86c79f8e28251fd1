// Builds a store of any size, faster than files could be written: rows and packs are made directly, in
// the order of their keys. All of it is true: every chunk has its bytes in a pack and their
// fingerprint, so `fsck` finds nothing and every file can be read.

import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';

import { createKeyedHash } from '../../lib/blake3.ts';
import { BlockStore } from '../../lib/blockstore/block-store.ts';
import type { ChunkId } from '../../lib/dedup/chunk-index.ts';
import { silentLog } from '../../lib/log.ts';
import { openChecked } from '../../lib/metastore/checked-database.ts';
import { loadCounters, saveCounters } from '../../lib/metastore/counters.ts';
import { nameHash } from '../../lib/metastore/dentries.ts';
import { encodeExtents } from '../../lib/metastore/extent-codec.ts';
import { FileType } from '../../lib/metastore/inodes.ts';
import { ArenaState } from '../../lib/metastore/packs.ts';
import { definitionsOf } from '../../lib/metastore/schema.ts';
import { SlabPool } from '../../lib/slab-pool.ts';
import { readFormat, type Format } from '../../lib/store/format.ts';
import { openStore } from '../../lib/store/store.ts';
import { expectDefined } from '../../lib/assert.ts';
import { PackMaker } from './pack-maker.ts';
import {
  CHUNK_BYTES,
  CHUNKS_PER_FILE,
  FILE_BYTES,
  FILES_PER_FOLDER,
  ROOT_INO,
  type Shape,
} from './shape.ts';

const CACHE_KIBIBYTES = 2 * 1024 * 1024;
/**
 * The index of fingerprints is made of so many chunks, and gets the others one by one: its pages are
 * then as full as those of an index that has grown, and not all to the brim.
 */
const SORTED_SHARE = 0.7;
const ROWS_PER_TRANSACTION = 2 ** 20;
/** 2025-01-01. */
const TIME_SECONDS = 1_735_689_600;
const NANOSECONDS = 123_456_789;

export type NoteProgress = (what: string) => void;

/** @param path must not exist yet; it has the store when this resolves, and nothing before */
export async function buildStore(
  path: string,
  shape: Shape,
  { seed, note }: { readonly seed: string; readonly note: NoteProgress },
): Promise<void> {
  const unfinished = `${path}.unfinished`;
  if (existsSync(unfinished)) rmSync(unfinished, { recursive: true });
  const store = await openStore(unfinished, {
    create: true,
    pool: new SlabPool(2),
    log: silentLog(),
    background: false,
  });
  await store.close();
  const format = expectDefined(readFormat(unfinished), 'format');
  const database = openBulk(join(unfinished, 'meta.db'));
  try {
    await new StoreBuilder(unfinished, { database, shape, format, seed, note }).build();
  } finally {
    database.close();
  }
  const main = openSync(join(unfinished, 'meta.db'), 'r');
  fsyncSync(main);
  closeSync(main);
  renameSync(unfinished, path);
}

function openBulk(path: string): Database {
  const database = openChecked(path);
  database.pragma('locking_mode = EXCLUSIVE');
  database.pragma('journal_mode = OFF');
  database.pragma('synchronous = OFF');
  database.pragma(`cache_size = ${-CACHE_KIBIBYTES}`);
  database.pragma('temp_store = FILE');
  return database;
}

interface BuilderParts {
  readonly database: Database;
  readonly shape: Shape;
  readonly format: Format;
  readonly seed: string;
  readonly note: NoteProgress;
}

type InodeRow = readonly [ino: number, mode: number, nlink: number, size: number, parent: number];

class StoreBuilder {
  readonly #path: string;
  readonly #parts: BuilderParts;
  readonly #shape: Shape;
  #rows = 0;

  constructor(path: string, parts: BuilderParts) {
    this.#path = path;
    this.#parts = parts;
    this.#shape = parts.shape;
  }

  async build(): Promise<void> {
    const { database, note } = this.#parts;
    database.exec('BEGIN');
    note('inodes');
    this.#insertInodes();
    note('names');
    this.#insertNames();
    note('extents');
    this.#insertExtents();
    note('chunks and packs');
    database.exec('DROP INDEX chunk_h');
    const arenas = await this.#insertChunks();
    this.#saveCounters(arenas);
    database.exec('COMMIT');
    database.pragma('journal_mode = WAL');
  }

  /** Counts a row; the dirty pages of too large a transaction would be written twice. */
  #noteRow(): void {
    this.#rows += 1;
    if (this.#rows % ROWS_PER_TRANSACTION === 0) this.#parts.database.exec('COMMIT; BEGIN');
  }

  #insertInodes(): void {
    const put = this.#parts.database.prepare(
      `INSERT OR REPLACE INTO inode VALUES (?, ?, 1000, 1000, ?, ?, 0, 0, 0, ?, 0,
       ${`${TIME_SECONDS}, ${NANOSECONDS}, `.repeat(3)} 0, 0)`,
    );
    for (const row of this.#inodeRows()) {
      put.run(...row);
      this.#noteRow();
    }
  }

  *#inodeRows(): Generator<InodeRow> {
    const shape = this.#shape;
    const folderMode = FileType.DIRECTORY | 0o755;
    yield [ROOT_INO, folderMode, 2 + shape.tops, 0, ROOT_INO];
    for (let folder = 0; folder < shape.folders; folder += 1) {
      const top = shape.topOf(folder);
      const topIno = shape.topIno(top);
      const isFirst = folder === 0 || shape.topOf(folder - 1) !== top;
      if (isFirst) yield [topIno, folderMode, 2 + shape.foldersIn(top), 0, ROOT_INO];
      yield [shape.folderIno(folder), folderMode, 2, 0, topIno];
      for (let index = 0; index < FILES_PER_FOLDER; index += 1) {
        yield [shape.fileIno(folder, index), FileType.REGULAR | 0o644, 1, FILE_BYTES, 0];
      }
    }
  }

  #insertNames(): void {
    const shape = this.#shape;
    const insert = this.#parts.database.prepare('INSERT INTO dentry VALUES (?, ?, ?, ?, ?)');
    const insertAll = (parent: number, type: number, names: readonly Name[]): void => {
      for (const { cookie, name, ino } of inOrder(names)) {
        insert.run(parent, cookie, name, ino(), type >> 12);
        this.#noteRow();
      }
    };
    const tops = numbers(shape.tops).map((top) =>
      toName(shape.topName(top), () => shape.topIno(top)),
    );
    insertAll(ROOT_INO, FileType.DIRECTORY, tops);
    let current = 0;
    // The same names in each folder, so that they are hashed and sorted once.
    const files = numbers(FILES_PER_FOLDER).map((index) =>
      toName(shape.fileName(index), () => shape.fileIno(current, index)),
    );
    for (let folder = 0; folder < shape.folders; folder += 1) {
      const top = shape.topOf(folder);
      if (folder === 0 || shape.topOf(folder - 1) !== top) {
        const folders = numbers(shape.foldersIn(top)).map((within) =>
          toName(shape.folderName(within), () => shape.folderIno(folder + within)),
        );
        insertAll(shape.topIno(top), FileType.DIRECTORY, folders);
      }
      current = folder;
      insertAll(shape.folderIno(folder), FileType.REGULAR, files);
    }
  }

  #insertExtents(): void {
    const shape = this.#shape;
    const insert = this.#parts.database.prepare('INSERT INTO fmap VALUES (?, 0, ?)');
    for (let folder = 0; folder < shape.folders; folder += 1) {
      for (let index = 0; index < FILES_PER_FOLDER; index += 1) {
        const first = shape.firstChunk(folder, index);
        const extents = Array.from({ length: CHUNKS_PER_FILE }, (_, number) => ({
          offset: number * CHUNK_BYTES,
          bytes: CHUNK_BYTES,
          chunk: (first + number) as ChunkId,
          chunkOffset: 0,
        }));
        insert.run(shape.fileIno(folder, index), encodeExtents(extents, 0));
        this.#noteRow();
      }
    }
  }

  /** @returns the number of arenas */
  async #insertChunks(): Promise<number> {
    const { database, format, seed } = this.#parts;
    const hash = createKeyedHash(Buffer.from(format.fingerprintKey, 'hex'));
    const { arenaBytesMax } = format;
    const blockStore = new BlockStore(join(this.#path, 'arenas'), {
      arenaBytesMax,
      log: silentLog(),
    });
    const maker = new PackMaker(blockStore, { shape: this.#shape, hash, seed });
    const chunk = database.prepare(
      `INSERT INTO chunk VALUES (?, ?, 1, ?, ?, ${CHUNK_BYTES}, ${CHUNK_BYTES})`,
    );
    const pack = database.prepare('INSERT INTO pack VALUES (?, ?, ?, ?, ?)');
    const firstUnsorted = SORTED_SHARE * this.#shape.chunks;
    let isIndexed = false;
    for await (const { packId, arena, firstChunk, fingerprints } of maker.packs()) {
      if (!isIndexed && firstChunk >= firstUnsorted) {
        isIndexed = true;
        this.#createIndex();
      }
      fingerprints.forEach((fingerprint, index) => {
        chunk.run(firstChunk + index, fingerprint, packId, index);
        this.#noteRow();
      });
      const bytes = fingerprints.length * CHUNK_BYTES;
      pack.run(packId, arena, bytes, bytes, fingerprints.length);
    }
    await blockStore.close();
    database.exec(
      `INSERT INTO arena SELECT arena, ${ArenaState.SEALED}, sum(bytes), sum(live)
       FROM pack GROUP BY arena`,
    );
    return maker.arenas;
  }

  #createIndex(): void {
    this.#parts.note('index of fingerprints, and the rest of the chunks');
    const definition = /^CREATE UNIQUE INDEX .*$/m.exec(definitionsOf('chunk'));
    this.#parts.database.exec(expectDefined(definition?.[0], 'the index of fingerprints'));
  }

  #saveCounters(arenas: number): void {
    const { database } = this.#parts;
    const { folders, files, inodes, tops, chunks, packs } = this.#shape;
    const bytes = chunks * CHUNK_BYTES;
    const counters = loadCounters(database);
    saveCounters(database, {
      ...counters,
      files,
      directories: 1 + tops + folders,
      logicalUnits: 0,
      logicalRest: files * FILE_BYTES,
      referencedBytes: bytes,
      chunks,
      uniqueBytes: bytes,
      storedBytes: bytes,
      packs,
      packBytes: bytes,
      nextIno: inodes + 1,
      nextChunk: chunks + 1,
      nextPack: packs + 1,
      nextArena: arenas + 1,
    });
  }
}

interface Name {
  readonly cookie: number;
  readonly name: Buffer;
  readonly ino: () => number;
}

function toName(text: string, ino: () => number): Name {
  const name = Buffer.from(text);
  return { cookie: nameHash(name), name, ino };
}

/** As the table has them; of equal hashes, the later name takes the next number. */
function inOrder(names: readonly Name[]): Name[] {
  const sorted = names.toSorted((left, right) => left.cookie - right.cookie);
  let last = -1;
  return sorted.map((name) => {
    last = Math.max(name.cookie, last + 1);
    return { ...name, cookie: last };
  });
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, number) => number);
}
