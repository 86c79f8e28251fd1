// Commits: makes batches durable, one at a time, for all who wait (group commit).
//
//   1 gate closes; dirty bytes are cut, looked up, compressed, packed        (contentIngest.flush)
//   2 packs are put and synced                                               (packWriter.flush)   I1
//   3 maps, counts, inodes, names: one SQLite COMMIT; gate opens             (metastore.commit)
//   4 fdatasync of the WAL; whoever waited is released; gc may use the batch (database.sync)      I2

import type { PackWriter } from '../dedup/pack-writer.ts';
import { Errno } from '../errno.ts';
import { describeError, ExitCode, NoSpaceError, posixError, UserError } from '../errors.ts';
import type { ContentIngest } from '../filesystem/content-ingest.ts';
import type { CommitGate } from '../filesystem/gate.ts';
import { isFullError } from '../host-room.ts';
import type { Logger } from '../log.ts';
import type { CheckpointTime } from '../metastore/database.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { CommitRecord } from './commit-record.ts';
import type { HostSpace } from './host-space.ts';

/** After a change a commit begins this much later, so that it is durable within 5 s (G1). */
const COMMIT_INTERVAL_MS = 4000;
/** After a commit that found the host full. */
const RETRY_INTERVAL_MS = 1000;
/** New packs of this size bring a commit on: it bounds what a crash can lose and a commit must do. */
const PACK_BYTES_MAX = 64 * 1024 * 1024;
/** So many chunks gained or lost references: the sums are in memory until the commit. */
const CHUNK_CHANGES_MAX = 32 * 1024;

export interface CommitterParts {
  readonly gate: CommitGate;
  readonly contentIngest: ContentIngest;
  readonly packWriter: PackWriter;
  readonly metastore: Metastore;
  readonly log: Logger;
  readonly space: HostSpace;
  /** Whether commits also happen by time and size. */
  readonly background: boolean;
}

interface ExclusiveWork {
  /** Never rejects. */
  run(): Promise<void>;
  /** It is not run: the commit before it failed. */
  giveUp(error: unknown): void;
}

/** Both reject when nothing was made durable, or not for certain. */
interface RunningCommit {
  readonly durable: Promise<void>;
  /** Tidied up behind, too. */
  readonly over: Promise<void>;
}

export class Committer {
  readonly record = new CommitRecord();
  readonly #parts: CommitterParts;
  /** Something changed since the last commit began. */
  #hasChanges = false;
  #running: RunningCommit | undefined;
  /** The commit after the running one, for those who came too late for it. */
  #next: Promise<RunningCommit | undefined> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #readOnlyReason: string | undefined;
  /** The last commit found no room; the next by itself begins no earlier than this. */
  #isWaitingForRoom = false;
  #notBeforeMs = 0;
  /** The batch is large enough for a commit, which is about to begin. */
  #isDue = false;
  /** What the next commit runs before anything can change again. */
  #waitingWork: ExclusiveWork[] = [];

  constructor(parts: CommitterParts) {
    this.#parts = parts;
  }

  get readOnlyReason(): string | undefined {
    return this.#readOnlyReason;
  }

  /** To be called before each change. @throws EROFS  @throws NoSpaceError */
  noteChange(): void {
    if (this.#readOnlyReason !== undefined) throw posixError(Errno.EROFS);
    this.#secure();
    this.#hasChanges = true;
    this.#arm(COMMIT_INTERVAL_MS);
    if (this.#parts.metastore.chunks.changeCount >= CHUNK_CHANGES_MAX) this.notePack();
  }

  /** The batch may grow only while the host has room for the commit of it. @throws NoSpaceError */
  #secure(): void {
    const { metastore, space } = this.#parts;
    try {
      metastore.secure();
    } catch (error) {
      if (!(error instanceof NoSpaceError)) this.fail('the WAL could not get blocks', error);
      throw error;
    } finally {
      // The commit and the checkpoint behind it give back what the batch has taken.
      if (space.isDrawnOn && performance.now() >= this.#notBeforeMs) this.#commitSoon();
    }
  }

  /** Like `noteChange`, for work that goes on by itself. */
  tryChange(): 'begun' | 'later' | 'never' {
    if (this.#readOnlyReason !== undefined) return 'never';
    try {
      this.noteChange();
      return 'begun';
    } catch (error) {
      if (!(error instanceof NoSpaceError)) throw error;
      return 'later';
    }
  }

  /** To be called when a pack was sealed: commits when the batch has grown large. */
  notePack(): void {
    const { metastore, packWriter } = this.#parts;
    const isDue =
      packWriter.sealedBytes >= PACK_BYTES_MAX || metastore.chunks.changeCount >= CHUNK_CHANGES_MAX;
    if (isDue) this.#commitSoon();
  }

  /** Not inside the change that brought it on. */
  #commitSoon(): void {
    if (!this.#parts.background || this.#running !== undefined || this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => this.#commitInBackground());
  }

  #arm(delayMs: number): void {
    if (!this.#parts.background || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#commitInBackground();
    }, delayMs);
  }

  #commitInBackground(): void {
    if (this.#readOnlyReason !== undefined) return;
    this.commit().catch((error: unknown) => {
      if (error instanceof NoSpaceError) return; // told when it began
      this.#parts.log.error({ err: error }, 'commit failed');
    });
  }

  /**
   * Resolves when everything that changed before the call is durable, and nothing moves the WAL.
   * @throws NoSpaceError the host is full; the batch is kept and tried again
   * @throws PosixError EROFS  the mount turned read-only earlier
   * @throws Error any other failure; from then on the mount is read-only
   */
  async commit(): Promise<void> {
    const running = await this.#covering();
    await running?.over;
  }

  /** The same for who changes things through the gate only, which moving the WAL keeps closed. */
  async makeDurable(): Promise<void> {
    const running = await this.#covering();
    await running?.durable;
  }

  /** The commit that takes what changed before the call; undefined: it is durable. */
  async #covering(): Promise<RunningCommit | undefined> {
    if (this.#readOnlyReason !== undefined) throw posixError(Errno.EROFS);
    if (!this.isNeeded) return this.#running;
    if (this.#running === undefined) return this.#start();
    // The running commit may have closed its books before the caller's changes.
    this.#next ??= this.#running.over
      .catch(() => undefined)
      .then(async () => {
        this.#next = undefined;
        return this.#running === undefined ? this.#start() : this.#covering();
      });
    return this.#next;
  }

  /** Whether something waits for the next commit. */
  get isNeeded(): boolean {
    return this.#hasChanges || this.#waitingWork.length > 0;
  }

  #start(): RunningCommit {
    const durable = this.record.commit(async () => this.#run());
    const over = durable
      .then(async () => this.#tidyUp())
      .finally(() => (this.#running = undefined));
    over.catch(() => undefined); // told by `durable`, or again by the next look at the reserve
    this.#running = { durable, over };
    return this.#running;
  }

  async #tidyUp(): Promise<void> {
    await this.#checkpointWhenIdle();
    this.#parts.space.tend();
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isDue = false;
    const work = this.#waitingWork.splice(0);
    try {
      await this.#commitAndRun(work);
    } catch (error) {
      for (const waiting of work) waiting.giveUp(error);
      throw error;
    }
  }

  async #commitAndRun(work: readonly ExclusiveWork[]): Promise<void> {
    // Those who came too late for a commit wait for this one, which the failure of that one ended.
    this.#assertWritable();
    const { gate, contentIngest } = this.#parts;
    gate.close();
    try {
      if (this.#hasChanges) await this.#store();
      if (work.length > 0) await this.#sync();
      for (const waiting of work) await waiting.run();
    } finally {
      gate.open();
      contentIngest.proceed();
    }
    if (work.length === 0) await this.#sync();
  }

  /** Steps 1 to 3. */
  async #store(): Promise<void> {
    const { contentIngest, packWriter, metastore, space } = this.#parts;
    this.#hasChanges = false;
    try {
      await contentIngest.flush();
      await packWriter.flush();
      packWriter.takeSealedBytes();
      // SQLite would lose the whole batch at a full disk: better not to begin.
      metastore.secure();
      metastore.commit();
      this.#noteCommitted();
      await this.#checkpoint(space.isRoomy ? 'loaded' : 'full');
      this.#assertWritable();
    } catch (error) {
      this.#hasChanges = true;
      if (error instanceof NoSpaceError) this.#retryLater(error);
      else this.fail('a commit failed', error);
      throw error;
    }
  }

  #retryLater(error: NoSpaceError): void {
    this.#arm(RETRY_INTERVAL_MS);
    this.#notBeforeMs = performance.now() + RETRY_INTERVAL_MS;
    if (!this.#isWaitingForRoom) {
      this.#parts.log.warn(
        { reason: describeError(error) },
        'the host is full; commits wait for room',
      );
    }
    this.#isWaitingForRoom = true;
  }

  #noteCommitted(): void {
    if (this.#isWaitingForRoom) this.#parts.log.info('the host has room for commits again');
    this.#isWaitingForRoom = false;
    this.#notBeforeMs = 0;
  }

  #assertWritable(): void {
    if (this.#readOnlyReason !== undefined) throw posixError(Errno.EIO);
  }

  /** Inside a batch that has begun to change there is no checkpoint: it would commit half of it. */
  async #checkpointWhenIdle(): Promise<void> {
    const { gate, contentIngest, metastore } = this.#parts;
    if (this.#hasChanges || !metastore.database.isCheckpointDue('idle')) return;
    gate.close();
    try {
      await this.#checkpoint('idle');
    } finally {
      gate.open();
      contentIngest.proceed();
    }
  }

  /**
   * Linux tells a failed write once, to one fsync: the next one would succeed without the data being
   * on the disk. So after a failure nothing is synced, committed or checkpointed any more.
   */
  async #sync(): Promise<void> {
    try {
      await this.record.sync(async () => this.#parts.metastore.database.sync());
    } catch (error) {
      this.fail('the metastore could not be synced', error);
      throw error;
    }
  }

  /**
   * For lack of room the WAL stays as long as it is. Any other failure is the disk's: SQLite copies
   * the same pages again the next time, but what the disk has lost meanwhile it does not know.
   */
  async #checkpoint(when: CheckpointTime): Promise<void> {
    const { metastore, log } = this.#parts;
    try {
      await metastore.database.checkpoint(when);
    } catch (error) {
      if (error instanceof NoSpaceError || isFullError(error)) {
        log.warn({ err: error }, 'no room to checkpoint the WAL; it will be tried again');
      } else {
        this.fail('the WAL could not be checkpointed', error);
      }
    }
  }

  /**
   * Commits, and runs `work` before anything can change again. In the commit itself: with steady writes
   * there is no moment after one at which nothing has changed.
   */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    if (this.#readOnlyReason !== undefined) {
      throw new UserError(
        ExitCode.FAILED,
        'DEDUPFS_READ_ONLY',
        `the mount is read-only (${this.#readOnlyReason}); unmount it and check the store offline`,
      );
    }
    return new Promise<T>((resolve, reject) => {
      const run = async (): Promise<void> => work().then(resolve, reject);
      const waiting = { run, giveUp: reject };
      this.#waitingWork.push(waiting);
      // A commit that did not come to the work.
      this.commit().catch((error: unknown) => {
        this.#waitingWork = this.#waitingWork.filter((other) => other !== waiting);
        reject(error);
      });
    });
  }

  /** Turns the mount read-only, loudly. What is durable stays readable. */
  fail(what: string, cause: unknown): void {
    if (this.#readOnlyReason !== undefined) return;
    this.#readOnlyReason = `${what}: ${describeError(cause)}`;
    this.stop();
    this.#parts.log.fatal({ err: cause }, `${what}; the mount is read-only from now on`);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
