// How fast a number grows, told from its last seconds.

/** The rate is that of the last so many milliseconds... */
const WINDOW_MS = 15_000;
/** ...told from samples that are so far apart. */
const SAMPLE_INTERVAL_MS = 500;
/** Of so short a time no rate can be told. */
const SPAN_MS_MIN = 1000;

interface Sample {
  readonly ms: number;
  readonly value: number;
}

export class RateMeter {
  readonly #samples: Sample[];
  #last: Sample;

  /** The number is 0 at `nowMs`. */
  constructor(nowMs: number) {
    this.#last = { ms: nowMs, value: 0 };
    this.#samples = [this.#last];
  }

  note(value: number, nowMs: number): void {
    this.#last = { ms: nowMs, value };
    const newest = this.#samples.at(-1);
    if (newest === undefined || nowMs - newest.ms >= SAMPLE_INTERVAL_MS) {
      this.#samples.push(this.#last);
    }
    while (nowMs - (this.#samples[1]?.ms ?? nowMs) > WINDOW_MS) this.#samples.shift();
  }

  /** 0: cannot be told yet, or it stands still. */
  get perSecond(): number {
    const first = this.#samples[0] ?? this.#last;
    const ms = this.#last.ms - first.ms;
    return ms < SPAN_MS_MIN ? 0 : ((this.#last.value - first.value) / ms) * 1000;
  }
}
