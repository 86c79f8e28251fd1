// Goal: closing a store does not wait for maintenance that somebody asked for: it ends at its next turn and says
// so. Method: real stores that are closed at the first sign of progress; without it the work would end complete.

import t, { type Test } from 'tap';
import type { Store } from '../../lib/store/contract.ts';
import { failureIn } from '../support/faults.ts';
import { assertStoreClean, openAt, openFresh } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;
const CLOSING = { code: 'DEDUPFS_CLOSING', message: 'the store is being closed' };

/** Half of what is stored is dead, in many packs. */
async function openHalfDead(t: Test) {
  const opened = await openFresh(t);
  const { store, driver } = opened;
  const files = [0, 1, 2, 3, 4, 5, 6, 7];
  for (const file of files) await driver.put(`${file}`, randomBytesOf(file, 2 * MIB));
  await store.commit();
  for (const file of files.filter((one) => one % 2 === 0)) await driver.remove(`${file}`);
  await store.commit();
  return opened;
}

/** Calls `close` once, from within the work. */
function closeOnProgress(store: Store): {
  readonly onProgress: () => void;
  closed(): Promise<void>;
} {
  let closed: Promise<void> | undefined;
  return {
    onProgress: () => void (closed ??= store.close()),
    closed: async () => closed ?? Promise.reject(new Error('there was no progress')),
  };
}

async function assertSound(t: Test, path: string): Promise<void> {
  const { store, driver } = await openAt(t, path);
  t.ok((await driver.get('7')).equals(randomBytesOf(7, 2 * MIB)), 'content');
  await assertStoreClean(t, store);
  await store.close();
}

t.test('gc and scrub end incomplete when the store is closed', async (t) => {
  const { store, path } = await openHalfDead(t);
  const { onProgress, closed } = closeOnProgress(store);
  const gc = await store.gc({ threshold: 1, onProgress });
  t.equal(gc.isComplete, false);
  await closed();
  t.match(await failureIn(store.gc()), CLOSING, 'nothing begins any more');

  const again = await openAt(t, path);
  const scrubClose = closeOnProgress(again.store);
  const scrub = await again.store.scrub({ onProgress: scrubClose.onProgress });
  t.equal(scrub.isComplete, false);
  await scrubClose.closed();
  t.match(await failureIn(again.store.scrub()), CLOSING);
  await assertSound(t, path);
});

t.test('a gc that still gives back removed files ends, too', async (t) => {
  const { store, path } = await openHalfDead(t);
  const gc = store.gc({ threshold: 1 });
  await store.close();
  t.equal((await gc).isComplete, false);
  await assertSound(t, path);
});

t.test('fsck tells that the store is being closed, whether it had begun or not', async (t) => {
  const { store, path } = await openHalfDead(t);
  const checks: string[] = [];
  const { onProgress, closed } = closeOnProgress(store);
  const fsck = store.fsck({
    level: 'full',
    onProgress: ({ check }) => {
      checks.push(check);
      onProgress();
    },
  });
  t.match(await failureIn(fsck), CLOSING);
  t.equal(new Set(checks).size, 1, 'no other check begins');
  await closed();
  await assertSound(t, path);

  const again = await openAt(t, path);
  const waiting = failureIn(again.store.fsck({ level: 'full' }));
  await again.store.close();
  t.match(await waiting, CLOSING);
  await assertSound(t, path);
});
