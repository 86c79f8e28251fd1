// What the user sees while the rounds run, on standard error.

import { barOnly, ProgressBar } from '../lib/cli/progress.ts';
import type { Observer } from './rounds.ts';

/** A bar on a terminal, a line for each measurement elsewhere. */
export class ProgressReport implements Observer, Disposable {
  readonly #bar = new ProgressBar('bench', String, barOnly());
  readonly #total: number;

  constructor(total: number) {
    this.#total = total;
  }

  onStart({ round, workload, target, done }: Parameters<Observer['onStart']>[0]): void {
    this.#bar.update(done, this.#total, `round ${round}: ${workload.name} on ${target.name}`);
  }

  onSample(sample: Parameters<Observer['onSample']>[0]): void {
    if (process.stderr.isTTY) return;
    const { round, workload, target, seconds, bytes, writes } = sample;
    const speed =
      writes === undefined
        ? `${(bytes / seconds / 1e6).toFixed(0)} MB/s`
        : `${(writes / seconds).toFixed(0)} writes/s`;
    process.stderr.write(
      `round ${round}: ${workload} on ${target}: ${seconds.toFixed(3)} s, ${speed}\n`,
    );
  }

  onFailure({ round, workload, target, message }: Parameters<Observer['onFailure']>[0]): void {
    const what = workload ?? 'start';
    process.stderr.write(`round ${round}: ${what} on ${target} failed: ${message}\n`);
  }

  [Symbol.dispose](): void {
    this.#bar[Symbol.dispose]();
  }
}
