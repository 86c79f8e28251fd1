// Moves written bytes of files into ingest: decides what goes when, builds the stretches, and puts
// the results back into the files.
//
// A file is given to ingest when 4 MiB of it are dirty in one run (cut without its tail, which waits
// for what follows), when enough small closed files have come together, when memory for payloads
// runs short, and at every commit (all of it, tails included).

import { assert, expectDefined } from '../assert.ts';
import type { Ingest, IngestJob } from '../dedup/ingest.ts';
import type { Piece, Segment } from '../dedup/worker-pool.ts';
import { JOB_BYTES_MAX } from '../dedup/worker-protocol.ts';
import type { SlabPool } from '../slab-pool.ts';
import type { FileContent, Stretch } from './file-content.ts';
import { freezeRun } from './freeze.ts';

/** Closed files with this many dirty bytes between them make a job. */
const CLOSED_BYTES_MIN = 2 * 1024 * 1024;
/** Below this share of free slabs, dirty files are given to ingest whatever their state. */
const FREE_SLABS_MIN_SHARE = 0.4;
/** A run of so many largest chunks is cut as a stream when memory runs short. */
const LONG_RUN_CHUNKS = 8;
/** So many dirty files, however small, are given to ingest too: each costs memory of its own. */
const DIRTY_FILES_MAX = 4096;

interface JobPart {
  readonly content: FileContent;
  readonly stretch: Stretch;
  readonly segment: Segment;
}

export interface ContentIngestOptions {
  readonly ingest: Ingest;
  readonly pool: SlabPool;
  readonly chunkBytesMax: number;
  /** Jobs submitted and not out yet: enough to keep every worker's slots and their successors busy. */
  readonly activeJobsMax: number;
  /** Whether new jobs may start: not inside a commit, other than by its own flush. */
  isGateOpen(): boolean;
  /** A job failed for good; nothing more can be stored. */
  onFailure(error: unknown): void;
  /** A file has nothing in memory any more. */
  onSettled(content: FileContent): void;
  /** Lets go of the buffer that small payloads are gathered in. */
  releaseGather(): void;
}

export class ContentIngest {
  readonly #options: ContentIngestOptions;
  /** Files with dirty bytes, in the order in which they became dirty. */
  readonly #dirty = new Set<FileContent>();
  /** Those among them with no open handle. */
  readonly #closed = new Set<FileContent>();
  #closedBytes = 0;
  /** Bytes of the segments of all active jobs. */
  #jobBytes = 0;
  #isFlushing = false;
  #isFailed = false;
  #waiters: (() => void)[] = [];

  constructor(options: ContentIngestOptions) {
    this.#options = options;
  }

  /** Bytes written and not yet stored: dirty, or in a job. */
  get pendingBytes(): number {
    let bytes = this.#jobBytes;
    for (const content of this.#dirty) bytes += content.dirty.bytes;
    return bytes;
  }

  /** Call after each write, with the offset of one of its bytes. */
  noteWrite(content: FileContent, offset: number): void {
    this.#dirty.add(content);
    // Only the run that was written to can have grown: looking at all of them for each write would
    // make random writers pay for every fragment.
    const isLong =
      content.dirty.bytes >= JOB_BYTES_MAX &&
      content.dirty.runBytesAround(offset, JOB_BYTES_MAX) >= JOB_BYTES_MAX;
    if (isLong) content.mayHaveLongRun = true;
    if (isLong || this.#isShort()) this.pump();
  }

  /** Call when the last handle of a file is closed. */
  noteClosed(content: FileContent): void {
    if (content.dirty.isEmpty || this.#closed.has(content)) return;
    this.#closed.add(content);
    this.#closedBytes += content.dirty.bytes;
    if (this.#closedBytes >= CLOSED_BYTES_MIN) this.pump();
  }

  noteDiscarded(content: FileContent): void {
    this.#dirty.delete(content);
    this.#closed.delete(content);
    this.#wake();
  }

  #isShort(): boolean {
    const { pool, ingest } = this.#options;
    // While jobs run they will give slabs back; to cut a stream short for it would cost a chunk.
    if (ingest.activeJobs > 0) return false;
    const isLow = pool.freeCount < pool.slabsMax * FREE_SLABS_MIN_SHARE;
    return isLow || this.#dirty.size > DIRTY_FILES_MAX;
  }

  /** Starts jobs while there is something that should go and room for it. */
  pump(): void {
    const { ingest } = this.#options;
    while (ingest.activeJobs < this.#options.activeJobsMax && !this.#isFailed) {
      if (!this.#isFlushing && !this.#options.isGateOpen()) return;
      const parts = this.#pick();
      if (parts.length === 0) return;
      this.#start(parts);
    }
  }

  #pick(): JobPart[] {
    const large = this.#longRun();
    if (large !== undefined) return [large];
    const isShort = this.#isShort();
    if (isShort && !this.#isFlushing) {
      // A stream is better cut where its content says than at its momentary end.
      const run = this.#largeRun(LONG_RUN_CHUNKS * this.#options.chunkBytesMax);
      if (run !== undefined) return [run];
    }
    if (isShort || this.#isFlushing) {
      this.#options.releaseGather();
      return this.#batch(this.#dirty);
    }
    return this.#closedBytes >= CLOSED_BYTES_MIN ? this.#batch(this.#closed) : [];
  }

  /** A run as long as a job, cut without its tail. */
  #longRun(): JobPart | undefined {
    for (const content of this.#dirty) {
      if (!content.mayHaveLongRun) continue;
      const part = this.#freeze(content, { bytesMin: JOB_BYTES_MAX, bytesMax: JOB_BYTES_MAX });
      if (part !== undefined) return part;
      // With a cut under way the run may be taken when that is done.
      if (content.stretches.every((stretch) => stretch.isCut)) content.mayHaveLongRun = false;
    }
    return undefined;
  }

  /** A run of at least so many bytes, cut without its tail. */
  #largeRun(bytesMin: number): JobPart | undefined {
    for (const content of this.#dirty) {
      if (content.dirty.bytes < bytesMin) continue;
      const part = this.#freeze(content, { bytesMin, bytesMax: JOB_BYTES_MAX });
      if (part !== undefined) return part;
    }
    return undefined;
  }

  /** Whole dirty runs of several files, up to the size of a job. */
  #batch(contents: ReadonlySet<FileContent>): JobPart[] {
    const parts: JobPart[] = [];
    let room = JOB_BYTES_MAX;
    for (const content of contents) {
      let part = this.#freeze(content, { bytesMin: 1, bytesMax: room });
      while (part !== undefined) {
        parts.push(part);
        room -= bytesOf(part.segment);
        part = room > 0 ? this.#freeze(content, { bytesMin: 1, bytesMax: room }) : undefined;
      }
      // A run that would not fit begins the next job.
      if (room < JOB_BYTES_MAX / 4) break;
    }
    return parts;
  }

  #freeze(
    content: FileContent,
    size: { readonly bytesMin: number; readonly bytesMax: number },
  ): JobPart | undefined {
    const { chunkBytesMax } = this.#options;
    const frozen = freezeRun(content, { ...size, chunkBytesMax });
    // Also without a run: what was dirty may have been truncated away.
    if (content.dirty.isEmpty) this.#forget(content);
    if (frozen === undefined) return undefined;
    return { content, ...frozen };
  }

  #forget(content: FileContent): void {
    this.#dirty.delete(content);
    this.#closed.delete(content);
    if (this.#closed.size === 0) this.#closedBytes = 0;
    if (content.isSettled) this.#options.onSettled(content);
  }

  #start(parts: readonly JobPart[]): void {
    const { ingest } = this.#options;
    const job: IngestJob = {
      segments: parts.map((part) => part.segment),
      onCut: (covers) => {
        parts.forEach(({ content, stretch }, index) => {
          const { bytes, endsInHole } = expectDefined(covers[index], 'cover of a segment');
          content.finishCut(stretch, bytes, endsInHole);
          if (!content.dirty.isEmpty) this.#dirty.add(content);
        });
        this.#wake();
        this.pump();
      },
    };
    const bytes = job.segments.reduce((sum, segment) => sum + bytesOf(segment), 0);
    this.#jobBytes += bytes;
    ingest
      .submit(job, (spans) => {
        parts.forEach(({ content, stretch }, index) => {
          content.install(stretch, expectDefined(spans[index], 'spans of a segment'));
          if (content.isSettled) this.#options.onSettled(content);
        });
      })
      .catch((error: unknown) => {
        this.#isFailed = true;
        this.#options.onFailure(error);
        this.#dirty.clear();
        this.#closed.clear();
        this.#options.releaseGather();
      })
      .finally(() => {
        this.#jobBytes -= bytes;
        this.#wake();
        this.pump();
      });
  }

  /** Goes on after a commit: jobs and waiters that the closed gate held back. */
  proceed(): void {
    this.#wake();
    this.pump();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }

  /** Whether something is dirty or under way. */
  get isIdle(): boolean {
    return this.#dirty.size === 0 && this.#options.ingest.activeJobs === 0;
  }

  /**
   * Gives everything that is dirty now to ingest and resolves when it has come out. With the gate
   * closed nothing is dirty afterwards; otherwise later writes may be.
   * @throws Error when ingest failed
   */
  async flush(): Promise<void> {
    this.#isFlushing = true;
    try {
      while (!this.#isFailed) {
        this.pump();
        if (this.isIdle) break;
        // Nothing is in flight that could stand in the way of what is dirty.
        assert(this.#options.ingest.activeJobs > 0, 'dirty bytes can always go to ingest');
        await this.#progress();
      }
    } finally {
      this.#isFlushing = false;
      this.#options.releaseGather();
    }
    if (this.#isFailed) throw new Error('ingest failed earlier; the mount is read-only');
  }

  /** Resolves when one file has nothing dirty or frozen in front of its extents. */
  async settle(content: FileContent): Promise<void> {
    while (!content.isSettled && !this.#isFailed) {
      if (
        this.#options.isGateOpen() &&
        this.#options.ingest.activeJobs < this.#options.activeJobsMax
      ) {
        const parts = this.#batch(new Set([content]));
        if (parts.length > 0) this.#start(parts);
      }
      await this.#progress();
    }
  }

  async #progress(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }
}

function bytesOf(segment: Segment): number {
  return segment.pieces.reduce((sum: number, piece: Piece) => sum + piece.bytes, 0);
}
