// The part of an open store that says what files take of it, from the metastore alone: `du`, the
// synthesised xattrs, duplicates. One walk at a time; who comes meanwhile waits.

import { Errno } from '../errno.ts';
import { ExitCode, NoSpaceError, posixError, UserError } from '../errors.ts';
import type { ContentTable } from '../filesystem/content-table.ts';
import type { OrphanReclaimer } from '../filesystem/orphans.ts';
import type { InodeUsage } from '../filesystem/usage-attributes.ts';
import { fileUsageNow, isSmallFile } from '../maintenance/usage/file-usage.ts';
import { findDuplicates } from '../maintenance/usage/duplicates.ts';
import { Slices } from '../maintenance/usage/slices.ts';
import { findTarget, type Target } from '../maintenance/usage/targets.ts';
import { measureUsage, type MeasuredUsage } from '../maintenance/usage/usage.ts';
import { explainDamage } from '../metastore/checked-database.ts';
import type { Inode } from '../metastore/inodes.ts';
import type { Metastore } from '../metastore/metastore.ts';
import type {
  DuplicatesReport,
  DuplicatesRequest,
  PathUsage,
  UsageReport,
  UsageRequest,
} from './contract.ts';

/** Answers about directories and large files that are kept until something changes. */
const ANSWERS_KEPT = 16;

export interface InspectionParts {
  readonly metastore: Metastore;
  readonly contents: ContentTable;
  readonly orphans: OrphanReclaimer;
  /** Ends what is under way. */
  readonly closing: AbortSignal;
  /** Whether something changed since the last commit. */
  hasChanges(): boolean;
  /** Whether the store takes changes, commits among them. */
  mayChange(): boolean;
  commit(): Promise<void>;
  /** What the store's files occupy on the host. */
  hostBytes(): number;
}

export class Inspection {
  readonly #parts: InspectionParts;
  #last: Promise<unknown> = Promise.resolve();
  readonly #answers = new Map<number, InodeUsage>();
  /** The commit that `#answers` are right for. */
  #answersBatch = -1;

  constructor(parts: InspectionParts) {
    this.#parts = parts;
  }

  /** @throws UserError DEDUPFS_NO_SUCH_PATH  @throws CorruptionError  @throws the signal's reason */
  async usage(request: UsageRequest): Promise<UsageReport> {
    return this.#alone(request.signal, async (signal) => {
      await this.#settle(signal);
      const batch = this.#batch;
      const targets = await this.#find(request.paths, signal);
      const measure = async (some: readonly Target[]): Promise<MeasuredUsage> =>
        this.#measure(some, { ...request, signal });
      const paths: PathUsage[] = [];
      for (const target of request.perPath ? targets : []) {
        paths.push({ path: target.path, ...(await measure([target])) });
      }
      const [only] = paths;
      const total = only !== undefined && targets.length === 1 ? only : await measure(targets);
      const storeBytes = this.#parts.hostBytes();
      return { paths, total: withoutPath(total), storeBytes, isSteady: this.#isStill(batch) };
    });
  }

  /** @throws as `usage` does */
  async duplicates(request: DuplicatesRequest): Promise<DuplicatesReport> {
    return this.#alone(request.signal, async (signal) => {
      await this.#settle(signal);
      const batch = this.#batch;
      const { metastore } = this.#parts;
      const target = findTarget(metastore, request.path);
      if (!target.isDirectory) {
        const message = `${target.path} is no directory; duplicates are looked for in a store, or in a directory of one`;
        throw new UserError(ExitCode.USAGE, 'DEDUPFS_NO_DIRECTORY', message);
      }
      const found = await findDuplicates(metastore, { ...request, target, signal });
      return { ...found, isSteady: this.#isStill(batch) };
    });
  }

  /**
   * What one file or directory takes; of a small file at once, as of now, when all of it is stored. What
   * others wrote in the last seconds and is not chunked yet shares nothing with it so far.
   */
  inodeUsage(inode: Inode, signal: AbortSignal): InodeUsage | Promise<InodeUsage> {
    const { metastore, contents } = this.#parts;
    const isSettled = contents.find(inode.ino)?.isSettled ?? true;
    if (isSmallFile(inode) && isSettled) return fileUsageNow(metastore, inode);
    const known = this.#isStill(this.#answersBatch) ? this.#answers.get(inode.ino) : undefined;
    if (known !== undefined) return known;
    return this.#alone(signal, async (either) => this.#walk(inode, either)).catch(
      (error: unknown) => {
        throw signal.aborted ? posixError(Errno.EINTR) : error;
      },
    );
  }

  async #walk({ ino, isDirectory }: Inode, signal: AbortSignal): Promise<InodeUsage> {
    await this.#settle(signal);
    const batch = this.#batch;
    const target = { path: '', parent: 0, ino, isDirectory };
    const usage = await this.#measure([target], { exclusive: true, signal });
    const { referencedBytes, chunks, storedBytes, exclusive } = usage;
    const exclusiveDiskBytes = exclusive?.diskBytes ?? 0;
    const answer = { referencedBytes, chunks, storedBytes, exclusiveDiskBytes };
    if (this.#isStill(batch)) this.#keep(batch, ino, answer);
    return answer;
  }

  #keep(batch: number, ino: number, answer: InodeUsage): void {
    if (batch !== this.#answersBatch || this.#answers.size >= ANSWERS_KEPT) this.#answers.clear();
    this.#answersBatch = batch;
    this.#answers.set(ino, answer);
  }

  async #measure(
    targets: readonly Target[],
    options: Pick<UsageRequest, 'exclusive' | 'signal' | 'onProgress'>,
  ): Promise<MeasuredUsage> {
    const { metastore, contents } = this.#parts;
    const isOpen = (ino: number): boolean => (contents.find(ino)?.handles ?? 0) > 0;
    return measureUsage(metastore, { ...options, targets, isOpen });
  }

  get #batch(): number {
    return this.#parts.metastore.counters.batch;
  }

  /** Whether nothing has changed since this commit. */
  #isStill(batch: number): boolean {
    return this.#batch === batch && !this.#parts.hasChanges();
  }

  /**
   * Brings the rows up to date, and lets go of what removed files still refer to, as gc does first. A
   * store that takes no changes, or whose changes wait for room, is counted as of its last commit; of the
   * latter `#isStill` tells that it is not steady.
   */
  async #settle(signal: AbortSignal): Promise<void> {
    if (!this.#parts.mayChange()) return;
    const isCancelled = (): boolean => signal.aborted;
    try {
      await this.#parts.orphans.reclaimAll(async () => this.#parts.commit(), isCancelled);
      if (!isCancelled() && this.#parts.hasChanges()) await this.#parts.commit();
    } catch (error) {
      if (!(error instanceof NoSpaceError)) throw error;
    }
    signal.throwIfAborted();
  }

  /** There may be hundreds of thousands. */
  async #find(paths: readonly string[], signal: AbortSignal): Promise<Target[]> {
    const slices = new Slices(signal);
    const targets: Target[] = [];
    for (const path of paths) {
      targets.push(findTarget(this.#parts.metastore, path));
      await slices.rest();
    }
    return targets;
  }

  /** Who gives up is answered at once; the next begins when the work under way has ended all the same. */
  async #alone<T>(
    wanted: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { closing } = this.#parts;
    const signal = wanted === undefined ? closing : AbortSignal.any([closing, wanted]);
    const before = this.#last;
    const result = before
      .catch(() => undefined)
      .then(async () => {
        signal.throwIfAborted();
        return work(signal);
      })
      .catch((error: unknown) => {
        throw explainDamage(this.#parts.metastore.database.connection, error);
      });
    this.#last = result;
    return unlessAborted(result, signal);
  }
}

/** @throws the signal's reason  the work may still be under way */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const giveUp = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}

function withoutPath(usage: MeasuredUsage & { readonly path?: string }): MeasuredUsage {
  const { path: _, ...rest } = usage;
  return rest;
}
