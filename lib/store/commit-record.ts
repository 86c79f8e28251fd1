// How the commits of this mount went: how long they took, how long the disk's syncs in them, and how the
// last one ended.

import { describeError } from '../errors.ts';
import { LatencyHistogram, type LatencyCounts } from '../latency-histogram.ts';

/** Since the store was opened. */
export interface CommitActivity {
  /** From its beginning until it was durable; those that succeeded. */
  readonly commits: LatencyCounts;
  /** fdatasync of the metastore's log, in each of them. */
  readonly syncs: LatencyCounts;
  readonly failures: number;
  /** ms since 1970; null: there was none. */
  readonly lastSuccessMs: number | null;
  readonly lastFailureMs: number | null;
  /** Why the last commit failed; null: it did not, or there was none. */
  readonly error: string | null;
}

export class CommitRecord {
  readonly #commits = new LatencyHistogram();
  readonly #syncs = new LatencyHistogram();
  #failures = 0;
  #lastSuccessMs: number | null = null;
  #lastFailureMs: number | null = null;
  #error: string | null = null;

  /** Notes how the commit goes. @throws what `run` does */
  async commit(run: () => Promise<void>): Promise<void> {
    const startMs = performance.now();
    try {
      await run();
    } catch (error) {
      this.#failures += 1;
      this.#lastFailureMs = Date.now();
      this.#error = describeError(error);
      throw error;
    }
    this.#commits.note(performance.now() - startMs);
    this.#lastSuccessMs = Date.now();
    this.#error = null;
  }

  /** Notes how long the disk took. @throws what `run` does */
  async sync(run: () => Promise<void>): Promise<void> {
    const startMs = performance.now();
    await run();
    this.#syncs.note(performance.now() - startMs);
  }

  get activity(): CommitActivity {
    return {
      commits: this.#commits.counts,
      syncs: this.#syncs.counts,
      failures: this.#failures,
      lastSuccessMs: this.#lastSuccessMs,
      lastFailureMs: this.#lastFailureMs,
      error: this.#error,
    };
  }
}
