// npm run bench:reduction: what the same generations of data take on disk, in a dedupfs store and in the
// repositories of the backup programs that are there. Sizes only; how long it takes is not looked at.

import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Command } from 'commander';

import { formatBytes } from '../lib/cli/units.ts';
import { describeError } from '../lib/errors.ts';
import { Choices } from './choices.ts';
import { dataSets, type DataSet } from './reduction/data-sets.ts';
import {
  isInstalled,
  plainBytesBelow,
  repositoryKinds,
  type Repository,
} from './reduction/repositories.ts';
import { formatMarkdownTable } from './table.ts';

interface Options {
  readonly seed: string;
  readonly directory: string;
  readonly data?: string;
  readonly json?: string;
}

interface Outcome {
  readonly dataSet: string;
  readonly title: string;
  /** Of all generations together. */
  readonly plainBytes: number;
  /** By the repository's name. */
  readonly hostBytes: Readonly<Record<string, number>>;
}

/** Who must not be smaller than which of ours. */
const RIVALS = [
  ['dedupfs lz4', 'borg lz4'],
  ['dedupfs zstd', 'restic'],
] as const;

const names = dataSets.map(({ name }) => name).join(', ');
const options = new Command('npm run bench:reduction --')
  .description('Compares the size of a store with that of borg, restic and bup repositories.')
  .option('--seed <text>', 'of data and changes', randomBytes(8).toString('hex'))
  .option('--directory <dir>', 'for data and repositories, 4 GB', tmpdir())
  .option('--data <name>', `only one of ${names}`)
  .option('--json <file>', 'write all sizes here')
  .parse()
  .opts<Options>();

try {
  const wanted = dataSets.filter(({ name }) => options.data === undefined || name === options.data);
  const outcomes: Outcome[] = [];
  for (const dataSet of wanted) outcomes.push(await measure(dataSet, options));
  process.stdout.write(format(outcomes, options.seed));
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify({ seed: options.seed, outcomes }, null, 2)}\n`);
  }
} catch (error) {
  process.stderr.write(`bench: ${describeError(error)}\n`);
  process.exitCode = 1;
}

async function measure(dataSet: DataSet, { seed, directory }: Options): Promise<Outcome> {
  const folder = realpathSync(mkdtempSync(join(directory, 'dedupfs-reduction-')));
  const data = join(folder, 'data');
  mkdirSync(data);
  const repositories: Repository[] = [];
  let isClosed = false;
  try {
    for (const [index, kind] of repositoryKinds.filter(isInstalled).entries()) {
      repositories.push(await kind.create(join(folder, `repository-${index}`)));
    }
    const generations = dataSet.make(data, new Choices(seed, dataSet.name));
    let plainBytes = 0;
    for (let generation = 1; generation <= dataSet.generations; generation += 1) {
      process.stderr.write(`bench: ${dataSet.name}, generation ${generation}\n`);
      await generations.advance();
      plainBytes += plainBytesBelow(data);
      for (const repository of repositories) await repository.backUp(data, generation);
    }
    for (const repository of repositories) await repository.close();
    isClosed = true;
    const sizes = repositories.map(({ name, hostBytes }) => [name, hostBytes()] as const);
    const { name, title } = dataSet;
    return { dataSet: name, title, plainBytes, hostBytes: Object.fromEntries(sizes) };
  } finally {
    if (!isClosed) for (const repository of repositories) await repository.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function format(outcomes: readonly Outcome[], seed: string): string {
  const kinds = repositoryKinds.filter(isInstalled).map(({ name }) => name);
  const absent = repositoryKinds.filter((kind) => !isInstalled(kind)).map(({ name }) => name);
  const head = ['data', 'plain', ...kinds, ...RIVALS.map((pair) => pair.join(' / '))];
  const rows = outcomes.map(({ title, plainBytes, hostBytes }) => {
    const ratios = RIVALS.map(([ours, theirs]) => {
      const [mine, other] = [hostBytes[ours], hostBytes[theirs]];
      return mine === undefined || other === undefined ? '-' : (mine / other).toFixed(3);
    });
    const sizes = kinds.map((name) => formatBytes(hostBytes[name] ?? 0));
    return [title, formatBytes(plainBytes), ...sizes, ...ratios];
  });
  return [
    `- command: \`npm run bench:reduction -- --seed ${seed}\``,
    ...(absent.length === 0 ? [] : [`- not installed: ${absent.join(', ')}`]),
    '',
    'Bytes on the host of all generations together; below 1 the store is the smaller one.',
    '',
    ...formatMarkdownTable(head, rows),
    '',
  ].join('\n');
}
