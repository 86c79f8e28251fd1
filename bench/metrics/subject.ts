// One mount that is measured, and who scrapes it meanwhile.

import { mkdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { runProgram, runShell } from '../../examples/programs.ts';
import { cpuSecondsOf } from '../processes.ts';
import type { Work } from './works.ts';

const SCRAPE_INTERVAL_MS = 1000;
/** One after the other, of a mount that does nothing else: steps of 10 ms are then 0.05 for each. */
const SCRAPES_ALONE = 200;
const REST_MS = 6000;

export interface Cost {
  /** Of the daemon. */
  readonly cpuSeconds: number;
  readonly seconds: number;
}

interface Kind {
  readonly name: string;
  readonly isScraped?: boolean;
  /** Another build's dedupfs.js. */
  readonly program?: string;
}

export class Subject {
  readonly name: string;
  /** How long each scrape took, as seen by who asked. */
  readonly scrapeMs: number[] = [];
  readonly #kind: Kind;
  readonly #store: string;
  readonly #mountpoint: string;
  #pid = 0;
  #url = '';

  constructor(store: string, kind: Kind) {
    this.name = kind.name;
    this.#kind = kind;
    this.#store = store;
    this.#mountpoint = `${store}.mnt`;
  }

  async mount(): Promise<void> {
    mkdirSync(this.#mountpoint);
    const { isScraped = false } = this.#kind;
    const flags = ['--checkpoint-minutes', '0', '--scrub-days', '0', '--log', `${this.#store}.log`];
    if (isScraped) flags.push('--metrics', '127.0.0.1:0');
    const { stdout } = await this.#dedupfs('mount', ...flags, this.#store, this.#mountpoint);
    this.#pid = Number(/\(process (\d+)/.exec(stdout)?.[1]);
    this.#url = /metrics (http:\S+?)\)/.exec(stdout)?.[1] ?? '';
  }

  async #dedupfs(...args: string[]) {
    const own = new URL('../../bin/dedupfs.js', import.meta.url).pathname;
    return runProgram(process.execPath, [this.#kind.program ?? own, ...args], {});
  }

  async measure({ script }: Work, source: string, signal: AbortSignal): Promise<Cost> {
    const scraping = this.#kind.isScraped === true ? this.#scrapeOften() : undefined;
    const cpuSeconds = cpuSecondsOf(this.#pid);
    const startMs = performance.now();
    await runShell(`${script}; sync -f "$2"`, ['bench', source, this.#mountpoint], { signal });
    const seconds = (performance.now() - startMs) / 1000;
    const cost = { cpuSeconds: cpuSecondsOf(this.#pid) - cpuSeconds, seconds };
    clearInterval(scraping);
    return cost;
  }

  #scrapeOften(): NodeJS.Timeout {
    return setInterval(() => {
      const startMs = performance.now();
      fetch(this.#url)
        .then(async (response) => response.text())
        .then(
          () => void this.scrapeMs.push(performance.now() - startMs),
          (error: unknown) => process.stderr.write(`bench: a scrape failed: ${String(error)}\n`),
        );
    }, SCRAPE_INTERVAL_MS);
  }

  /** Processor time of the daemon for one scrape, in milliseconds; undefined: it is not scraped. */
  async scrapeCpuMs(): Promise<number | undefined> {
    if (this.#kind.isScraped !== true) return undefined;
    // What the work before left to be done is done first.
    await delay(REST_MS);
    const before = cpuSecondsOf(this.#pid);
    for (let count = 0; count < SCRAPES_ALONE; count += 1) await (await fetch(this.#url)).text();
    return ((cpuSecondsOf(this.#pid) - before) * 1000) / SCRAPES_ALONE;
  }

  async end(): Promise<void> {
    if (this.#pid === 0) return;
    this.#pid = 0;
    await this.#dedupfs('umount', this.#mountpoint);
  }
}
