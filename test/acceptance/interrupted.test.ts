// Goal: Ctrl-C at any moment of a long command leaves a sound store, nothing lying about and nothing
// locked, and the same command given again comes to what an uninterrupted one comes to.
//
// Each moment is drawn from the time that an uninterrupted run takes; how often it hit the middle is told.
//
// Run it:        node dist/test/acceptance/interrupted.test.js
// Run all of it: DEDUPFS_FULL=1 node dist/test/acceptance/interrupted.test.js    (20 moments each,
// or DEDUPFS_TEST_MOMENTS)

import t, { type Test } from 'tap';

import { InterruptedStore, LONG_COMMANDS, type LongCommand } from '../support/interrupted-store.ts';
import { printedSeed, Random } from '../support/random.ts';
import { isFullRun } from '../support/sizes.ts';

const MOMENTS = Number(process.env['DEDUPFS_TEST_MOMENTS'] ?? (isFullRun ? 20 : 1));
/** Before, Node has not even begun; it just dies then. */
const EARLIEST_SHARE = 0.35;

async function interruptOften(
  t: Test,
  store: InterruptedStore,
  command: LongCommand,
  random: Random,
): Promise<void> {
  const { wanted, milliseconds } = await store.uninterrupted(command);
  let hits = 0;
  for (let moment = 0; moment < MOMENTS; moment += 1) {
    const share = EARLIEST_SHARE + (1 - EARLIEST_SHARE) * (random.below(1000) / 1000);
    await store.restore(command);
    const result = await store.interrupt(command, share * milliseconds);
    const told = `at ${share.toFixed(2)} of ${milliseconds.toFixed(0)} ms`;
    const isStopped = result.code === 130 || result.signal === 'SIGINT';
    const isDone = result.code !== null && command.codes.includes(result.code);
    t.ok(isStopped || isDone, `${told} it stops or ends: ${result.code} ${result.stderr}`);
    if (result.code === 130) {
      hits += 1;
      t.match(`${result.stdout}${result.stderr}`, /interrupted/, 'it says so');
      t.strictSame(store.leftOver(), [], 'and leaves nothing behind');
    }
    t.equal(await store.digestAfterResuming(command), wanted, 'resumed, it comes to the same');
  }
  t.comment(`${command.name}: ${hits} of ${MOMENTS} moments hit the middle`);
}

t.test('long commands are interrupted and resumed', async (t) => {
  const random = new Random(printedSeed(t));
  const store = await InterruptedStore.create(t);
  for (const command of LONG_COMMANDS) {
    if (command.isLong && !isFullRun) continue;
    await t.test(command.name, async (t) => interruptOften(t, store, command, random));
  }
});
