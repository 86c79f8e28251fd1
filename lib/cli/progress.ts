// What a command that works for longer than two seconds tells about it, on standard error: on a
// terminal a bar, else a line now and then, for the journal or the mail of a cron job:
//
//   gc: 1.20 GiB of 3.40 GiB (35 %), 120 MiB/s, 18 s to go
//
// --quiet silences both. With --json only the bar is left: a program may read standard error for the
// one JSON object that tells of a failure.

import { Option } from 'commander';
import { SingleBar } from 'cli-progress';
import type { Writable } from 'node:stream';

import { RateMeter } from './rate-meter.ts';
import { formatDuration } from './units.ts';

/** Nothing is shown of work that ends sooner. */
const BAR_AFTER_MS = 2000;
/** Lines come so much after the beginning, and after one another. */
const LINE_AFTER_MS = 10_000;
const LINE_INTERVAL_MS = 30_000;
const BAR_INTERVAL_MS = 100;

export interface ProgressFlags {
  readonly quiet?: true | undefined;
  readonly json?: true | undefined;
}

/** For tests: where it goes, and what time it is. */
export interface ProgressOutput {
  readonly stream: Writable & { readonly isTTY?: boolean | undefined };
  /** Milliseconds, of any beginning. */
  now(): number;
}

/** The option that every command with progress has. */
export function quietOption(): Option {
  return new Option('-q, --quiet', 'show no progress');
}

/** Flags of a program that writes lines of its own when there is no terminal. */
export function barOnly(): ProgressFlags {
  return process.stderr.isTTY ? {} : { quiet: true };
}

/** Lifecycle: made when the work begins; `update` as often as one likes; disposed when it ends. */
export class ProgressBar implements Disposable {
  readonly #title: string;
  readonly #format: (value: number) => string;
  readonly #output: ProgressOutput;
  readonly #kind: 'bar' | 'lines' | 'none';
  readonly #startMs: number;
  #meter: RateMeter;
  #part = '';
  #nextMs: number;
  #bar: SingleBar | undefined;
  /** Whatever ends the process, the terminal gets its cursor back. */
  readonly #onExit = (): void => this[Symbol.dispose]();

  /**
   * @param title of the work, such as the command's name
   * @param format how a value reads, e.g. formatBytes
   */
  constructor(
    title: string,
    format: (value: number) => string,
    flags: ProgressFlags,
    output: ProgressOutput = { stream: process.stderr, now: () => performance.now() },
  ) {
    this.#title = title;
    this.#format = format;
    this.#output = output;
    const isTerminal = output.stream.isTTY === true;
    const isSilent = flags.quiet === true || (flags.json === true && !isTerminal);
    if (isSilent) this.#kind = 'none';
    else this.#kind = isTerminal ? 'bar' : 'lines';
    this.#startMs = output.now();
    this.#meter = new RateMeter(this.#startMs);
    this.#nextMs = this.#startMs + (isTerminal ? BAR_AFTER_MS : LINE_AFTER_MS);
  }

  /** What is done now, when the whole is not known; done, total and rest are those of this part. */
  set part(part: string) {
    if (part === this.#part) return;
    this.#part = part;
    this.#meter = new RateMeter(this.#output.now());
  }

  /**
   * @param done in the unit of `format`; undefined: only the time is known
   * @param total undefined: nobody knows
   * @param detail what was found so far
   */
  update(done: number | undefined, total: number | undefined, detail = ''): void {
    if (this.#kind === 'none') return;
    const nowMs = this.#output.now();
    if (done !== undefined) this.#meter.note(done, nowMs);
    if (nowMs < this.#nextMs) return;
    if (this.#kind === 'bar') {
      this.#nextMs = nowMs + BAR_INTERVAL_MS;
      this.#draw(done, total, detail);
    } else {
      this.#nextMs = nowMs + LINE_INTERVAL_MS;
      this.#output.stream.write(`${this.#name}: ${this.#describe(done, total, detail)}\n`);
    }
  }

  get #name(): string {
    return this.#part === '' ? this.#title : `${this.#title}, ${this.#part}`;
  }

  /** `1.20 GiB of 3.40 GiB (35 %), 120 MiB/s, 18 s to go, 2 damaged chunks` */
  #describe(done: number | undefined, total: number | undefined, detail: string): string {
    const parts: string[] = [];
    const { perSecond } = this.#meter;
    if (done !== undefined) {
      const share = total === undefined ? '' : ` of ${this.#format(total)}${shareOf(done, total)}`;
      parts.push(`${this.#format(done)}${share}`);
      if (perSecond > 0) parts.push(`${this.#format(Math.round(perSecond))}/s`);
    }
    if (done === undefined || total === undefined) {
      parts.push(`${formatDuration((this.#output.now() - this.#startMs) / 1000)} so far`);
    } else if (perSecond > 0 && total > done) {
      parts.push(`${formatDuration((total - done) / perSecond)} to go`);
    }
    if (detail !== '') parts.push(detail);
    return parts.join(', ');
  }

  #draw(done: number | undefined, total: number | undefined, detail: string): void {
    const payload = { name: this.#name, text: this.#describe(done, total, detail) };
    // Without a total the bar stays empty.
    const end = Math.max(total ?? 1, 1);
    const at = total === undefined ? 0 : Math.min(done ?? 0, end);
    if (this.#bar === undefined) {
      this.#bar = new SingleBar({
        format: '{name} [{bar}] {text}',
        barsize: 24,
        barCompleteChar: '#',
        barIncompleteChar: '-',
        hideCursor: true,
        clearOnComplete: true,
        // Ctrl-C is the command's own matter (interruption.ts).
        gracefulExit: false,
        stream: this.#output.stream as NodeJS.WritableStream,
      });
      this.#bar.start(end, at, payload);
      process.once('exit', this.#onExit);
      return;
    }
    this.#bar.setTotal(end);
    this.#bar.update(at, payload);
  }

  [Symbol.dispose](): void {
    this.#bar?.stop();
    this.#bar = undefined;
    process.off('exit', this.#onExit);
  }
}

function shareOf(done: number, total: number): string {
  return total === 0 ? '' : ` (${Math.floor((100 * Math.min(done, total)) / total)} %)`;
}
