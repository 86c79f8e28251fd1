// Long walks on the thread that serves a mount: a few milliseconds at a time, and given up when nobody
// waits for the result any more.

import { setImmediate } from 'node:timers/promises';

/** After so long requests get their turn. */
const SLICE_MS = 2;

export class Slices {
  readonly #signal: AbortSignal | undefined;
  #startMs = performance.now();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /**
   * To be called after each small step. Nothing that a step opened (statement iterators) may be kept
   * across it. @throws the signal's reason
   */
  async rest(): Promise<void> {
    if (performance.now() - this.#startMs < SLICE_MS) return;
    await setImmediate();
    this.#signal?.throwIfAborted();
    this.#startMs = performance.now();
  }
}
