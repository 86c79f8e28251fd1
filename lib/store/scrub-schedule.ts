// When a scrub runs by itself: some days after the last one, and until it is done, over remounts.

import type { Logger } from '../log.ts';
import type { Scrubber } from '../maintenance/scrub.ts';
import type { ScrubState } from '../maintenance/scrub-state.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
/** How often it looks; a mount has so long to come to rest first. */
const INTERVAL_MS = 60_000;

export interface ScrubScheduleOptions {
  readonly settings: {
    /** 0: never. */
    readonly scrubDays: number;
    /** undefined: gently. */
    readonly scrubBytesPerSecond: number | undefined;
  };
  readonly log: Logger;
  /** When the store was made: a store that was never scrubbed counts from here. */
  readonly bornMs: number;
  loadState(): ScrubState;
  /** Whether the store takes changes. */
  mayChange(): boolean;
}

export class ScrubSchedule {
  readonly #scrubber: Scrubber;
  readonly #options: ScrubScheduleOptions;
  #timer: NodeJS.Timeout | undefined;

  constructor(scrubber: Scrubber, options: ScrubScheduleOptions) {
    this.#scrubber = scrubber;
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS);
  }

  /** Starts no more runs. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { log, settings, bornMs } = this.#options;
    const { scrubDays: days, scrubBytesPerSecond: bytesPerSecond } = settings;
    if (this.#scrubber.isRunning || !this.#options.mayChange()) return;
    if (!isScrubDue(this.#options.loadState(), { days, bornMs, nowMs: Date.now() })) return;
    log.info('scrub begins or goes on, as scheduled');
    this.#scrubber.run({ isScheduled: true, bytesPerSecond }).catch((error: unknown) => {
      log.error({ err: error }, 'the scheduled scrub failed; it will be tried again');
    });
  }
}

/** A scrub that a person stopped is not gone on with before it is due anyway. */
export function isScrubDue(
  { position, last }: ScrubState,
  { days, bornMs, nowMs }: { days: number; bornMs: number; nowMs: number },
): boolean {
  if (days <= 0) return false;
  if (position?.isScheduled === true) return true;
  const doneMs = last?.completedMs ?? bornMs;
  // A clock that was set back must not put scrubs off for years.
  return nowMs - doneMs >= days * DAY_MS || doneMs > nowMs + DAY_MS;
}
