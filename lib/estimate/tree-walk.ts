// Goes through trees as `cp -a` would: every name once, symbolic links not followed, a file with several
// names once. Yields regular files with data, and counts the rest on the way.

import { lstatSync, opendirSync, type Dir, type Stats } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { printable } from '../printable.ts';
import { dataBytesOf } from './data-bytes.ts';
import { LinkedFiles } from './linked-files.ts';

/** Looking at names is done in slices of this length, so that Ctrl-C is heard. */
const SLICE_MS = 10;
/** What could not be read and is named; the rest is counted. */
const UNREADABLE_MAX = 20;
const SEPARATOR = Buffer.from('/');

export interface TreeCounts {
  files: number;
  directories: number;
  symlinks: number;
  /** Sockets, FIFOs, device nodes. */
  specials: number;
  /** Further names of files that were counted already. */
  hardLinks: number;
  /** Names of files with several that were counted as files, because no more such files are remembered. */
  linksNotRemembered: number;
  nameBytes: number;
  targetBytes: number;
  /** Sizes of the regular files. */
  logicalBytes: number;
  /** Of those, bytes that are not in holes. */
  dataBytes: number;
  /** Files that have data, and parts of 4 MiB that their data lies in. */
  filesWithData: number;
  segments: number;
}

export interface WalkedFile {
  readonly path: Buffer;
  readonly bytes: number;
  /** Fewer where it has holes. */
  readonly dataBytes: number;
}

export interface WalkOptions {
  /** Directories on other file systems are not entered. */
  readonly oneFileSystem: boolean;
}

/** Paths that could not be read, as many as are worth listing. */
export class UnreadableList {
  readonly paths: string[] = [];
  omitted = 0;

  note(path: Uint8Array, code: string): void {
    if (this.paths.length >= UNREADABLE_MAX) this.omitted += 1;
    else this.paths.push(`${printable(Buffer.from(path))}: ${code}`);
  }
}

const SEGMENT_BYTES = 4 * 1024 * 1024;

/** One pass over some trees. */
export class TreeWalk {
  readonly counts: TreeCounts = {
    files: 0,
    directories: 0,
    symlinks: 0,
    specials: 0,
    hardLinks: 0,
    linksNotRemembered: 0,
    nameBytes: 0,
    targetBytes: 0,
    logicalBytes: 0,
    dataBytes: 0,
    filesWithData: 0,
    segments: 0,
  };
  readonly unreadable = new UnreadableList();
  readonly #options: WalkOptions;
  readonly #linked: LinkedFiles;
  #sliceEndMs = 0;

  constructor(options: WalkOptions, linked = new LinkedFiles()) {
    this.#options = options;
    this.#linked = linked;
  }

  /** @param root absolute path of a directory or a file */
  async *files(root: string): AsyncGenerator<WalkedFile> {
    const path = Buffer.from(root);
    const stats = this.#stat(path);
    if (stats === undefined) return;
    this.counts.nameBytes += path.length - path.lastIndexOf(SEPARATOR) - 1;
    yield* this.#visit(path, stats, stats.dev);
  }

  async *#visit(path: Buffer, stats: Stats, device: number): AsyncGenerator<WalkedFile> {
    if (stats.isDirectory()) {
      this.counts.directories += 1;
      const isElsewhere = this.#options.oneFileSystem && stats.dev !== device;
      if (!isElsewhere) yield* this.#enter(path, device);
      return;
    }
    const file = this.#count(path, stats);
    if (file !== undefined) yield file;
  }

  async *#enter(folder: Buffer, device: number): AsyncGenerator<WalkedFile> {
    let directory: Dir;
    try {
      directory = opendirSync(folder as unknown as string, {
        encoding: 'buffer' as BufferEncoding,
        bufferSize: 256,
      });
    } catch (error) {
      this.unreadable.note(folder, codeOf(error));
      return;
    }
    try {
      for (;;) {
        await this.#turn();
        const entry = directory.readSync();
        if (entry === null) break;
        const name = entry.name as unknown as Buffer;
        this.counts.nameBytes += name.length;
        const path = Buffer.concat([folder, SEPARATOR, name]);
        const stats = this.#stat(path);
        if (stats !== undefined) yield* this.#visit(path, stats, device);
      }
    } finally {
      directory.closeSync();
    }
  }

  async #turn(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs < this.#sliceEndMs) return;
    await setImmediate();
    this.#sliceEndMs = performance.now() + SLICE_MS;
  }

  #stat(path: Buffer): Stats | undefined {
    try {
      return lstatSync(path);
    } catch (error) {
      this.unreadable.note(path, codeOf(error));
      return undefined;
    }
  }

  /** Undefined: no file, or one without data or met before. */
  #count(path: Buffer, stats: Stats): WalkedFile | undefined {
    const { counts } = this;
    if (stats.nlink > 1) {
      const sighting = this.#linked.note(stats);
      if (sighting === 'not remembered') counts.linksNotRemembered += 1;
      if (sighting === 'again') {
        counts.hardLinks += 1;
        return undefined;
      }
    }
    if (stats.isSymbolicLink()) {
      counts.symlinks += 1;
      counts.targetBytes += stats.size;
      return undefined;
    }
    if (!stats.isFile()) {
      counts.specials += 1;
      return undefined;
    }
    const dataBytes = dataBytesOf(path, stats);
    counts.files += 1;
    counts.logicalBytes += stats.size;
    counts.dataBytes += dataBytes;
    if (dataBytes === 0) return undefined;
    counts.filesWithData += 1;
    counts.segments += Math.ceil(dataBytes / SEGMENT_BYTES);
    return { path, bytes: stats.size, dataBytes };
  }
}

function codeOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  return code;
}
