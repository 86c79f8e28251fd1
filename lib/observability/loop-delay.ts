// How late the event loop comes to what is due: all requests of the mount wait for so long as well.

import { LatencyHistogram, type LatencyCounts } from '../latency-histogram.ts';

/** Seldom enough that an idle daemon stays idle, often enough to meet each stop that somebody notices. */
const INTERVAL_MS = 100;

export class LoopDelay implements Disposable {
  readonly #histogram = new LatencyHistogram();
  readonly #timer: NodeJS.Timeout;
  #expectedMs = performance.now() + INTERVAL_MS;

  constructor() {
    this.#timer = setInterval(() => this.#note(performance.now()), INTERVAL_MS);
    this.#timer.unref();
  }

  #note(nowMs: number): void {
    this.#histogram.note(Math.max(0, nowMs - this.#expectedMs));
    this.#expectedMs = nowMs + INTERVAL_MS;
  }

  get counts(): LatencyCounts {
    return this.#histogram.counts;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
