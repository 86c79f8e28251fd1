// heal: looks through a tree of files for the content of quarantined chunks and stores that, and
// nothing else. Files are cut as they would be when written from front to end, so that content which
// came to the store that way is recognised wherever it lies now. Chunks of a file that was changed in
// place were cut from the place of each change on, and are found where the cuts fall together again.

import { constants } from 'node:fs';
import { open, opendir, type FileHandle } from 'node:fs/promises';
import { assert } from '../assert.ts';
import type { Ingest, SegmentCover } from '../dedup/ingest.ts';
import { JOB_BYTES_MAX } from '../dedup/worker-protocol.ts';
import { DedupfsError, describeError, NoSpaceError, usageError } from '../errors.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { printable } from '../printable.ts';
import { findDamagedFiles, type DamageReport } from './damaged-files.ts';

/** Files that could not be read and are told; the rest is counted. */
const UNREADABLE_MAX = 20;
/** What was healed is made durable in pieces of this size. */
const COMMIT_BYTES = 64 * 1024 * 1024;

export interface HealParts {
  readonly metastore: Metastore;
  readonly ingest: Ingest;
  readonly chunkBytesMax: number;
  /** Absolute paths of directories that are not looked into: the store, and where it is mounted. */
  readonly excluded: readonly string[];
  isGateOpen(): boolean;
  gateOpened(): Promise<void>;
  /** Announces a change; false: none may be made. */
  tryChange(): boolean;
  /** Whether the host has room for so many bytes more. */
  hasRoom(bytes: number): boolean;
  /** To be called when a job of ours has come out: others may wait for it. */
  jobDone(): void;
  commit(): Promise<void>;
}

export interface HealRequest {
  /** Absolute path, without symbolic links, of a directory or a file. */
  readonly tree: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: HealProgress) => void) | undefined;
}

export interface HealProgress {
  readonly files: number;
  readonly bytes: number;
  readonly chunksHealed: number;
  /** Quarantined chunks whose content is still looked for. */
  readonly chunksWanted: number;
}

export interface HealReport {
  /** False: it was stopped before all of the tree was read. */
  readonly isComplete: boolean;
  readonly files: number;
  readonly bytes: number;
  readonly chunksHealed: number;
  readonly bytesHealed: number;
  readonly unreadable: readonly string[];
  readonly unreadableOmitted: number;
  /** What is damaged still. */
  readonly damage: DamageReport;
}

/**
 * @throws UserError USAGE  the tree is missing, or lies in the store or its mount
 * @throws NoSpaceError  the host is full; what was healed so far stays
 */
export async function heal(parts: HealParts, request: HealRequest): Promise<HealReport> {
  const inside = parts.excluded.find((folder) => isWithin(request.tree, folder));
  if (inside !== undefined) {
    const message = `${request.tree} lies in ${inside}, which is what is to be healed; name another copy of the files`;
    throw usageError(message);
  }
  const run = new HealRun(parts, request);
  return run.run();
}

class HealRun {
  readonly #parts: HealParts;
  readonly #request: HealRequest;
  /** The part of a file that is cut now. Workers read it. */
  readonly #shared = new SharedArrayBuffer(JOB_BYTES_MAX);
  readonly #bytes = Buffer.from(this.#shared);
  readonly #unreadable: string[] = [];
  readonly #sums = { files: 0, bytes: 0, chunksHealed: 0, bytesHealed: 0, unreadableOmitted: 0 };
  #uncommittedBytes = 0;

  constructor(parts: HealParts, request: HealRequest) {
    this.#parts = parts;
    this.#request = request;
  }

  async run(): Promise<HealReport> {
    const { metastore } = this.#parts;
    const tree = Buffer.from(this.#request.tree);
    let isComplete = true;
    for await (const path of this.#filesOf(tree)) {
      isComplete = this.#request.signal?.aborted !== true;
      if (!isComplete || metastore.chunks.wantedCount === 0) break;
      await this.#healFile(path);
      this.#reportProgress();
    }
    await this.#parts.commit();
    return {
      isComplete,
      ...this.#sums,
      unreadable: this.#unreadable,
      damage: await findDamagedFiles(metastore),
    };
  }

  #reportProgress(): void {
    const { files, bytes, chunksHealed } = this.#sums;
    const chunksWanted = this.#parts.metastore.chunks.wantedCount;
    this.#request.onProgress?.({ files, bytes, chunksHealed, chunksWanted });
  }

  /** Regular files below a directory, or the file itself. Symbolic links are not followed. */
  async *#filesOf(root: Buffer): AsyncGenerator<Buffer> {
    let directory;
    try {
      directory = await opendir(root, { encoding: 'buffer' as BufferEncoding });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') yield root;
      else this.#noteUnreadable(root, error);
      return;
    }
    for await (const entry of directory) {
      const path = Buffer.concat([root, Buffer.from('/'), entry.name as unknown as Buffer]);
      if (entry.isFile()) yield path;
      if (entry.isDirectory() && !this.#isExcluded(path)) yield* this.#filesOf(path);
    }
  }

  #isExcluded(path: Buffer): boolean {
    return this.#parts.excluded.some((folder) => path.equals(Buffer.from(folder)));
  }

  /** @throws UserError when nothing at all can be read */
  #noteUnreadable(path: Buffer, error: unknown): void {
    const message = `${printable(path)}: ${printable(Buffer.from(describeError(error)))}`;
    if (path.equals(Buffer.from(this.#request.tree))) {
      throw usageError(`cannot read ${message}`);
    }
    if (this.#unreadable.length < UNREADABLE_MAX) this.#unreadable.push(message);
    else this.#sums.unreadableOmitted += 1;
  }

  async #healFile(path: Buffer): Promise<void> {
    // What turned into a FIFO meanwhile must not hang, a symlink not lead anywhere.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    let file: FileHandle;
    try {
      file = await open(path, flags);
    } catch (error) {
      this.#noteUnreadable(path, error);
      return;
    }
    try {
      if ((await file.stat()).isFile()) await this.#cutFile(path, file);
      this.#sums.files += 1;
    } finally {
      await file.close();
    }
  }

  async #cutFile(path: Buffer, file: FileHandle): Promise<void> {
    let held = 0;
    let isAfterHole = false;
    while (this.#request.signal?.aborted !== true) {
      let filled: number;
      try {
        filled = await this.#fill(file, held);
      } catch (error) {
        this.#noteUnreadable(path, error);
        return;
      }
      if (filled === 0) return;
      const isFinal = filled < this.#bytes.length;
      const cover = await this.#cut({ bytes: filled, isFinal, isAfterHole });
      isAfterHole = cover.endsInHole;
      assert(cover.bytes > 0, 'a cut of a full buffer covers something');
      if (isFinal) return;
      // What later bytes could change is cut again together with them.
      this.#bytes.copyWithin(0, cover.bytes, filled);
      held = filled - cover.bytes;
    }
  }

  /** Reads on until the buffer is full or the file ends; returns the bytes in the buffer. */
  async #fill(file: FileHandle, held: number): Promise<number> {
    let filled = held;
    while (filled < this.#bytes.length) {
      const { bytesRead } = await file.read(this.#bytes, filled, this.#bytes.length - filled, null);
      if (bytesRead === 0) break;
      filled += bytesRead;
      this.#sums.bytes += bytesRead;
    }
    return filled;
  }

  async #cut(segment: {
    readonly bytes: number;
    readonly isFinal: boolean;
    readonly isAfterHole: boolean;
  }): Promise<SegmentCover> {
    const { bytes, isFinal, isAfterHole } = segment;
    await this.#admit(bytes);
    const pieces = [{ source: this.#shared, offset: 0, bytes }];
    let cover: SegmentCover = { bytes: 0, endsInHole: false };
    const onCut = (covers: readonly SegmentCover[]): void => {
      cover = covers[0] ?? cover;
    };
    try {
      await this.#parts.ingest.submit(
        { segments: [{ pieces, isFinal, isAfterHole }], onlyWanted: true, onCut },
        (spans) => {
          for (const span of spans.flat()) if (span.chunk !== undefined) this.#count(span.bytes);
        },
      );
    } finally {
      this.#parts.jobDone();
    }
    return cover;
  }

  #count(bytes: number): void {
    this.#sums.chunksHealed += 1;
    this.#sums.bytesHealed += bytes;
    this.#uncommittedBytes += bytes;
  }

  /** Waits until a job may change something. */
  async #admit(bytes: number): Promise<void> {
    if (this.#uncommittedBytes >= COMMIT_BYTES) {
      this.#uncommittedBytes = 0;
      await this.#parts.commit();
    }
    if (!this.#parts.hasRoom(bytes)) {
      throw new NoSpaceError('the host has no room for what would be healed');
    }
    while (!this.#parts.isGateOpen()) await this.#parts.gateOpened();
    if (!this.#parts.tryChange()) {
      throw new DedupfsError(
        'the mount takes no changes (see dedupfs stats); nothing can be healed',
      );
    }
  }
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
