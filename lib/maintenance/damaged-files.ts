// Which files show chunks that are in quarantine: from the extent maps alone, no data is read. Walks
// in slices on the thread that serves the mount; what changes meanwhile may be told as it was or is.

import { setImmediate } from 'node:timers/promises';
import type { Metastore } from '../metastore/metastore.ts';
import { extentMaps, type ExtentMap } from './checks/extent-walk.ts';
import { pages } from './checks/paging.ts';
import { findPaths } from './file-paths.ts';

/** Files that one answer names; `nextIno` leads to the others. */
export const FILES_MAX = 1000;
/** Ranges told of one file; damage is mostly in one place. */
const RANGES_MAX = 100;
/** Damaged chunks held in memory, at about 40 bytes each; with more, each extent costs a query. */
const IDS_MAX = 256 * 1024;
const IDS_PER_TURN = 16 * 1024;

export interface DamagedRange {
  readonly offset: number;
  readonly bytes: number;
}

export interface DamagedFile {
  readonly ino: number;
  /** From the root of the mount, beginning with '/'; none for a file that is only open. */
  readonly paths: readonly string[];
  /** More names than are told. */
  readonly pathsOmitted: number;
  /** Bytes that read as EIO. */
  readonly bytes: number;
  readonly ranges: readonly DamagedRange[];
  readonly rangesOmitted: number;
}

export interface DamageReport {
  /** Chunks in quarantine that files refer to, and their bytes. */
  readonly chunks: number;
  readonly bytes: number;
  /** In the order of their first path. */
  readonly files: readonly DamagedFile[];
  /** Damaged files behind those told. */
  readonly filesOmitted: number;
  /** Where the next answer goes on; undefined when all are told. */
  readonly nextIno: number | undefined;
}

interface FoundFile {
  readonly ino: number;
  bytes: number;
  readonly ranges: { offset: number; bytes: number }[];
  rangesOmitted: number;
}

/** @param options.afterIno the `nextIno` of the answer before */
export async function findDamagedFiles(
  metastore: Metastore,
  options: { readonly afterIno?: number; readonly filesMax?: number } = {},
): Promise<DamageReport> {
  const { damagedChunks, damagedBytes } = metastore.counters;
  const collector = new Collector(Math.min(options.filesMax ?? FILES_MAX, FILES_MAX));
  if (damagedChunks > 0) {
    const isDamaged = await damagedChunksOf(metastore);
    for await (const page of extentMaps(walkOf(metastore), options.afterIno)) {
      for (const map of page) collector.add(map, isDamaged);
    }
  }
  const { files, omitted } = collector;
  return {
    chunks: damagedChunks,
    bytes: damagedBytes,
    files: await withPaths(metastore, files),
    filesOmitted: omitted,
    nextIno: omitted > 0 ? files.at(-1)?.ino : undefined,
  };
}

/** Gathers the damaged files of a walk that goes from inode to inode. */
class Collector {
  readonly files: FoundFile[] = [];
  omitted = 0;
  readonly #filesMax: number;
  #lastIno = -1;

  constructor(filesMax: number) {
    this.#filesMax = filesMax;
  }

  add({ ino, extents = [] }: ExtentMap, isDamaged: (chunk: number) => boolean): void {
    const damaged = extents.filter(({ chunk }) => isDamaged(chunk));
    if (damaged.length === 0) return;
    if (ino !== this.#lastIno) this.#begin(ino);
    const file = this.files.at(-1);
    if (file?.ino === ino) for (const extent of damaged) addRange(file, extent);
  }

  #begin(ino: number): void {
    this.#lastIno = ino;
    if (this.files.length >= this.#filesMax) this.omitted += 1;
    else this.files.push({ ino, bytes: 0, ranges: [], rangesOmitted: 0 });
  }
}

function addRange(file: FoundFile, { offset, bytes }: DamagedRange): void {
  file.bytes += bytes;
  const before = file.ranges.at(-1);
  const continues = before !== undefined && before.offset + before.bytes === offset;
  if (continues && file.rangesOmitted === 0) before.bytes += bytes;
  else if (file.ranges.length < RANGES_MAX) file.ranges.push({ offset, bytes });
  else file.rangesOmitted += 1;
}

async function withPaths(
  metastore: Metastore,
  found: readonly FoundFile[],
): Promise<DamagedFile[]> {
  const paths = await findPaths(metastore, new Set(found.map(({ ino }) => ino)));
  const files = found.map((file) => {
    const { names = [], omitted = 0 } = paths.get(file.ino) ?? {};
    return { ...file, paths: names, pathsOmitted: omitted };
  });
  return files.sort((left, right) => {
    return (left.paths[0] ?? '') < (right.paths[0] ?? '') ? -1 : 1;
  });
}

/** Tells of a chunk whether it is in quarantine. */
async function damagedChunksOf(metastore: Metastore): Promise<(chunk: number) => boolean> {
  const { connection } = metastore.database;
  if (metastore.counters.damagedChunks > IDS_MAX) {
    const select = connection.prepare('SELECT h IS NULL FROM chunk WHERE id = ?').pluck();
    return (chunk) => select.get(chunk) === 1;
  }
  const ids = new Set<number>();
  const rows = pages<[id: number]>(walkOf(metastore), {
    sql: 'SELECT id FROM chunk WHERE h IS NULL AND id > ? ORDER BY id LIMIT ?',
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([id]) => [id],
    total: metastore.counters.nextChunk,
    rows: IDS_PER_TURN,
  });
  for await (const page of rows) for (const [id] of page) ids.add(id);
  return (chunk) => ids.has(chunk);
}

function walkOf(metastore: Metastore) {
  const { connection } = metastore.database;
  return { connection, progress: () => undefined, turn: async () => setImmediate() };
}
