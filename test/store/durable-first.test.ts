// Goal: who waits for durability does not wait for the WAL to be moved into the main file behind the
// commit; everything else does. Method: that move is held up.

import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { assertStoreClean, openAt, openFresh } from '../support/open-store.ts';
import { failureIn } from '../support/faults.ts';

const LOOK_MS = 200;

/** Has each commit be followed by a move of the WAL that lasts until `finish`. */
function holdUp(t: Test): { moves: number; finish: (error?: Error) => void } {
  const { checkpoint, isCheckpointDue } = MetaDatabase.prototype;
  const held = { moves: 0, finish: (): void => undefined };
  const release = (): void => {
    MetaDatabase.prototype.checkpoint = checkpoint;
    MetaDatabase.prototype.isCheckpointDue = isCheckpointDue;
  };
  t.teardown(release);
  MetaDatabase.prototype.isCheckpointDue = (when) => when === 'idle';
  MetaDatabase.prototype.checkpoint = async function (this: MetaDatabase, when) {
    if (when !== 'idle') return;
    held.moves += 1;
    await new Promise<void>((resolve, reject) => {
      held.finish = (error?: Error): void => {
        release();
        if (error === undefined) resolve();
        else reject(error);
      };
    });
    await checkpoint.call(this, when);
  };
  return held;
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([promise.then(() => false), delay(LOOK_MS, true)]);
}

t.test('fsync is answered before the WAL is moved, closing waits for it', async (t) => {
  const { store, driver, path } = await openFresh(t);
  const held = holdUp(t);
  await driver.put('a', Buffer.from('content'));
  await store.filesystem.syncAll();
  t.equal(held.moves, 1, 'it is under way');
  const { batch } = store.statistics();
  await store.filesystem.syncAll();
  t.equal(store.statistics().batch, batch, 'nothing is left to commit');
  const closing = store.close();
  t.ok(await isPending(closing), 'closing waits');
  held.finish();
  await closing;
  const again = await openAt(t, path);
  t.equal((await again.driver.get('a')).toString(), 'content');
  await assertStoreClean(t, again.store);
});

t.test('changes and the next commit wait until the WAL is moved', async (t) => {
  const { store, driver } = await openFresh(t);
  const held = holdUp(t);
  await driver.put('a', Buffer.from('content'));
  await store.filesystem.syncAll();
  const { batch } = store.statistics();
  const putting = driver.put('b', Buffer.from('other'));
  t.ok(await isPending(putting), 'a change waits');
  held.finish();
  await putting;
  await store.filesystem.syncAll();
  t.equal(store.statistics().batch, batch + 1);
  await assertStoreClean(t, store);
});

t.test('what goes wrong with the WAL after an answer ends all changes', async (t) => {
  const { store, driver, path } = await openFresh(t);
  const held = holdUp(t);
  await driver.put('a', Buffer.from('content'));
  await store.filesystem.syncAll();
  held.finish(new Error('EIO'));
  await delay(LOOK_MS);
  t.match(store.statistics().readOnlyReason, /checkpointed: EIO/);
  t.match(await failureIn(store.filesystem.syncAll()), { code: 'EROFS' });
  await t.rejects(store.close());
  const again = await openAt(t, path);
  t.equal((await again.driver.get('a')).toString(), 'content', 'what was answered is there');
  await assertStoreClean(t, again.store);
});
