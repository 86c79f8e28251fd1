// Goal: a power cut between COMMIT and the sync of the WAL leaves a store that opens.
// Method: fdatasync is held back while packs of the next batch are put; then the arenas are taken as
// they are and the metastore as it was last synced. `kill -9` cannot show this: the page cache lives.

import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { assertStoreClean, openAt, openFresh } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;
const METASTORE = ['meta.db', 'meta.db-wal'];

t.test('packs may be two batches ahead of the metastore', async (t) => {
  const { driver, path, store } = await openFresh(t);
  const synced = join(path, '../synced');
  const crashed = join(path, '../crashed');
  await driver.put('a', randomBytesOf('a', MIB));
  await store.commit();
  for (const name of METASTORE) cpSync(join(path, name), join(synced, name));

  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const { sync } = MetaDatabase.prototype;
  t.teardown(() => (MetaDatabase.prototype.sync = sync));
  MetaDatabase.prototype.sync = async () => held;
  await driver.put('b', randomBytesOf('b', MIB));
  const committed = store.commit();
  await delay(100);
  // Larger than a pack of the next batch, and than what would wait in memory.
  await driver.put('c', randomBytesOf('c', 12 * MIB));
  const packs = store.statistics().packs;
  for (let turn = 0; turn < 200 && store.statistics().packs === packs; turn += 1) await delay(10);

  cpSync(path, crashed, { recursive: true });
  for (const name of METASTORE) cpSync(join(synced, name), join(crashed, name));
  rmSync(join(crashed, 'meta.db-shm'), { force: true });
  release();
  await committed;

  const again = await openAt(t, crashed);
  t.ok((await again.driver.get('a')).equals(randomBytesOf('a', MIB)));
  t.equal(again.driver.find('b'), undefined);
  await assertStoreClean(t, again.store);
});
