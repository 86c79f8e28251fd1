// What a set of paths takes of a store, and what deleting it would give back: from names, extent maps
// and reference counts alone. No data is read.
//
// A chunk is the set's own (exclusive) when every extent that refers to it lies in files that go with
// the set. A file with a name outside of the set stays. What is counted are rows as of the last commit:
// exact unless the store changes meanwhile; what does may be counted as it was or as it is.

import type Database from 'better-sqlite3';
import { bytesInArena } from '../../blockstore/pack.ts';
import { FileType } from '../../metastore/inodes.ts';
import type { Metastore } from '../../metastore/metastore.ts';
import { ChunkCounts } from './chunk-counts.ts';
import { ChunkSums } from './chunk-sums.ts';
import { ExtentWalk } from './extents-of.ts';
import { LinkedFiles } from './hard-links.ts';
import { InodeSet } from './inode-set.ts';
import { inodesOf } from './inodes-of.ts';
import { Slices } from './slices.ts';
import { ROOT_INO, type Target } from './targets.ts';
import { TreeWalk, type Tree } from './tree-walk.ts';

export interface Usage {
  /** Regular files; one with several names counts once. */
  readonly files: number;
  readonly directories: number;
  /** Symbolic links, devices and the like. */
  readonly otherInodes: number;
  /** Sum of the sizes of the files. */
  readonly logicalBytes: number;
  /** That without holes. */
  readonly referencedBytes: number;
  /** Distinct chunks, their plain bytes and what these take compressed. */
  readonly chunks: number;
  readonly uniqueBytes: number;
  readonly storedBytes: number;
}

/** What deleting all of a set gives back. */
export interface ExclusiveUsage {
  /** Chunks that nothing else refers to, their plain bytes and what these take compressed. */
  readonly chunks: number;
  readonly uniqueBytes: number;
  readonly storedBytes: number;
  /** What they take in arenas: `storedBytes` with entries of directories, and LMDB's pages. */
  readonly diskBytes: number;
  /** Files that stay because they have a name outside of the set. */
  readonly filesStaying: number;
  /** Files that are open: what they hold comes back when they are closed. */
  readonly filesOpen: number;
}

export interface MeasuredUsage extends Usage {
  /** Left out unless it was asked for. */
  readonly exclusive?: ExclusiveUsage;
}

export interface UsageProgress {
  /** `names`: `done` inodes were found; `extents`: those of `done` of `total` files were counted. */
  readonly step: 'names' | 'extents';
  readonly done: number;
  readonly total: number;
}

export interface UsageRequest {
  readonly targets: readonly Target[];
  readonly exclusive: boolean;
  /** Whether a file is open. Default: none is. */
  isOpen?(ino: number): boolean;
  onProgress?(progress: UsageProgress): void;
  readonly signal?: AbortSignal | undefined;
  /** For tests: how much is counted in one pass. */
  readonly limits?: { readonly linkedFiles?: number; readonly chunkPages?: number };
}

/**
 * The inodes' and extents' rows must be up to date: right behind a commit.
 * @throws CorruptionError  a row is damaged  @throws the signal's reason
 */
export async function measureUsage(
  metastore: Metastore,
  request: UsageRequest,
): Promise<MeasuredUsage> {
  return new Measurement(metastore, request).run();
}

interface FoundFiles {
  readonly regular: InodeSet;
  readonly staying: InodeSet;
  readonly otherInodes: number;
  readonly logicalBytes: number;
  readonly filesOpen: number;
}

class Measurement {
  readonly #connection: Database.Database;
  readonly #request: UsageRequest;
  readonly #slices: Slices;
  readonly #walk: TreeWalk;

  constructor(metastore: Metastore, request: UsageRequest) {
    this.#connection = metastore.database.connection;
    this.#request = request;
    this.#slices = new Slices(request.signal);
    this.#walk = new TreeWalk(this.#connection, this.#slices);
  }

  async run(): Promise<MeasuredUsage> {
    const { targets, exclusive } = this.#request;
    const tree = await this.#walk.collect(targets, (done) => this.#progress('names', done, done));
    const files = await this.#classify(tree);
    const { sums, referencedBytes } = await this.#count(files);
    const { unique } = sums;
    const usage: Usage = {
      files: files.regular.count,
      directories: tree.directories.count,
      otherInodes: files.otherInodes,
      logicalBytes: files.logicalBytes,
      referencedBytes,
      chunks: unique.chunks,
      uniqueBytes: unique.plainBytes,
      storedBytes: unique.storedBytes,
    };
    if (!exclusive) return usage;
    const { chunks, plainBytes, storedBytes, records } = sums.exclusive;
    const diskBytes = bytesInArena(storedBytes, records);
    const { filesOpen, staying } = files;
    const own = { chunks, uniqueBytes: plainBytes, storedBytes, diskBytes };
    return { ...usage, exclusive: { ...own, filesStaying: staying.count, filesOpen } };
  }

  #progress(step: UsageProgress['step'], done: number, total: number): void {
    this.#request.onProgress?.({ step, done, total });
  }

  /** What the inodes are, and which of the files stay. */
  async #classify(tree: Tree): Promise<FoundFiles> {
    const { exclusive, limits } = this.#request;
    const regular = new InodeSet();
    const staying = new InodeSet();
    const linked = new LinkedFiles(limits?.linkedFiles);
    // Everything that has a name has it below the root.
    const mayStay = exclusive && !tree.directories.has(ROOT_INO);
    let [otherInodes, logicalBytes, filesOpen] = [0, 0, 0];
    for await (const page of inodesOf(this.#connection, tree.others, this.#slices)) {
      const files = page.filter(([, mode]) => (mode & FileType.MASK) === FileType.REGULAR);
      otherInodes += page.length - files.length;
      for (const [ino, , nlink, size] of files) {
        regular.add(ino);
        logicalBytes += size;
        if (this.#request.isOpen?.(ino) === true) filesOpen += 1;
        if (!mayStay || nlink < 2) continue;
        if (linked.isFull) await linked.settle(tree, this.#walk, staying);
        linked.add(ino, nlink);
      }
    }
    if (!linked.isEmpty) await linked.settle(tree, this.#walk, staying);
    return { regular, staying, otherInodes, logicalBytes, filesOpen };
  }

  /** Counts references, in as many passes as memory asks for. */
  async #count(files: FoundFiles): Promise<{ sums: ChunkSums; referencedBytes: number }> {
    const sums = new ChunkSums(this.#connection, this.#slices);
    let referencedBytes = 0;
    for (let from: number | undefined = 0; from !== undefined;) {
      const counts: ChunkCounts = new ChunkCounts(from, this.#request.limits?.chunkPages);
      const bytes = await this.#countExtents(files, counts);
      if (from === 0) referencedBytes = bytes;
      await sums.add(counts);
      from = counts.end;
    }
    return { sums, referencedBytes };
  }

  async #countExtents({ regular, staying }: FoundFiles, counts: ChunkCounts): Promise<number> {
    const walk = new ExtentWalk(this.#connection, this.#slices);
    let [bytes, filesDone, lastIno] = [0, 0, -1];
    for await (const { ino, extents } of walk.of(regular)) {
      const isLeaving = !staying.has(ino);
      for (const extent of extents) {
        counts.add(extent.chunk, isLeaving);
        bytes += extent.bytes;
      }
      if (ino !== lastIno) filesDone += 1;
      lastIno = ino;
      this.#progress('extents', filesDone, regular.count);
    }
    return bytes;
  }
}
