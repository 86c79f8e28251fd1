// A progress bar on standard error, for people only: nothing is drawn when it is not a terminal, and
// nothing for work that ends within two seconds.

import { SingleBar } from 'cli-progress';

const QUIET_MS = 2000;
/** Updates that the rest of the time is told from: some ten seconds of a daemon's. */
const ETA_UPDATES = 100;

export class ProgressBar implements Disposable {
  readonly #title: string;
  readonly #format: (value: number) => string;
  readonly #startMs = performance.now();
  readonly #quietMs: number;
  readonly #rest: string;
  #bar: SingleBar | undefined;

  /**
   * @param format how a value reads, e.g. formatBytes
   * @param options.showsRest for work whose pace is even: how much longer it takes
   */
  constructor(
    title: string,
    format: (value: number) => string,
    options: { readonly quietMs?: number; readonly showsRest?: boolean } = {},
  ) {
    const { quietMs = QUIET_MS, showsRest = false } = options;
    this.#rest = showsRest ? ', {eta_formatted} to go' : '';
    this.#title = title;
    this.#format = format;
    this.#quietMs = quietMs;
  }

  update(done: number, total: number, detail = ''): void {
    if (!process.stderr.isTTY) return;
    if (performance.now() - this.#startMs < this.#quietMs) return;
    const payload = {
      title: this.#title,
      detail,
      done: this.#format(done),
      all: this.#format(total),
    };
    if (this.#bar === undefined) {
      this.#bar = new SingleBar({
        format: `{title} [{bar}] {percentage}% | {done} of {all}${this.#rest} {detail}`,
        etaBuffer: ETA_UPDATES,
        barsize: 30,
        barCompleteChar: '#',
        barIncompleteChar: '-',
        hideCursor: true,
        clearOnComplete: true,
        stream: process.stderr,
      });
      this.#bar.start(total, done, payload);
      return;
    }
    this.#bar.setTotal(total);
    this.#bar.update(done, payload);
  }

  [Symbol.dispose](): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
