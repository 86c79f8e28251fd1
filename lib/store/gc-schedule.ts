// When gc runs by itself: the daemon looks every few seconds whether an arena is worth emptying.

import { describeError, NoSpaceError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { GarbageCollector } from '../maintenance/gc.ts';

const INTERVAL_MS = 2000;
/** After a run that gave nothing back (damage) or failed. */
const RETRY_MS = 60_000;
/** After one that lacked room: a delete or the commit's retry may have made some meanwhile. */
const RETRY_ROOM_MS = 4000;

export class GcSchedule {
  readonly #collector: GarbageCollector;
  readonly #log: Logger;
  /** Live share below which an arena is worth emptying. */
  readonly #threshold: () => number;
  /** Whether the store takes changes. */
  readonly #mayChange: () => boolean;
  #timer: NodeJS.Timeout | undefined;
  #isCancelled = false;
  #notBeforeMs = 0;

  constructor(
    collector: GarbageCollector,
    options: { log: Logger; threshold: () => number; mayChange: () => boolean },
  ) {
    this.#collector = collector;
    this.#log = options.log;
    this.#threshold = options.threshold;
    this.#mayChange = options.mayChange;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS);
  }

  #look(): void {
    if (this.#collector.isRunning || !this.#mayChange()) return;
    const liveShareMin = this.#threshold();
    if (!isWorthwhile(this.#collector.plan(liveShareMin))) return;
    if (performance.now() < this.#notBeforeMs) return;
    this.#isCancelled = false;
    this.#collector.run({ liveShareMin, isCancelled: () => this.#isCancelled }).then(
      (report) => {
        if (!isWorthwhile(report.plan) || report.arenasRemoved > 0) return;
        this.#retryAfter(report.lackedRoom ? RETRY_ROOM_MS : RETRY_MS);
      },
      (error: unknown) => {
        const isFull = error instanceof NoSpaceError;
        const level = isFull ? 'debug' : 'error'; // that the host is full, the commits tell
        this.#log[level]({ err: error }, 'gc failed; it will be tried again');
        this.#retryAfter(isFull ? RETRY_ROOM_MS : RETRY_MS);
      },
    );
  }

  #retryAfter(delayMs: number): void {
    this.#notBeforeMs = performance.now() + delayMs;
  }

  /** Ends a run under way at its next slice; whatever it did stays valid. */
  async interrupt(): Promise<void> {
    this.#isCancelled = true;
    if (!this.#collector.isRunning) return;
    await this.#collector.run().catch((error: unknown) => {
      this.#log.debug({ reason: describeError(error) }, 'the interrupted gc had failed');
    });
  }

  /** Starts no more runs. */
  stop(): void {
    clearInterval(this.#timer);
  }
}

function isWorthwhile(plan: ReturnType<GarbageCollector['plan']>): boolean {
  return plan.arenas.some(({ action }) => action !== 'keep');
}
