// Goal: Ctrl-C at any moment of a long command leaves a sound store, nothing lying about and nothing
// locked, and the same command given again comes to what an uninterrupted one comes to.
//
// Each moment is drawn from the time that an uninterrupted run works, from when it has opened what it works
// on; where none hits the middle, that is looked for: no command passes without having been stopped.
//
// Run it:        node dist/test/acceptance/interrupted.test.js
// Run all of it: DEDUPFS_FULL=1 node dist/test/acceptance/interrupted.test.js    (20 moments each,
// or DEDUPFS_TEST_MOMENTS)

import t, { type Test } from 'tap';

import { InterruptedStore, LONG_COMMANDS, type LongCommand } from '../support/interrupted-store.ts';
import { printedSeed, Random } from '../support/random.ts';
import { isFullRun } from '../support/sizes.ts';

const MOMENTS = Number(process.env['DEDUPFS_TEST_MOMENTS'] ?? (isFullRun ? 20 : 1));
/** Where none of these hit the middle, so many more look for it. */
const BISECTIONS_MAX = 6;
/** What is said by who works, with what is left to do. */
const STOPPED = /^(?:dedupfs: interrupted; |interrupted(?:;| after) ).+$/m;

type Hit = 'middle' | 'early' | 'late';

/** @param share of the time that the command works */
async function interruptAt(
  t: Test,
  { store, command }: { readonly store: InterruptedStore; readonly command: LongCommand },
  share: number,
  { wanted, workMs }: { readonly wanted: string; readonly workMs: number },
): Promise<Hit> {
  await store.restore(command);
  const result = await store.interrupt(command, share * workMs);
  const { code, signal, stdout, stderr } = result;
  const told = `at ${share.toFixed(2)} of ${workMs.toFixed(0)} ms`;
  // A report of what was done by then says it on standard output.
  const isStopped = STOPPED.test(`${stdout}${stderr}`);
  const isBarely = stderr === 'dedupfs: interrupted\n';
  const isDone = code !== null && command.codes.includes(code);
  t.ok(isDone || code === 130, `${told} it stops or ends: ${signal ?? code} ${stderr}`);
  if (code === 130) {
    t.ok(isBarely || isStopped, `${told} it says so: ${stdout}${stderr}`);
    t.strictSame(store.leftOver(command), [], 'and leaves nothing behind');
  }
  t.equal(await store.digestAfterResuming(command), wanted, 'resumed, it comes to the same');
  if (code !== 130) return 'late';
  // Before it works, and when it prints what came of it, a command just ends.
  return isStopped ? 'middle' : 'early';
}

async function interruptOften(
  t: Test,
  store: InterruptedStore,
  command: LongCommand,
  random: Random,
): Promise<void> {
  const aim = await store.uninterrupted(command);
  const hits = { early: 0, middle: 0, late: 0 };
  for (let moment = 0; moment < MOMENTS; moment += 1) {
    hits[await interruptAt(t, { store, command }, random.below(1000) / 1000, aim)] += 1;
  }
  let [low, high] = [0, 1];
  for (let tries = 0; tries < BISECTIONS_MAX && hits.middle === 0; tries += 1) {
    const share = (low + high) / 2;
    const hit = await interruptAt(t, { store, command }, share, aim);
    hits[hit] += 1;
    if (hit === 'early') low = share;
    else high = share;
  }
  const { early, middle, late } = hits;
  const told = `${command.name}: ${middle} moments hit the middle, ${early} were early, ${late} late`;
  t.ok(middle > 0, told);
  t.comment(told);
}

t.test('long commands are interrupted and resumed', async (t) => {
  const random = new Random(printedSeed(t));
  const store = await InterruptedStore.create(t);
  for (const command of LONG_COMMANDS) {
    if (command.isLong && !isFullRun) continue;
    await t.test(command.name, async (t) => interruptOften(t, store, command, random));
  }
});
