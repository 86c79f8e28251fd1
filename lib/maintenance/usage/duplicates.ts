// Groups of identical files, from their lists of chunks alone. A file with several names is one file.
//
// Contents are compared by digest, for files only whose size another file has too. What is counted are
// rows as of the last commit: exact unless the store changes meanwhile.

import type { Metastore } from '../../metastore/metastore.ts';
import { FileType } from '../../metastore/inodes.ts';
import { findPaths } from '../file-paths.ts';
import { ContentDigester, type ContentDigest } from './content-digest.ts';
import {
  DuplicateGroups,
  savedBytesOf,
  TopGroups,
  type DuplicateGroup,
} from './duplicate-groups.ts';
import { ExtentWalk } from './extents-of.ts';
import { InodeSet } from './inode-set.ts';
import { inodesOf } from './inodes-of.ts';
import { Slices } from './slices.ts';
import type { Target } from './targets.ts';
import { TreeWalk } from './tree-walk.ts';
import { hashOf, TwiceFilter } from './twice-filter.ts';

/** 1 MiB: sizes are few. */
const SIZE_SLOTS_LOG2 = 22;
/** 16 MiB: of 10 million different contents it takes one in seven for a duplicate, which is then counted. */
const CONTENT_SLOTS_LOG2 = 26;
export const GROUPS_MAX = 1000;
/** Names told of one group. */
const PATHS_MAX = 100;
/** Of all names told together: an answer has a limit. */
const PATH_BYTES_MAX = 8 * 1024 * 1024;

export interface DuplicatesSearch {
  /** A directory, or the root. */
  readonly target: Target;
  /** Files that are smaller are left out. */
  readonly bytesMin: number;
  /** Groups told, at most GROUPS_MAX. */
  readonly groupsMax: number;
  onProgress?(progress: DuplicatesProgress): void;
  readonly signal?: AbortSignal | undefined;
  /** For tests: contents counted in one pass. */
  readonly contentsMax?: number;
}

export interface DuplicatesProgress {
  /** From 1 on; there are two to find duplicates, one more for their names, and more of large stores. */
  readonly pass: number;
  /** Files compared in it. */
  readonly done: number;
  readonly total: number;
}

export interface Duplicates {
  /** Size of each of the files. */
  readonly bytes: number;
  readonly files: number;
  /** What is not stored because it is there already. */
  readonly savedBytes: number;
  /** One for each file, in the directory asked about; sorted; from the root of the mount. */
  readonly paths: readonly string[];
  /** Files behind those told. */
  readonly pathsOmitted: number;
}

export interface FoundDuplicates {
  /** Those that save most first. */
  readonly groups: readonly Duplicates[];
  /** Behind those told. */
  readonly groupsOmitted: number;
  /** Of all groups: files that are copies of another, and what is saved by them. */
  readonly copies: number;
  readonly savedBytes: number;
}

/** Right behind a commit. @throws CorruptionError  a row is damaged  @throws the signal's reason */
export async function findDuplicates(
  metastore: Metastore,
  request: DuplicatesSearch,
): Promise<FoundDuplicates> {
  return new Search(metastore, request).run();
}

class Search {
  readonly #metastore: Metastore;
  readonly #request: DuplicatesSearch;
  readonly #slices: Slices;
  #pass = 0;

  constructor(metastore: Metastore, request: DuplicatesSearch) {
    this.#metastore = metastore;
    this.#request = request;
    this.#slices = new Slices(request.signal);
  }

  async run(): Promise<FoundDuplicates> {
    const walk = new TreeWalk(this.#metastore.database.connection, this.#slices);
    const { others } = await walk.collect([this.#request.target], () => undefined);
    const sizes = new TwiceFilter(SIZE_SLOTS_LOG2);
    await this.#filesOf(others, (size) => sizes.add(hashOf(size)));
    const candidates = new InodeSet();
    await this.#filesOf(others, (size, ino) => {
      if (sizes.mayBeTwice(hashOf(size))) candidates.add(ino);
    });
    const contents = new TwiceFilter(CONTENT_SLOTS_LOG2);
    await this.#digests(candidates, (_, { digest }) => contents.add(wordOf(digest)));
    const top = new TopGroups(Math.min(this.#request.groupsMax, GROUPS_MAX));
    const totals = await this.#count(candidates, contents, top);
    const told = top.sorted;
    const groups = await this.#withPaths(candidates, told);
    const { groupCount, copies, savedBytes } = totals;
    return { groups, groupsOmitted: groupCount - told.length, copies, savedBytes };
  }

  /** Tells of regular files that are large enough. */
  async #filesOf(inodes: InodeSet, tell: (size: number, ino: number) => void): Promise<void> {
    const { connection } = this.#metastore.database;
    for await (const page of inodesOf(connection, inodes, this.#slices)) {
      for (const [ino, mode, , size] of page) {
        const isRegular = (mode & FileType.MASK) === FileType.REGULAR;
        if (isRegular && size >= this.#request.bytesMin) tell(size, ino);
      }
    }
  }

  /** Tells of files that have data. */
  async #digests(
    files: InodeSet,
    tell: (file: { readonly ino: number; readonly size: number }, content: ContentDigest) => void,
  ): Promise<void> {
    const { connection } = this.#metastore.database;
    const sizeOf = connection.prepare('SELECT size FROM inode WHERE ino = ?').pluck();
    this.#pass += 1;
    const pass = this.#pass;
    let current = { ino: -1, digester: new ContentDigester() };
    let done = 0;
    const finish = (): void => {
      const { ino, digester } = current;
      const size = ino === -1 ? undefined : (sizeOf.get(ino) as number | undefined);
      if (size === undefined) return;
      tell({ ino, size }, digester.finish(size));
      done += 1;
    };
    for await (const { ino, extents } of new ExtentWalk(connection, this.#slices).of(files)) {
      if (ino !== current.ino) {
        finish();
        current = { ino, digester: new ContentDigester() };
        this.#request.onProgress?.({ pass, done, total: files.count });
      }
      current.digester.add(extents);
    }
    finish();
  }

  async #count(candidates: InodeSet, contents: TwiceFilter, top: TopGroups) {
    const totals = { groupCount: 0, copies: 0, savedBytes: 0 };
    for (let from: number | undefined = 0; from !== undefined;) {
      const groups: DuplicateGroups = new DuplicateGroups(from, this.#request.contentsMax);
      await this.#digests(candidates, ({ size }, { digest, mappedBytes }) => {
        if (contents.mayBeTwice(wordOf(digest))) groups.add(digest, size, mappedBytes);
      });
      for (const found of groups.duplicates()) {
        top.add(found);
        totals.groupCount += found.length;
        for (const group of found) {
          totals.copies += group.files - 1;
          totals.savedBytes += savedBytesOf(group);
        }
        await this.#slices.rest();
      }
      from = groups.end;
    }
    return totals;
  }

  /** Looks for the files of some groups once more: until here only their contents are known. */
  async #withPaths(candidates: InodeSet, groups: readonly DuplicateGroup[]): Promise<Duplicates[]> {
    const sizes = new Set(groups.map(({ bytes }) => bytes));
    const likely = new InodeSet();
    await this.#filesOf(candidates, (size, ino) => {
      if (sizes.has(size)) likely.add(ino);
    });
    const inos = new Map(groups.map(({ digest }) => [digest, [] as number[]]));
    await this.#digests(likely, ({ ino }, { digest }) => {
      const found = inos.get(digest);
      if (found !== undefined && found.length < PATHS_MAX) found.push(ino);
    });
    const { target, signal } = this.#request;
    const files = new Set([...inos.values()].flat());
    const wanted = { within: target.ino, namesMax: 1, signal };
    const names = await findPaths(this.#metastore, files, wanted);
    let room = PATH_BYTES_MAX;
    return groups.map((group): Duplicates => {
      const paths: string[] = [];
      for (const ino of inos.get(group.digest) ?? []) {
        const [name] = names.get(ino)?.names ?? [];
        if (name === undefined || room < 0) continue;
        room -= name.length;
        paths.push(name);
      }
      paths.sort();
      const { bytes, files } = group;
      const savedBytes = savedBytesOf(group);
      return { bytes, files, savedBytes, paths, pathsOmitted: files - paths.length };
    });
  }
}

/** Bits of the digest that do not choose its part. */
function wordOf(digest: string): number {
  let word = 0;
  for (let at = 1; at <= 4; at += 1) word = (word << 8) | digest.charCodeAt(at);
  return word >>> 0;
}
