// npm run bench:metrics: what it costs to be observed. Several mounts of the same kind take turns at the same
// work; one is not asked for anything, one is scraped each second, and one may be of another build, such as
// the one before requests were counted. What counts is the processor time of the daemon: it is the same on a
// busy machine; wall time is shown beside it.

import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { Command, InvalidArgumentError } from 'commander';

import { describeError } from '../lib/errors.ts';
import { formatComparison, type Figure } from './metrics/report.ts';
import { makeSmallFiles, works, type Work } from './metrics/works.ts';
import { Subject } from './metrics/subject.ts';

interface Options {
  readonly pairs: number;
  readonly files: number;
  readonly megabytes: number;
  readonly repeat: number;
  readonly against?: string;
}

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interruption.abort());
}

const options = new Command('npm run bench:metrics --')
  .description('Measures mounts that are scraped each second beside one that is not.')
  .option('--pairs <n>', 'how often each mount takes its turn', parseCount, 7)
  .option('--files <n>', 'small files that are written and removed again', parseCount, 10_000)
  .option('--megabytes <n>', 'of the large file, in 2^20 bytes', parseCount, 512)
  .option('--repeat <n>', 'so often in each turn', parseCount, 3)
  .option('--against <file>', 'dist/bin/dedupfs.js of another build, for a third mount')
  .parse()
  .opts<Options>();

async function bench(given: Options): Promise<string> {
  const { signal } = interruption;
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'dedupfs-metrics-')));
  const source = join(folder, 'source');
  const subjects = [
    new Subject(join(folder, 'quiet'), { name: 'not scraped' }),
    new Subject(join(folder, 'scraped'), { name: 'scraped each second', isScraped: true }),
    ...otherBuild(given.against).map(
      (program) => new Subject(join(folder, 'other'), { name: 'the other build', program }),
    ),
  ];
  const figures: Figure[] = [];
  const scrapeCpuMs: number[] = [];
  try {
    mkdirSync(source);
    await makeSmallFiles(source, given.files, given.megabytes, signal);
    for (const subject of subjects) await subject.mount();
    for (const work of works(given)) {
      // Compilers and caches come to rest first.
      for (const subject of subjects) await subject.measure(work, source, signal);
      figures.push(...(await compare(work, subjects, source, given.pairs)));
    }
    for (const subject of subjects) {
      const ms = await subject.scrapeCpuMs();
      if (ms !== undefined) scrapeCpuMs.push(ms);
    }
  } finally {
    for (const subject of subjects) await subject.end();
    rmSync(folder, { recursive: true, force: true });
  }
  const scrapeMs = subjects.flatMap((subject) => subject.scrapeMs);
  const names = subjects.map(({ name }) => name);
  return formatComparison(figures, { scrapeMs, scrapeCpuMs }, names);
}

async function compare(
  work: Work,
  subjects: readonly Subject[],
  source: string,
  pairs: number,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (let round = 0; round < pairs; round += 1) {
    // Nobody is always the first.
    const inTurn = subjects.map((_, turn) => subjects[(turn + round) % subjects.length]);
    for (const subject of inTurn) {
      if (subject === undefined) continue;
      process.stderr.write(`bench: ${work.name}, round ${round + 1}: ${subject.name}\n`);
      const cost = await subject.measure(work, source, interruption.signal);
      figures.push({ work, round, subject: subject.name, ...cost });
    }
  }
  return figures;
}

function otherBuild(program: string | undefined): string[] {
  if (program === undefined) return [];
  const path = resolve(program);
  if (existsSync(path)) return [path];
  throw new Error(`${path} does not exist; name the dist/bin/dedupfs.js of a build`);
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('use a whole number of at least 1');
}

try {
  process.stdout.write(await bench(options));
} catch (error) {
  process.stderr.write(`bench: ${describeError(error)}\n`);
  process.exitCode = 1;
}
