// dedupfs top DIR: what a mount is doing, drawn anew every few seconds. Each picture is the difference of two
// answers of the daemon. It touches neither the mount nor the store.

import { setTimeout as delay } from 'node:timers/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { createLogUpdate } from 'log-update';

import { ControlClient } from '../control/client.ts';
import { DedupfsError, ExitCode, UserError } from '../errors.ts';
import type { Activity } from '../observability/activity.ts';
import { ratesBetween } from '../observability/rates.ts';
import { helpEnd } from './exit-codes.ts';
import { Interruption } from './interruption.ts';
import { findOwner } from './owner.ts';
import { findPlace } from './place.ts';
import { drawTop, sortings, type Sorting, type TopLook } from './top-view.ts';

const INTERVAL_SECONDS = 2;
const INTERVAL_SECONDS_MIN = 0.1;
const INTERVAL_SECONDS_MAX = 3600;
/** Of a terminal that does not say. */
const COLUMNS = 80;
const ROWS = 24;
const CONTROL_C = '\u0003';

interface TopFlags {
  interval: number;
  sort: Sorting;
  once?: true;
  json?: true;
}

export function topCommand(): Command {
  return new Command('top')
    .summary('show what a mount is doing, live')
    .description(
      'Shows throughput, ratios, the slowest operations, who uses the mount, and what waits to be\n' +
        'stored, as measured since the picture before. q or Ctrl-C ends it. Where the output is no\n' +
        'terminal, each picture is printed below the one before.',
    )
    .argument('<dir>', 'mount point, or the directory of a mounted store')
    .option(
      '--interval <seconds>',
      `between two pictures (default: ${INTERVAL_SECONDS})`,
      parseInterval,
      INTERVAL_SECONDS,
    )
    .option('--once', 'print one picture and end')
    .addOption(
      new Option('--sort <by>', 'operations by the time waited for them, rate, mean or p99')
        .choices(sortings)
        .default('time'),
    )
    .option('--json', 'print each picture as one line of JSON, with exact numbers')
    .addHelpText(
      'after',
      helpEnd(
        ['dedupfs top /backup', 'dedupfs top --once --interval 10 /backup'],
        ['OK', 'FAILED', 'USAGE', 'NO_PERMISSION', 'NOT_MOUNTED'],
      ),
    )
    .action(top);
}

async function top(path: string, flags: TopFlags): Promise<void> {
  const { storePath } = findPlace(path);
  if (findOwner(storePath) === undefined) {
    const message = `${path} is not mounted; 'dedupfs stats' shows a store that is not`;
    throw new UserError(ExitCode.NOT_MOUNTED, 'DEDUPFS_NOT_MOUNTED', message);
  }
  using client = await ControlClient.connect(storePath);
  using screen = openScreen(flags);
  using end = new End();
  let before = await ask(client, path);
  while (await end.isAwayFor(flags.interval * 1000)) {
    const activity = await ask(client, path);
    screen.show({ activity, rates: ratesBetween(before, activity) });
    if (flags.once === true) return;
    before = activity;
  }
}

async function ask(client: ControlClient, path: string): Promise<Activity> {
  try {
    return await client.request('activity', {});
  } catch (cause) {
    if (!(cause instanceof DedupfsError) || cause.code !== 'DEDUPFS_NO_DAEMON') throw cause;
    const message = `the daemon of ${path} has ended: it was unmounted, or its log says why`;
    throw new UserError(ExitCode.NOT_MOUNTED, 'DEDUPFS_DAEMON_GONE', message, { cause });
  }
}

interface Screen extends Disposable {
  show(look: TopLook): void;
}

function openScreen({ json, sort: sorting, once }: TopFlags): Screen {
  const { stdout } = process;
  if (json === true) {
    return paper((look) => JSON.stringify(look, (_, value: unknown) => plainNumber(value)));
  }
  if (!stdout.isTTY || once === true) {
    const frame = { sorting, columns: Infinity, rows: Infinity };
    let count = 0;
    return paper((look) => `${count++ === 0 ? '' : '\n'}${drawTop(look, frame)}`);
  }
  const update = createLogUpdate(stdout);
  return {
    show(look) {
      // The last line and the last column stay free: a full one would make the terminal scroll or wrap.
      const columns = (stdout.columns || COLUMNS) - 1;
      const rows = (stdout.rows || ROWS) - 1;
      update(drawTop(look, { sorting, columns, rows }));
    },
    [Symbol.dispose]: () => update.done(),
  };
}

/** Where each picture stays. */
function paper(print: (look: TopLook) => string): Screen {
  return {
    show: (look) => void process.stdout.write(`${print(look)}\n`),
    [Symbol.dispose]: () => undefined,
  };
}

/** JSON knows no Infinity: 99 of 100 took longer than the largest bound. */
function plainNumber(value: unknown): unknown {
  return value === Infinity ? 'more than 10' : value;
}

/** Waits for the next picture, or for a person who has seen enough. */
class End implements Disposable {
  readonly #over = new AbortController();
  readonly #interruption = new Interruption('nothing was changed');
  readonly #isRaw = process.stdin.isTTY && process.stdout.isTTY;

  constructor() {
    if (!this.#isRaw) return;
    process.stdin.setRawMode(true);
    process.stdin.on('data', this.#hear);
  }

  readonly #hear = (keys: Buffer): void => {
    const text = keys.toString('latin1');
    if (text.includes('q') || text.includes(CONTROL_C)) this.#over.abort();
  };

  /** False: it is over. */
  async isAwayFor(ms: number): Promise<boolean> {
    const signal = AbortSignal.any([this.#over.signal, this.#interruption.signal]);
    await delay(ms, undefined, { signal }).catch(() => undefined);
    return !signal.aborted;
  }

  [Symbol.dispose](): void {
    this.#interruption[Symbol.dispose]();
    if (!this.#isRaw) return;
    process.stdin.off('data', this.#hear);
    process.stdin.setRawMode(false);
    process.stdin.pause();
  }
}

function parseInterval(text: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (seconds >= INTERVAL_SECONDS_MIN && seconds <= INTERVAL_SECONDS_MAX) return seconds;
  throw new InvalidArgumentError(
    `use seconds from ${INTERVAL_SECONDS_MIN} to ${INTERVAL_SECONDS_MAX}, such as ${INTERVAL_SECONDS}`,
  );
}
