// Goal: kill -9 of the daemon at any moment loses nothing that was fsynced, and what is found again
// is the tree of one moment (G1). Method: writers log each operation on the host; after the kill and
// a remount each writer's tree must be the state after one number of its operations, at least those
// finished before the last fsync that returned to any of them. Then fsck. One store for all rounds.
//
// Run all of it: DEDUPFS_FULL=1 node dist/test/acceptance/kill.test.js            (25 rounds)
// DEDUPFS_KILL_ROUNDS and DEDUPFS_SEED replace number and seed.

import { randomBytes } from 'node:crypto';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { eventually, requireRoot, run } from '../support/commands.ts';
import { supportScript } from '../support/commands-dedupfs.ts';
import { assertClean } from '../support/fsck.ts';
import type { KillReport } from '../support/model-kill-verify.ts';
import { MountedStore, isReferenceRun } from '../support/mounted-store.ts';
import { Random, printedSeed } from '../support/random.ts';
import { scaled } from '../support/sizes.ts';
import { describeTree, differencesOf, type Tree } from '../support/trees.ts';

const ROUNDS = Number(process.env['DEDUPFS_KILL_ROUNDS'] ?? scaled({ short: 5, full: 25 }));
const WORKERS = 4;
const LOAD_MS_MAX = 4_000;
/** Trees of this many rounds are kept and compared again in every later one. */
const ROUNDS_KEPT = 3;
// Nothing kills the workers when the mount is a plain directory; they stop by themselves.
const WORKER_SECONDS = isReferenceRun ? 2 : 120;

t.setTimeout(120_000 + ROUNDS * 120_000);
requireRoot();
const seed = printedSeed(t);
const random = new Random(seed);
const store = await MountedStore.mounted(t);
const kept = new Map<string, Tree>();
let promisedTotal = 0;

for (let round = 0; round < ROUNDS; round++) {
  await t.test(`round ${round + 1} of ${ROUNDS}`, async (t) => {
    const name = `round-${round}`;
    const seeds = Array.from({ length: WORKERS }, (_, index) => seed + round * WORKERS + index);
    const killedNs = await killUnderLoad(name, seeds);
    await store.clearDeadMount();
    if (round % 3 === 2) await killAtMount();
    await store.mount();
    await assertRecovered(t, name, seeds, killedNs);
    await assertKept(t);
    kept.set(name, await describeTree(store.path(name), { onTimeout: () => store.abort() }));
    await store.umount();
    if (!isReferenceRun) await assertClean(t, store.store);
    await store.mount();
  });
}

await t.test('what is older than 5 s survives without fsync', async (t) => {
  await store.mustRunScript('mkdir old; echo content > old/file; mv old/file old/renamed', {
    cwd: store.mountpoint,
  });
  // The promise is about time; twice of it passes.
  await delay(10_000);
  await store.killDaemon();
  await store.clearDeadMount();
  await store.mount();
  const { stdout } = await store.mustRunScript('cat *', { cwd: store.path('old') });
  t.equal(stdout, 'content\n');
});

await t.test('a synchronous write survives at once', async (t) => {
  for (const flag of ['sync', 'dsync', 'direct,dsync']) {
    const path = store.path(`written-${flag}`);
    const content = randomBytes(64 * 1024)
      .toString('base64')
      .slice(0, 64 * 1024);
    writeFileSync(join(store.directory, 'content'), content);
    // The name is made durable first: the flags are about the file.
    await store.mustRun('bash', ['-euc', 'touch "$1"; sync "$1"', 'bash', path]);
    const args = ['if=content', `of=${path}`, 'bs=4k', 'conv=notrunc', `oflag=${flag}`];
    await store.mustRun('dd', [...args, 'status=none'], { cwd: store.directory });
    await store.killDaemon();
    await store.clearDeadMount();
    await store.mount();
    t.equal((await store.mustRun('cat', [path])).stdout, content, flag);
  }
});

await t.test('the store is clean and had something to lose', async (t) => {
  t.ok(promisedTotal > ROUNDS * WORKERS, `${promisedTotal} operations were promised in all`);
  await store.finish();
});

/** Lets workers write, and kills the daemon at a random moment. @returns that moment. */
async function killUnderLoad(name: string, seeds: readonly number[]): Promise<bigint> {
  const logs = join(store.directory, name);
  mkdirSync(logs);
  const roots = seeds.map((_, index) => store.path(name, String(index)));
  await store.mustRun('mkdir', ['-p', ...roots]);
  // The kill may come before the first commit; where the trees begin must be there all the same.
  await store.mustRun('sync', [store.path(name), ...roots]);
  const removal = removeOldestRound();
  const workers = seeds.map(async (workerSeed, index) => {
    const args = [roots[index], workerSeed, join(logs, String(index)), WORKER_SECONDS].map(String);
    return store.run(process.execPath, [supportScript('model-kill-worker'), ...args]);
  });
  const isWorking = (index: number): boolean =>
    (statSync(join(logs, String(index)), { throwIfNoEntry: false })?.size ?? 0) > 0;
  await eventually('all workers work', () => seeds.every((_, index) => isWorking(index)), {
    timeoutMs: 60_000,
  });
  // The moment of the kill is what is random here; nothing waits for this time to pass.
  await delay(random.below(LOAD_MS_MAX));
  const killedNs = process.hrtime.bigint();
  await store.killDaemon();
  await Promise.all([...workers, removal]);
  return killedNs;
}

/** Deletes under load too, so that space is being collected when the daemon dies. */
async function removeOldestRound(): Promise<void> {
  const [oldest] = kept.keys();
  if (oldest === undefined || kept.size < ROUNDS_KEPT) return;
  kept.delete(oldest);
  // The kill may interrupt the removal; what is left of the tree does not matter.
  await run('rm', ['-rf', store.path(oldest)], { onTimeout: () => store.abort() });
}

/** A kill during or right after the recovery of another one. */
async function killAtMount(): Promise<void> {
  await store.mount();
  await store.killDaemon();
  await store.clearDeadMount();
}

async function assertRecovered(
  t: Test,
  name: string,
  seeds: readonly number[],
  killedNs: bigint,
): Promise<void> {
  const args = [store.path(name), join(store.directory, name), ...seeds.map(String)];
  const script = supportScript('model-kill-verify');
  const { stdout } = await store.mustRun(process.execPath, [script, ...args]);
  const report = JSON.parse(stdout) as KillReport;
  promisedTotal += report.promised;
  t.comment(`${report.promised} operations promised, ${report.started} started`);
  t.comment(`${report.found} found`);
  t.strictSame(report.problems, [], 'every tree is the state of one allowed moment');
  const early = report.failures.filter(({ timeNs }) => BigInt(timeNs) < killedNs);
  t.strictSame(early, [], 'no call failed before the kill');
}

async function assertKept(t: Test): Promise<void> {
  for (const [name, tree] of kept) {
    const found = await describeTree(store.path(name), { onTimeout: () => store.abort() });
    t.strictSame(differencesOf(tree, found), [], `the tree of ${name} is untouched`);
  }
}
