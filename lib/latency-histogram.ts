// How long things took, counted in fixed classes: one note costs some nanoseconds and no memory.

/** Upper bounds of the classes but the last, in milliseconds: 10 us to 10 s in steps of 1, 2, 5. */
const BOUNDS_MS = Float64Array.from(
  [-2, -1, 0, 1, 2, 3]
    .flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power))
    .concat(10_000),
);
const CLASSES = BOUNDS_MS.length + 1;
/** Behind the classes: the sum of all, in milliseconds. Kept with them, so that it is never boxed. */
const SUM = CLASSES;

/** The upper bounds of all classes but the last, which has none; in seconds. */
export const LATENCY_BOUNDS_SECONDS: readonly number[] = [...BOUNDS_MS].map((ms) => ms / 1000);

/** As it travels: what was noted since the process began. */
export interface LatencyCounts {
  readonly count: number;
  /** Sum of all. */
  readonly seconds: number;
  /** For each class, how many were in it; the last: longer than all bounds. */
  readonly classes: readonly number[];
}

export class LatencyHistogram {
  readonly #values = new Float64Array(CLASSES + 1);

  note(durationMs: number): void {
    const values = this.#values;
    let index = 0;
    // Most requests are in one of the first classes.
    while (index < CLASSES - 1 && durationMs > (BOUNDS_MS[index] ?? 0)) index += 1;
    values[index] = (values[index] ?? 0) + 1;
    values[SUM] = (values[SUM] ?? 0) + durationMs;
  }

  get counts(): LatencyCounts {
    const classes = [...this.#values.subarray(0, CLASSES)];
    const count = classes.reduce((sum, one) => sum + one, 0);
    return { count, seconds: (this.#values[SUM] ?? 0) / 1000, classes };
  }
}

/**
 * The time that this share of what was counted did not exceed: the upper bound of its class, in seconds.
 * undefined: nothing was counted; Infinity: it was longer than all bounds.
 */
export function quantile(classes: readonly number[], share: number): number | undefined {
  const total = classes.reduce((sum, one) => sum + one, 0);
  if (total === 0) return undefined;
  let seen = 0;
  for (const [index, count] of classes.entries()) {
    seen += count;
    if (seen >= share * total) return LATENCY_BOUNDS_SECONDS[index] ?? Infinity;
  }
  return Infinity;
}
