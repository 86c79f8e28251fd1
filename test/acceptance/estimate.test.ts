// Goal: what `dedupfs estimate` says of a tree before is what a store takes of it afterwards: bytes on the
// host, deduplication and compression within 10 %.
//
// Run it:        node dist/test/acceptance/estimate.test.js
// Run all of it: DEDUPFS_FULL=1 node dist/test/acceptance/estimate.test.js   (five trees, some minutes)
// It prints a table of what was said and what came; the times are those of this machine, and only shown.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { formatTable } from '../../lib/cli/tables.ts';
import type { EstimateReport, Outcome } from '../../lib/estimate/estimate.ts';
import type { StoreStatistics } from '../../lib/store/contract.ts';
import { failureOf } from '../support/commands.ts';
import { dedupfs } from '../support/commands-dedupfs.ts';
import { makeEstimateTrees } from '../support/estimate-trees.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { isFullRun } from '../support/sizes.ts';

const TOLERANCE = 0.1;
/** In the short run one store configuration for each tree, which takes turns. */
const CONFIGURATIONS = [
  { chunkSize: '32K', compression: 'lz4' },
  { chunkSize: '64K', compression: 'zstd:3' },
] as const;

interface Measured {
  readonly statistics: StoreStatistics;
  readonly seconds: number;
}

async function json<T>(args: readonly string[]): Promise<T> {
  const result = await dedupfs([...args, '--json']);
  if (result.code !== 0) throw new Error(failureOf(result));
  return JSON.parse(result.stdout) as T;
}

/** What really comes of it: mount, cp -a, umount, gc. */
async function store(t: Test, tree: string, options: readonly string[]): Promise<Measured> {
  const mounted = await MountedStore.mounted(t, ...options);
  const startMs = performance.now();
  await mounted.mustRun('cp', ['-a', tree, mounted.mountpoint], { timeoutMs: 600_000 });
  const seconds = (performance.now() - startMs) / 1000;
  await mounted.umount();
  await dedupfs(['gc', mounted.store]);
  const statistics = await json<StoreStatistics>(['stats', mounted.store]);
  await mounted.finish();
  return { statistics, seconds };
}

function compare(t: Test, name: string, said: Outcome, came: Measured): string[][] {
  const { statistics, seconds } = came;
  const rows = [
    ['store bytes', said.storeBytes.value, statistics.hostBytes],
    ['dedup ratio', said.dedupRatio.value, statistics.dedupRatio],
    ['compression ratio', said.compressionRatio.value, statistics.compressionRatio],
  ] as const;
  const told = `${name}, ${said.chunkBytes / 1024}K ${said.compression}`;
  for (const [what, predicted, real] of rows) {
    const difference = predicted / real - 1;
    const text = `${told}: ${what} ${predicted.toFixed(2)}, really ${real.toFixed(2)}`;
    t.ok(Math.abs(difference) <= TOLERANCE, text);
  }
  return [...rows, ['seconds', said.copySeconds, seconds] as const].map(([what, left, right]) => [
    told,
    what,
    left.toFixed(2),
    right.toFixed(2),
    `${(100 * (left / right - 1)).toFixed(1)} %`,
  ]);
}

t.test('what is said of trees before is what a store takes afterwards', async (t) => {
  const work = mkdtempSync(join(tmpdir(), 'dedupfs-estimate-'));
  t.teardown(() => rmSync(work, { recursive: true, force: true }));
  mkdirSync(join(work, 'trees'));
  const rows: string[][] = [];
  const trees = await makeEstimateTrees(t, join(work, 'trees'));
  for (const [index, { name, path }] of trees.entries()) {
    const chosen = CONFIGURATIONS[index % CONFIGURATIONS.length];
    for (const configuration of isFullRun ? CONFIGURATIONS : [chosen ?? CONFIGURATIONS[0]]) {
      const { chunkSize, compression } = configuration;
      const options = ['--chunk-size', chunkSize, '--compression', compression];
      const report = await json<EstimateReport>(['estimate', path, ...options]);
      const [said] = report.outcomes;
      if (said === undefined) throw new Error('no prediction');
      rows.push(...compare(t, name, said, await store(t, path, options)));
    }
  }
  t.comment(`\n${formatTable(['tree', 'what', 'predicted', 'real', 'difference'], rows)}`);
});

t.test('of a part of the data it says what that leaves open', async (t) => {
  const work = mkdtempSync(join(tmpdir(), 'dedupfs-estimate-'));
  t.teardown(() => rmSync(work, { recursive: true, force: true }));
  const [tree] = await makeEstimateTrees(t, work);
  if (tree === undefined) throw new Error('no tree');
  const base = ['estimate', tree.path, '--chunk-size', '16K', '--compression', 'lz4'];
  const whole = await json<EstimateReport>(base);
  const part = await json<EstimateReport>([...base, '--sample', '2M']);
  t.equal(whole.readShare, 1);
  t.ok(part.readShare < 1 && part.bytesRead < whole.bytesRead, `${part.bytesRead} bytes read`);
  const real = whole.outcomes[0]?.storeBytes.value ?? 0;
  const { value, min, max } = part.outcomes[0]?.storeBytes ?? { value: 0, min: 0, max: 0 };
  t.ok(min < value && value < max, `${min} < ${value} < ${max}`);
  // So few files differ among themselves, too.
  t.ok(min * 0.7 <= real && real <= max * 1.3, `${real} is about in the range`);
});

t.test('mistakes are told', async (t) => {
  const missing = await dedupfs(['estimate', '/nowhere/at/all']);
  t.equal(missing.code, 2);
  t.match(missing.stderr, /^dedupfs: cannot read \/nowhere\/at\/all: ENOENT/);
  const sample = await dedupfs(['estimate', '/', '--sample', 'much']);
  t.equal(sample.code, 2);
  t.match(sample.stderr, 'use bytes, such as 20G');
});
