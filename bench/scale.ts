// npm run bench:scale: what the size of a store costs. Builds a large and a small store of the same
// shape and runs the same operations on both in turns.

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Command, InvalidArgumentError } from 'commander';

import { describeError } from '../lib/errors.ts';
import { MountedStore } from './scale/mounted-store.ts';
import { measurePass, PASSES_MAX, type Pass } from './scale/measurements.ts';
import { formatScale, type ScaleReport, type StoreResult } from './scale/report.ts';
import { Shape } from './scale/shape.ts';
import { buildStore } from './scale/store-builder.ts';
import { makeSourceFolder } from './sources.ts';

interface Options {
  readonly inodes: number;
  readonly smallInodes: number;
  readonly megabytes: number;
  readonly rounds: number;
  readonly seed: string;
  readonly stores?: string;
  readonly json?: string;
}

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interruption.abort());
}

const options = new Command('npm run bench:scale --')
  .description('Measures a large synthetic store beside a small one. Takes about 30 GB of disk.')
  .option('--inodes <n>', 'of the large store; three chunks for each file', parseCount, 10_000_000)
  .option('--small-inodes <n>', 'of the small store', parseCount, 10_000)
  .option('--megabytes <n>', 'of data written, in 2^20 bytes', parseCount, 256)
  .option('--rounds <n>', `how often both are measured, at most ${PASSES_MAX}`, parseCount, 3)
  .option('--seed <text>', 'of data and choices', randomBytes(8).toString('hex'))
  .option('--stores <dir>', 'build the stores here and keep them, or use those that are there')
  .option('--json <file>', 'write every sample here')
  .parse()
  .opts<Options>();

async function bench(given: Options): Promise<ScaleReport> {
  const folder = given.stores ?? mkdtempSync(join(tmpdir(), 'dedupfs-scale-'));
  mkdirSync(folder, { recursive: true });
  const place = realpathSync(folder);
  const writtenBytes = given.megabytes * 2 ** 20;
  const scratch = makeSourceFolder(place, writtenBytes);
  const subjects = [
    new Subject('small', new Shape(given.smallInodes), place),
    new Subject('large', new Shape(given.inodes), place),
  ] as const;
  try {
    for (const subject of subjects) await subject.prepare(given.seed);
    for (let round = 0; round < Math.min(given.rounds, PASSES_MAX); round += 1) {
      for (const subject of subjects) {
        const seed = `${given.seed} ${round} ${subject.result.name}`;
        await subject.pass({ seed, pass: round, writtenBytes, scratch });
      }
    }
  } finally {
    for (const subject of subjects) await subject.store.end();
    rmSync(scratch, { recursive: true, force: true });
    if (given.stores === undefined) rmSync(place, { recursive: true, force: true });
  }
  const command = ['npm run bench:scale --', ...process.argv.slice(2)].join(' ');
  const [small, large] = subjects;
  return { command, seed: given.seed, small: small.result, large: large.result };
}

class Subject {
  readonly store: MountedStore;
  readonly #name: StoreResult['name'];
  readonly #shape: Shape;
  readonly #passes: Pass[] = [];
  #buildSeconds = 0;

  constructor(name: StoreResult['name'], shape: Shape, folder: string) {
    this.#name = name;
    this.#shape = shape;
    this.store = new MountedStore(join(folder, name));
  }

  async prepare(seed: string): Promise<void> {
    if (existsSync(this.store.path)) {
      if (this.#name === 'large') return;
      // A small one is made in no time, and has not many folders to empty.
      rmSync(this.store.path, { recursive: true });
    }
    const start = performance.now();
    await buildStore(this.store.path, this.#shape, {
      seed: `${seed} ${this.#name}`,
      note: (what) => {
        interruption.signal.throwIfAborted();
        process.stderr.write(`bench: building the ${this.#name} store: ${what}\n`);
      },
    });
    this.#buildSeconds = (performance.now() - start) / 1000;
  }

  async pass(how: { seed: string; pass: number; writtenBytes: number; scratch: string }) {
    process.stderr.write(`bench: round ${how.pass + 1}, ${this.#name} store\n`);
    const { signal } = interruption;
    this.#passes.push(await measurePass(this.store, { shape: this.#shape, signal, ...how }));
  }

  get result(): StoreResult {
    return {
      name: this.#name,
      shape: this.#shape,
      metastoreBytes: this.store.metastoreBytes,
      buildSeconds: this.#buildSeconds,
      passes: this.#passes,
    };
  }
}

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new InvalidArgumentError('expected a whole number above 0.');
}

try {
  const report = await bench(options);
  process.stdout.write(formatScale(report));
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
  }
} catch (error) {
  const message = interruption.signal.aborted ? 'interrupted' : describeError(error);
  process.stderr.write(`bench: ${message}\n`);
  process.exitCode = interruption.signal.aborted ? 130 : 1;
}
