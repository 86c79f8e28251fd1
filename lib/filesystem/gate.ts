// The gate around a commit: while it is closed, requests that change something wait in order.

import { assert } from '../assert.ts';
import type { Gate } from './contract.ts';

export class CommitGate implements Gate {
  #isOpen = true;
  readonly #waiting: (() => void)[] = [];

  get isOpen(): boolean {
    return this.#isOpen;
  }

  whenOpen(callback: () => void): void {
    if (this.#isOpen && this.#waiting.length === 0) callback();
    else this.#waiting.push(callback);
  }

  close(): void {
    assert(this.#isOpen, 'the gate is closed once at a time');
    this.#isOpen = false;
  }

  /** Opens and runs what waited, in order; stops early if one of them leads to the next commit. */
  open(): void {
    this.#isOpen = true;
    this.#runWaiting();
  }

  #runWaiting(): void {
    while (this.#isOpen) {
      const callback = this.#waiting.shift();
      if (callback === undefined) return;
      callback();
    }
  }
}
