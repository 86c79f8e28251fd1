// Requests that wait while a commit's barrier is up, in order of arrival. A later request never
// overtakes an earlier one, even when the barrier comes back before the queue has run dry.

import type { Gate } from '../filesystem/contract.ts';

export class GateQueue<T> {
  readonly #gate: Gate;
  readonly #run: (item: T) => void;
  /** Bounded by the kernel: one per blocked thread, plus max_background. */
  readonly #items: T[] = [];
  #isRegistered = false;

  constructor(gate: Gate, run: (item: T) => void) {
    this.#gate = gate;
    this.#run = run;
  }

  /** Whether what mutates has to wait. */
  get isHolding(): boolean {
    return this.#items.length > 0 || !this.#gate.isOpen;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#register();
  }

  #register(): void {
    if (this.#isRegistered) return;
    this.#isRegistered = true;
    this.#gate.whenOpen(() => {
      this.#isRegistered = false;
      this.#drain();
    });
  }

  #drain(): void {
    while (this.#gate.isOpen) {
      const item = this.#items.shift();
      if (item === undefined) return;
      this.#run(item);
    }
    if (this.#items.length > 0) this.#register();
  }
}
