// Goal: eight processes that write, read, rename and delete in one tree always see what they wrote.
// Method: each compares everything it reads with its own model; the shared files carry their hash in
// the name. At the end, and after a remount, the whole tree is compared again.
//
// Run all of it: DEDUPFS_FULL=1 node dist/test/acceptance/concurrency.test.js     (2 minutes)
// DEDUPFS_TEST_SECONDS and DEDUPFS_SEED replace duration and seed.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { requireRoot } from '../support/commands.ts';
import { supportScript } from '../support/commands-dedupfs.ts';
import type { WorkerReport } from '../support/model-worker.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { printedSeed } from '../support/random.ts';
import { scaledSeconds } from '../support/sizes.ts';
import { describeTree } from '../support/trees.ts';

const WORKERS = 8;
const SECONDS = scaledSeconds({ short: 20, full: 120 });
// A worker ends with a comparison of its whole tree.
const WORKER_TIMEOUT_MS = SECONDS * 1000 + 180_000;

t.setTimeout(WORKER_TIMEOUT_MS + 300_000);
requireRoot();
const seed = printedSeed(t);
const store = await MountedStore.mounted(t);
const expected = new Map<string, string>();

await t.test(`${WORKERS} processes work for ${SECONDS} s`, async (t) => {
  // All of them end, also when one has found something: a worker left over keeps the mount busy.
  const ended = await Promise.allSettled(Array.from({ length: WORKERS }, (_, i) => work(i)));
  const failures = ended.flatMap((end) => (end.status === 'rejected' ? [String(end.reason)] : []));
  t.strictSame(failures, [], 'every worker read what it had written');
  const reports = ended.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
  for (const report of reports) {
    for (const [path, sha256] of Object.entries(report.files)) expected.set(path, sha256);
  }
  const operations = reports.reduce((total, report) => total + report.operations, 0);
  const reads = reports.reduce((total, report) => total + report.reads, 0);
  t.comment(`${operations} changes and ${reads} verified reads, ${expected.size} files are left`);
  t.ok(operations > WORKERS * SECONDS, 'the workers got somewhere');
  t.strictSame(await differences(), [], 'the tree is what the workers say');
});

await t.test('after a remount the tree is the same', async (t) => {
  await store.remount();
  t.strictSame(await differences(), []);
});

await t.test('the store is clean', async () => store.finish());

async function work(index: number): Promise<WorkerReport> {
  const report = join(store.directory, `report-${index}`);
  const args = [store.mountpoint, index, seed, SECONDS, report].map(String);
  await store.mustRun(process.execPath, [supportScript('model-worker'), ...args], {
    timeoutMs: WORKER_TIMEOUT_MS,
  });
  return JSON.parse(readFileSync(report, 'utf8')) as WorkerReport;
}

/** Files that are missing, unknown, or have other contents than the workers reported. */
async function differences(): Promise<string[]> {
  const tree = await describeTree(store.mountpoint, { onTimeout: () => store.abort() });
  const found = [...tree.values()].filter((entry) => entry.type === 'file');
  const wrong = found
    .filter((entry) => expected.get(entry.path) !== entry.sha256)
    .map((entry) => `${entry.path} is ${entry.sha256}, not ${expected.get(entry.path)}`);
  const missing = [...expected.keys()].filter((path) => !tree.has(path));
  return [...wrong, ...missing.map((path) => `${path} is missing`)].slice(0, 20);
}
