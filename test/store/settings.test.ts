// Goal: what is configured while a store is open counts from then on. Method: an open store in this process.

import t from 'tap';

import { eventually } from '../support/commands.ts';
import { assertStoreClean, openFresh } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;

t.test('a store is configured while it is open', async (t) => {
  const { store, driver } = await openFresh(t, {
    background: true,
    checkpointMinutes: 0,
    gcThreshold: 0.3,
  });
  t.throws(() => store.configure({ compression: 'gzip', gcThreshold: 1 }), /'gzip' is not known/);
  t.equal(store.statistics().compression, 'lz4', 'what is refused changes nothing');
  for (const file of [1, 2, 3, 4]) await driver.put(`${file}`, randomBytesOf(file, 2 * MIB));
  await store.commit();
  await driver.remove('1');
  await driver.remove('2');
  await store.commit();
  const actions = (): string[] => store.planGc().arenas.map(({ action }) => action);
  await eventually('a half is dead', () => store.statistics().deadBytes > 3 * MIB, {
    timeoutMs: 10_000,
  });
  t.strictSame(actions(), ['keep']);
  store.configure({ gcThreshold: 0.9 });
  t.strictSame(actions(), ['evacuate']);
  store.configure({ compression: 'none' });
  t.strictSame(actions(), ['evacuate'], 'what is not named stays');
  t.equal(store.statistics().checkpoint, undefined, 'none without the time for it');
  store.configure({ checkpointMinutes: 0.001 });
  await eventually('a checkpoint is taken', () => store.statistics().checkpoint !== undefined, {
    timeoutMs: 20_000,
  });
  await eventually('gc runs by itself', () => store.statistics().deadBytes === 0, {
    timeoutMs: 20_000,
  });
  await assertStoreClean(t, store);
});
