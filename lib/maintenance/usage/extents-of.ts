// The extents of a set of files, from the rows of the metastore.

import type Database from 'better-sqlite3';
import { decodeExtents, SEGMENT_BYTES, type Extent } from '../../metastore/extent-codec.ts';
import type { InodeSet } from './inode-set.ts';
import type { Slices } from './slices.ts';

/** Rows decoded at once; one has up to a few hundred extents. */
const MAPS_PER_STEP = 16;

export interface FileExtents {
  readonly ino: number;
  readonly extents: readonly Extent[];
}

export class ExtentWalk {
  readonly #select: Database.Statement;
  readonly #slices: Slices;

  constructor(connection: Database.Database, slices: Slices) {
    this.#slices = slices;
    this.#select = connection
      .prepare(
        `SELECT ino, seg, map FROM fmap WHERE (ino, seg) > (?, ?) AND ino <= ?
         ORDER BY ino, seg LIMIT ?`,
      )
      .raw();
  }

  /** Segment after segment, file after file. @throws CorruptionError  a map is damaged */
  async *of(files: InodeSet): AsyncGenerator<FileExtents> {
    for (const { first, last } of files.runs()) {
      let [ino, segment] = [first, -1];
      for (;;) {
        const rows = this.#select.all(ino, segment, last, MAPS_PER_STEP) as MapRow[];
        for (const [owner, number, map] of rows) {
          yield { ino: owner, extents: decodeExtents(map, number * SEGMENT_BYTES) };
          [ino, segment] = [owner, number];
        }
        await this.#slices.rest();
        if (rows.length < MAPS_PER_STEP) break;
      }
    }
  }
}

type MapRow = [ino: number, segment: number, map: Buffer];
