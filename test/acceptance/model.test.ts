// Goal: any sequence of system calls has on the mount the result that it has on the host's own file
// system. Method: random calls on both in lockstep, errors included; the trees are compared at each of
// several remounts.
//
// Run: node dist/test/acceptance/model.test.js
// DEDUPFS_FULL=1 makes 20 times as many calls; DEDUPFS_SEED repeats a run; DEDUPFS_MODEL_HOST names
// another directory to compare with, such as one on a tmpfs.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { requirePrograms, requireRoot } from '../support/commands.ts';
import { runInLockstep } from '../support/model-lockstep.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { Random, printedSeed } from '../support/random.ts';
import { scaled } from '../support/sizes.ts';
import { describeTree, differencesOf } from '../support/trees.ts';

const REMOUNTS = 4;
const STEPS = scaled({ short: 4_000, full: 80_000 });

t.setTimeout(1_800_000);
requireRoot();
requirePrograms({ perl: 'perl', getfattr: 'attr' });
const random = new Random(printedSeed(t));
const store = await MountedStore.mounted(t);
const host = mkdtempSync(join(process.env['DEDUPFS_MODEL_HOST'] ?? store.directory, 'host-'));
t.teardown(() => rmSync(host, { recursive: true, force: true }));
mkdirSync(join(host, 'tree'));
await store.mustRun('mkdir', [store.path('tree')]);
const roots = [store.path('tree'), join(host, 'tree')] as const;

for (let mount = 1; mount <= REMOUNTS; mount++) {
  await t.test(`${STEPS} random calls, mount ${mount} of ${REMOUNTS}`, async (t) => {
    const onTimeout = (): void => store.abort();
    const counts = await runInLockstep({ roots, random, steps: STEPS, onTimeout });
    t.comment(`${counts.succeeded} calls succeeded, ${counts.failed} failed, all on both sides`);
    t.ok(counts.succeeded > STEPS / 4, 'enough of the calls do something');
    await assertEqualTrees(t, 'before the remount');
    await store.remount();
    await assertEqualTrees(t, 'after the remount');
  });
}

await t.test('the store is clean', async () => store.finish());

async function assertEqualTrees(t: Test, when: string): Promise<void> {
  const got = await describeTree(roots[0], { onTimeout: () => store.abort() });
  const want = await describeTree(roots[1]);
  t.strictSame(differencesOf(want, got, { ignoring: ['mtimeNs'] }), [], `equal trees ${when}`);
}
