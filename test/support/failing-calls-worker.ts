// Child process of the campaign of failing calls: works on a store whose disk fails one call, and
// notes on the host what was acknowledged; or, called again, says what is there afterwards.
//
// Arguments: `work`, store, seed, log file; or `look`, store. Ends with code 0 whatever was refused:
// what must not be is that it crashes or never ends.

import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { describeError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { SlabPool } from '../../lib/slab-pool.ts';
import type { Store } from '../../lib/store/contract.ts';
import { openStore } from '../../lib/store/store.ts';
import { FileSystemDriver } from './filesystem-driver.ts';
import { Random, contentOf } from './random.ts';

/** One line of the log: the tree, and what is promised of it. */
export interface LoggedState {
  /** `asked`: a commit of this tree was begun; `durable`: it has succeeded. */
  readonly event: 'asked' | 'durable';
  /** sha256 by name. */
  readonly files: Readonly<Record<string, string>>;
  /** Names whose content is not known, because a call on them failed. */
  readonly unknown: readonly string[];
}

export interface WorkReport {
  /** What was refused, in the order in which it happened. */
  readonly failures: readonly string[];
  /** Content that was read and not what was written. */
  readonly wrong: readonly string[];
  readonly readOnlyReason: string | undefined;
}

export interface LookReport {
  readonly files: Readonly<Record<string, string>>;
  readonly findings: readonly string[];
}

const SLABS = 16;
const STEPS = 48;
const COMMIT_EVERY = 5;
const GC_AT = 30;
const FILE_BYTES_MAX = 400_000;

class Worker {
  readonly failures: string[] = [];
  readonly wrong: string[] = [];
  readonly #store: Store;
  readonly #driver: FileSystemDriver;
  readonly #random: Random;
  readonly #log: string;
  readonly #contents = new Map<string, Buffer>();
  readonly #unknown = new Set<string>();

  constructor(
    store: Store,
    pool: SlabPool,
    options: { readonly seed: number; readonly log: string },
  ) {
    this.#store = store;
    this.#driver = new FileSystemDriver(store.filesystem, pool);
    this.#random = new Random(options.seed);
    this.#log = options.log;
  }

  async work(): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      await this.#step(step);
      if (step === GC_AT) await this.#collect();
      if (step % COMMIT_EVERY === COMMIT_EVERY - 1) await this.commit();
    }
  }

  async commit(): Promise<void> {
    this.#note('asked');
    await this.#attempt('commit', async () => {
      await this.#store.commit();
      this.#note('durable');
    });
  }

  /** gc commits, so what there is now may become durable. */
  async #collect(): Promise<void> {
    this.#note('asked');
    await this.#attempt('gc', async () => void (await this.#store.gc()));
  }

  async #step(step: number): Promise<void> {
    // Decided before anything can fail: the decisions are the same whatever fails.
    const kind = this.#random.below(6);
    const [seed, bytes] = [this.#random.below(1_000_000), this.#random.size(FILE_BYTES_MAX)];
    const names = [...this.#contents.keys()];
    const name = names.length === 0 ? '' : this.#random.pick(names);
    if (name === '' || kind < 2) return this.#put(`file-${step}`, contentOf(seed, bytes));
    if (kind === 2) return this.#overwrite(name, contentOf(seed, Math.min(bytes, 50_000)));
    if (kind === 3) return this.#rename(name, `renamed-${step}`);
    if (kind === 4) return this.#remove(name);
    return this.#read(name);
  }

  async #put(name: string, content: Buffer): Promise<void> {
    await this.#change([name], async () => {
      await this.#driver.put(name, content);
      this.#contents.set(name, content);
    });
  }

  async #overwrite(name: string, part: Buffer): Promise<void> {
    await this.#change([name], async () => {
      const { fh } = await this.#driver.open(name);
      try {
        await this.#driver.write(fh, 1000, part);
      } finally {
        this.#driver.release(fh);
      }
      const old = this.#contents.get(name) ?? Buffer.alloc(0);
      // What is between the old end and the new part is a hole.
      const content = Buffer.alloc(
        Math.max(old.length, part.length === 0 ? 0 : 1000 + part.length),
      );
      old.copy(content);
      part.copy(content, 1000);
      this.#contents.set(name, content);
    });
  }

  async #rename(from: string, to: string): Promise<void> {
    await this.#change([from, to], async () => {
      await this.#driver.rename(from, to);
      const content = this.#contents.get(from);
      this.#contents.delete(from);
      if (content !== undefined) this.#contents.set(to, content);
    });
  }

  async #remove(name: string): Promise<void> {
    await this.#change([name], async () => {
      await this.#driver.remove(name);
      this.#contents.delete(name);
    });
  }

  async #read(name: string): Promise<void> {
    await this.#attempt(`read ${name}`, async () => {
      const found = await this.#driver.get(name);
      const isRight = found.equals(this.#contents.get(name) ?? Buffer.alloc(0));
      if (!isRight && !this.#unknown.has(name)) this.wrong.push(name);
    });
  }

  /** A change that fails leaves its names in an unknown state. */
  async #change(names: readonly string[], change: () => Promise<void>): Promise<void> {
    const failures = this.failures.length;
    await this.#attempt(names.join(' '), change);
    if (this.failures.length === failures) return;
    for (const name of names) this.#unknown.add(name);
  }

  async #attempt(what: string, call: () => Promise<void>): Promise<void> {
    try {
      await call();
    } catch (error) {
      const { code = '' } = error as { code?: string };
      this.failures.push(`${what}: ${code} ${describeError(error)}`);
    }
  }

  #note(event: LoggedState['event']): void {
    const files = [...this.#contents].map(([name, content]) => [name, hashOf(content)] as const);
    const state: LoggedState = {
      event,
      files: Object.fromEntries(files),
      unknown: [...this.#unknown],
    };
    appendFileSync(this.#log, `${JSON.stringify(state)}\n`);
  }
}

async function work(path: string, seed: number, log: string): Promise<WorkReport> {
  const pool = new SlabPool(SLABS);
  const options = { create: true, background: false, pool, log: silentLog() };
  const store = await openStore(path, options).catch((error: unknown) => describeError(error));
  if (typeof store === 'string') {
    return { failures: [`open: ${store}`], wrong: [], readOnlyReason: undefined };
  }
  const worker = new Worker(store, pool, { seed, log });
  await worker.work();
  await worker.commit();
  const { readOnlyReason } = store.statistics();
  await store
    .close()
    .catch((error: unknown) => worker.failures.push(`close: ${describeError(error)}`));
  return { failures: worker.failures, wrong: worker.wrong, readOnlyReason };
}

async function look(path: string): Promise<LookReport> {
  const pool = new SlabPool(SLABS);
  const store = await openStore(path, { create: true, background: false, pool, log: silentLog() });
  const driver = new FileSystemDriver(store.filesystem, pool);
  const files: Record<string, string> = {};
  for (const name of driver.list()) files[name] = hashOf(await driver.get(name));
  const { findings } = await store.fsck({ level: 'full' });
  await store.close();
  return { files, findings: findings.map(({ check, message }) => `${check}: ${message}`) };
}

function hashOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

const [mode, path = '', seed = '', log = ''] = process.argv.slice(2);
const report = mode === 'work' ? await work(path, Number(seed), log) : await look(path);
process.stdout.write(JSON.stringify(report));
