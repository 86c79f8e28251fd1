// The requests that wait for something: a promise, a gate. A caller hangs for as long as its request
// is in here, so a watchdog names those that stay too long.

import type { Logger } from '../log.ts';
import type { Exchange } from './exchange.ts';

/** A request older than this is reported, once. */
const AGE_REPORTED_MS = 30_000;
const CHECK_INTERVAL_MS = 10_000;

export class InFlight {
  readonly #log: Logger;
  /** Bounded by the kernel: one per blocked thread, plus max_background. */
  readonly #waiting = new Set<Exchange>();
  readonly #timer: NodeJS.Timeout;

  constructor(log: Logger) {
    this.#log = log;
    this.#timer = setInterval(() => this.report(performance.now()), CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  get count(): number {
    return this.#waiting.size;
  }

  add(exchange: Exchange): void {
    this.#waiting.add(exchange);
  }

  delete(exchange: Exchange): void {
    this.#waiting.delete(exchange);
  }

  /** Nobody waits for it any more, if it is here. */
  interrupt(uniqueLow: number, uniqueHigh: number): void {
    for (const exchange of this.#waiting) {
      const { request } = exchange;
      if (request.uniqueLow === uniqueLow && request.uniqueHigh === uniqueHigh)
        exchange.interrupt();
    }
  }

  /** Logs each request that has waited too long and was not reported before. */
  report(nowMs: number): void {
    for (const exchange of this.#waiting) {
      const ageMs = nowMs - exchange.startedMs;
      if (ageMs < AGE_REPORTED_MS || exchange.isReported) continue;
      exchange.isReported = true;
      const { name: op, nodeid, pid } = exchange.request;
      this.#log.warn({ op, nodeid, pid, ageMs: Math.round(ageMs) }, 'a request waits for long');
    }
  }

  /** No request is waited for any more. */
  stop(): void {
    clearInterval(this.#timer);
    for (const exchange of this.#waiting) exchange.interrupt();
  }
}
