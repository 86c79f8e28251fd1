// How fast a scrub may go. With a rate: that many bytes a second. Without: it works as long as it
// leaves the thread free, and when others turn out to want that thread, it steps far back.

import { setTimeout } from 'node:timers/promises';

/** Share of the thread that others use, above which a scrub steps back. */
const BUSY_SHARE_MIN = 0.1;
/** Rests as multiples of the work before: half of the time, a tenth of it when others work. */
const REST_IDLE = 1;
const REST_BUSY = 9;
const REST_MAX_MS = 1000;
/** Shorter rests are added up: timers are not that fine. */
const REST_MIN_MS = 2;

export interface Pace {
  /** To be called after each slice. @param workMs what it took */
  rest(bytes: number, workMs: number, signal: AbortSignal | undefined): Promise<void>;
}

/** @param isAlone nobody else wants the thread: without a rate, there is no rest */
export function paceOf(bytesPerSecond: number | undefined, isAlone: boolean): Pace {
  if (bytesPerSecond !== undefined) return new RatePace(bytesPerSecond);
  return isAlone ? { rest: async () => undefined } : new GentlePace();
}

class RatePace implements Pace {
  readonly #bytesPerSecond: number;
  /** When everything so far would be done at this rate. */
  #dueMs = performance.now();

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  async rest(bytes: number, _workMs: number, signal: AbortSignal | undefined): Promise<void> {
    // What was missed is not made up for: the rate is a bound, not a mean.
    const now = performance.now();
    this.#dueMs = Math.max(this.#dueMs, now - REST_MAX_MS) + (1000 * bytes) / this.#bytesPerSecond;
    await sleep(Math.max(0, this.#dueMs - now), signal);
  }
}

class GentlePace implements Pace {
  #owedMs = 0;
  #isBusy = false;

  async rest(_bytes: number, workMs: number, signal: AbortSignal | undefined): Promise<void> {
    this.#owedMs += Math.min(REST_MAX_MS, workMs * (this.#isBusy ? REST_BUSY : REST_IDLE));
    const restMs = this.#owedMs < REST_MIN_MS ? 0 : this.#owedMs;
    if (restMs > 0) this.#owedMs = 0;
    const before = performance.eventLoopUtilization();
    await sleep(restMs, signal);
    if (restMs === 0) return;
    const { utilization } = performance.eventLoopUtilization(before);
    this.#isBusy = utilization > BUSY_SHARE_MIN;
  }
}

/** Ends early, without an error, when the signal comes. */
async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await setTimeout(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}
