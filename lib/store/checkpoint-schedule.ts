// When metadata checkpoints are taken by themselves: some time after the last one, when something was
// committed since, and at the end of a mount when that is quick.

import { describeError, NoSpaceError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { MetadataCheckpoint } from './metadata-checkpoint.ts';

const LOOK_MS_MAX = 30_000;
const LOOK_MS_MIN = 1000;
/** After one that failed. */
const RETRY_MS = 5 * 60_000;
/** A metastore up to this size is copied at unmount too: who unmounts does not wait for more. */
const UNMOUNT_BYTES_MAX = 256 * 1024 * 1024;

export interface CheckpointScheduleOptions {
  readonly log: Logger;
  /** From one to the next; 0: never. May change, see `reschedule`. */
  minutes(): number;
  /** Whether the store takes changes. */
  mayChange(): boolean;
  /** Size of the metastore. */
  metastoreBytes(): number;
}

export class CheckpointSchedule {
  readonly #checkpoint: MetadataCheckpoint;
  readonly #options: CheckpointScheduleOptions;
  #isStarted = false;
  #timer: NodeJS.Timeout | undefined;
  #notBeforeMs = 0;

  constructor(checkpoint: MetadataCheckpoint, options: CheckpointScheduleOptions) {
    this.#checkpoint = checkpoint;
    this.#options = options;
  }

  start(): void {
    this.#isStarted = true;
    this.reschedule();
  }

  /** To be called when the minutes have changed. */
  reschedule(): void {
    clearInterval(this.#timer);
    if (!this.#isStarted || this.#intervalMs === 0) return;
    const lookMs = Math.min(LOOK_MS_MAX, Math.max(LOOK_MS_MIN, this.#intervalMs));
    this.#timer = setInterval(() => this.#look(), lookMs);
  }

  get #intervalMs(): number {
    return this.#options.minutes() * 60_000;
  }

  #look(): void {
    const { newest, isOutdated, running } = this.#checkpoint;
    if (running !== undefined || !isOutdated || !this.#options.mayChange()) return;
    if (performance.now() < this.#notBeforeMs) return;
    // A clock that was set back must not keep checkpoints away.
    const isDue = Math.abs(Date.now() - (newest?.createdMs ?? 0)) >= this.#intervalMs;
    if (isDue) void this.#take();
  }

  /** Nothing that happens here may disturb the mount. */
  async #take(): Promise<void> {
    try {
      await this.#checkpoint.run();
    } catch (error) {
      this.#notBeforeMs = performance.now() + RETRY_MS;
      const { log } = this.#options;
      const isExpected = error instanceof NoSpaceError;
      if (isExpected)
        log.warn({ reason: describeError(error) }, 'no metadata checkpoint this time');
      else log.error({ err: error }, 'a metadata checkpoint failed; it will be tried again');
    }
  }

  /** Starts no more. */
  stop(): void {
    this.#isStarted = false;
    clearInterval(this.#timer);
  }

  /** At the end of a mount, after the last commit. */
  async finish(): Promise<void> {
    const isQuick = this.#options.metastoreBytes() <= UNMOUNT_BYTES_MAX;
    if (!isQuick || this.#intervalMs === 0) {
      await this.#checkpoint.interrupt();
      return;
    }
    await this.#checkpoint.running?.catch(() => undefined); // logged by who started it
    if (this.#checkpoint.isOutdated && this.#options.mayChange()) await this.#take();
  }
}
