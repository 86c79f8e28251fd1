// What paths of a store take, found the simple way: all rows in memory, every reference followed.

import type Database from 'better-sqlite3';
import { decodeExtents, SEGMENT_BYTES } from '../../lib/metastore/extent-codec.ts';
import type { MeasuredUsage } from '../../lib/maintenance/usage/usage.ts';

const ROOT = 1;
const TYPE = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;

interface InodeRow {
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly size: number;
}

interface ChunkRow {
  readonly id: number;
  readonly refs: number;
  readonly bytes: number;
  readonly stored: number;
}

/** As the rows of a committed metastore say. */
export class UsageModel {
  readonly #inodes = new Map<number, InodeRow>();
  readonly #chunks = new Map<number, ChunkRow>();
  /** Every path of every inode. */
  readonly #paths = new Map<number, string[]>();
  /** Chunks that the extents of a file name, with repetitions, and the bytes they show. */
  readonly #extents = new Map<number, { readonly chunks: number[]; bytes: number }>();

  constructor(connection: Database.Database) {
    const inodes = connection.prepare('SELECT ino, mode, nlink, size FROM inode').all();
    for (const row of inodes as InodeRow[]) this.#inodes.set(row.ino, row);
    const chunks = connection.prepare('SELECT id, refs, bytes, stored FROM chunk').all();
    for (const row of chunks as ChunkRow[]) this.#chunks.set(row.id, row);
    const maps = connection.prepare('SELECT ino, seg, map FROM fmap').raw().all();
    for (const [ino, segment, map] of maps as [number, number, Buffer][]) {
      const file = this.#extents.get(ino) ?? { chunks: [], bytes: 0 };
      for (const { chunk, bytes } of decodeExtents(map, segment * SEGMENT_BYTES)) {
        file.chunks.push(chunk);
        file.bytes += bytes;
      }
      this.#extents.set(ino, file);
    }
    this.#walk(connection, ROOT, '');
  }

  #walk(connection: Database.Database, directory: number, path: string): void {
    this.#paths.set(directory, [path === '' ? '/' : path]);
    const select = connection.prepare('SELECT name, ino FROM dentry WHERE parent = ?').raw();
    for (const [name, ino] of select.all(directory) as [Buffer, number][]) {
      const inner = `${path}/${name.toString()}`;
      if (((this.#inodes.get(ino)?.mode ?? 0) & TYPE) === DIRECTORY) {
        this.#walk(connection, ino, inner);
      } else {
        this.#paths.set(ino, [...(this.#paths.get(ino) ?? []), inner]);
      }
    }
  }

  /** All paths, directories among them. */
  get paths(): string[] {
    return [...this.#paths.values()].flat().sort();
  }

  usage(set: readonly string[]): MeasuredUsage {
    const isInside = (path: string): boolean =>
      set.some((one) => one === '/' || path === one || path.startsWith(`${one}/`));
    const members = [...this.#paths]
      .filter(([, paths]) => paths.some(isInside))
      .flatMap(([ino]) => this.#inodes.get(ino) ?? []);
    const files = members.filter(({ mode }) => (mode & TYPE) === REGULAR);
    const directories = members.filter(({ mode }) => (mode & TYPE) === DIRECTORY);
    const leaving = files.filter(({ ino }) => (this.#paths.get(ino) ?? []).every(isInside));
    const unique = new Set(files.flatMap(({ ino }) => this.#extents.get(ino)?.chunks ?? []));
    const gone = new Map<number, number>();
    for (const { ino } of leaving) {
      for (const chunk of this.#extents.get(ino)?.chunks ?? []) {
        gone.set(chunk, (gone.get(chunk) ?? 0) + 1);
      }
    }
    const exclusive = [...gone].filter(([id, count]) => this.#chunks.get(id)?.refs === count);
    const sum = (ids: Iterable<number>, field: 'bytes' | 'stored'): number =>
      [...ids].reduce((total, id) => total + (this.#chunks.get(id)?.[field] ?? 0), 0);
    const own = exclusive.map(([id]) => id);
    return {
      files: files.length,
      directories: directories.length,
      otherInodes: members.length - files.length - directories.length,
      logicalBytes: files.reduce((total, { size }) => total + size, 0),
      referencedBytes: files.reduce(
        (all, { ino }) => all + (this.#extents.get(ino)?.bytes ?? 0),
        0,
      ),
      chunks: unique.size,
      uniqueBytes: sum(unique, 'bytes'),
      storedBytes: sum(unique, 'stored'),
      exclusive: {
        chunks: own.length,
        uniqueBytes: sum(own, 'bytes'),
        storedBytes: sum(own, 'stored'),
        diskBytes: Number.NaN, // an estimate, which acceptance/usage.test.ts compares with real bytes
        filesStaying: files.length - leaving.length,
        filesOpen: 0,
      },
    };
  }
}
