// Goal: what goes wrong below (a full or failing disk, a full metastore) hurts no more than it must.
// Method: the calls that reach the disk are made to fail; everything else is real.

import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { Arena } from '../../lib/blockstore/arena.ts';
import { IN_FLIGHT_BYTES_MAX } from '../../lib/dedup/pack-writer.ts';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { assertStoreClean, openAt, openFresh } from '../support/open-store.ts';
import { failPuts, failureIn, FULL, mountSmallDisk, openDatabaseOf } from '../support/faults.ts';
import { randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;
const NO_SPACE = { code: 'DEDUPFS_NO_SPACE', errno: 28 };

t.test('a commit on a full disk keeps its batch, and the next one stores it', async (t) => {
  const { store, driver, path } = await openFresh(t);
  const content = randomBytesOf('full', 3 * MIB);
  const faults = failPuts(t, FULL);
  await driver.put('a', content);
  t.match(await failureIn(store.commit()), NO_SPACE);
  t.equal(store.statistics().readOnlyReason, undefined, 'the mount stays writable');
  t.ok((await driver.get('a')).equals(content), 'what is not stored yet can be read');
  await driver.put('b', Buffer.from('later'));
  faults.stop();
  await store.commit();
  await assertStoreClean(t, store);
  await store.close();
  const again = await openAt(t, path);
  t.ok((await again.driver.get('a')).equals(content));
  t.equal((await again.driver.get('b')).toString(), 'later');
});

t.test('after an fsync that found the disk full, the batch is tried again by itself', async (t) => {
  const { store, driver } = await openFresh(t, { background: true });
  await driver.put('a', Buffer.from('content'));
  const faults = failPuts(t, FULL);
  t.match(await failureIn(store.commit()), NO_SPACE);
  const { batch } = store.statistics();
  faults.stop();
  const deadlineMs = Date.now() + 4000;
  while (store.statistics().batch === batch && Date.now() < deadlineMs) await delay(50);
  t.not(store.statistics().batch, batch, 'it is committed without another change or fsync');
});

for (const arena of ['used-arena', 'new-arena']) {
  t.test(`a disk that others fill is survived, with a ${arena}`, async (t) => {
    const disk = mountSmallDisk(t, 80);
    if (disk === undefined) {
      t.pass('only root can mount a small disk');
      return;
    }
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      [fileURLToPath(new URL('../support/full-disk-worker.js', import.meta.url)), disk, arena],
      { encoding: 'utf8', env: { ...process.env, NODE_OPTIONS: '' } },
    );
    t.equal(signal, null, 'no signal ends it');
    t.equal(status, 0, stderr.slice(0, 2000));
    const expected = { full: 'done', refused: 'ENOSPC', retried: 'done', isRight: true };
    t.match(stdout === '' ? {} : JSON.parse(stdout), { ...expected, unhandled: [], findings: [] });
  });
}

t.test(
  'on a full host the reserve pays for what was accepted, and access times wait',
  async (t) => {
    const disk = mountSmallDisk(t, 80);
    if (disk === undefined) {
      t.pass('only root can mount a small disk');
      return;
    }
    const { store, driver } = await openAt(t, join(disk, 'store'));
    const ino = await driver.put('a', randomBytesOf('a', 100_000));
    await store.commit();
    const atimes = async (): Promise<boolean> => {
      await driver.get('a');
      const { atimeSec, atimeNsec, mtimeSec, mtimeNsec } = driver.fs.getAttributes(ino);
      return atimeSec !== mtimeSec || atimeNsec > mtimeNsec;
    };
    const reserveBytes = (): number => statSync(join(disk, 'store/reserve')).size;
    await driver.put('b', randomBytesOf('b', MIB));
    const whole = reserveBytes();
    spawnSync('dd', ['if=/dev/zero', `of=${disk}/filler`, 'bs=64k'], { stdio: 'ignore' });
    await store.commit();
    const left = reserveBytes();
    t.ok(left < whole, `${whole} bytes before the commit, ${left} after it`);
    t.match(await failureIn(driver.put('c', Buffer.from('new'))), { code: 'ENOSPC' });
    // The last look at the host is believed for a moment.
    await delay(200);
    t.notOk(await atimes(), 'not noted');
    rmSync(join(disk, 'filler'));
    await delay(200);
    t.ok(await atimes(), 'noted again');
    t.equal(reserveBytes(), whole, 'the reserve is whole again');
    await store.commit();
    await assertStoreClean(t, store);
    await store.close();
  },
);

t.test('while the disk is full, packs do not pile up in memory', async (t) => {
  const { store, driver } = await openFresh(t);
  const faults = failPuts(t, FULL);
  const { fh } = await driver.create('a');
  let refused: unknown;
  for (let index = 0; index < 96 && refused === undefined; index += 1) {
    try {
      await driver.write(fh, index * MIB, randomBytesOf(index, MIB));
    } catch (error) {
      refused = error;
    }
  }
  t.ok(faults.bytes < 2 * IN_FLIGHT_BYTES_MAX, `${faults.bytes} bytes of packs wait`);
  t.match(refused, { code: 'ENOSPC' }, 'the write that does not fit is told (G3)');
  faults.stop();
  await store.commit();
  await assertStoreClean(t, store);
});

t.test('gc on a full disk gives up early, and leaves a valid store', async (t) => {
  const { store, driver } = await openFresh(t);
  for (let index = 0; index < 30; index += 1) {
    await driver.put(`${index}`, randomBytesOf(index, 3 * MIB));
  }
  await store.commit();
  for (let index = 0; index < 9; index += 1) await driver.remove(`${index}`);
  await store.commit();
  const faults = failPuts(t, FULL);
  t.match(await failureIn(store.gc()), NO_SPACE);
  t.ok(faults.bytes < 1.5 * IN_FLIGHT_BYTES_MAX, `${faults.bytes} bytes of packs wait`);
  faults.stop();
  await store.gc();
  t.ok((await driver.get('20')).equals(randomBytesOf(20, 3 * MIB)));
  await assertStoreClean(t, store);
});

t.test('any other failure of the block store makes the mount read-only', async (t) => {
  const { store, driver } = await openFresh(t);
  await driver.put('kept', Buffer.from('durable'));
  await store.commit();
  failPuts(t, () => new Error('Input/output error'));
  await driver.put('lost', Buffer.from('never durable'));
  await t.rejects(store.commit(), /putting packs failed/);
  t.match(store.statistics().readOnlyReason, /Input\/output error/);
  t.match(await failureIn(driver.create('more')), { code: 'EROFS' });
  t.equal((await driver.get('kept')).toString(), 'durable', 'what is durable can be read');
  t.equal((await driver.get('lost')).toString(), 'never durable', 'and what is in memory');
});

t.test('on a read-only mount the last close of a removed file is harmless', async (t) => {
  const { store, driver } = await openFresh(t);
  const file = await driver.create('removed');
  await driver.write(file.fh, 0, Buffer.from('content'));
  await store.commit();
  await driver.remove('removed');
  await driver.put('other', Buffer.from('other content'));
  failPuts(t, () => new Error('Input/output error'));
  await t.rejects(store.commit());
  driver.release(file.fh);
  // The removed file is given back in a later turn, where nobody could catch an error.
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  t.pass('no error was left to nobody');
});

async function openWithFullMetastore(t: Test) {
  const database = openDatabaseOf(t);
  const opened = await openFresh(t);
  await opened.driver.put('before', Buffer.from('committed'));
  await opened.store.commit();
  const { connection } = database();
  const pages = connection.pragma('page_count', { simple: true }) as number;
  const limit = (count: number): void => {
    connection.pragma(`max_page_count = ${count}`);
  };
  await opened.driver.put('uncommitted', Buffer.from('in the batch'));
  limit(pages + 3);
  return { ...opened, unlimit: () => limit(1_000_000) };
}

t.test('a metastore that is full loses the batch whole, never half of it', async (t) => {
  const { store, driver, path, unlimit } = await openWithFullMetastore(t);
  let failure: unknown;
  for (let index = 0; failure === undefined && index < 4000; index += 1) {
    failure = await driver.makeDirectory(`${index}`.padEnd(250, 'x')).then(
      () => undefined,
      (error: unknown) => error,
    );
  }
  t.ok(failure, 'a change fails when there is no page left');
  unlimit();
  await driver.makeDirectory('after').catch(() => undefined);
  await driver.rename('before', 'renamed').catch(() => undefined);
  await store.commit().catch(() => undefined);
  await store.close().catch(() => undefined);
  const again = await openAt(t, path);
  await assertStoreClean(t, again.store);
  const names = again.driver.list();
  t.ok(names.includes('before') || names.includes('uncommitted'), 'a whole batch is there');
});

t.test('a failed sync of the metastore makes the mount read-only', async (t) => {
  const { store, driver } = await openFresh(t);
  await driver.put('a', Buffer.from('content'));
  const { sync } = MetaDatabase.prototype;
  t.teardown(() => (MetaDatabase.prototype.sync = sync));
  MetaDatabase.prototype.sync = async () => Promise.reject(new Error('Input/output error'));
  await t.rejects(store.commit(), /Input\/output error/);
  t.match(store.statistics().readOnlyReason, /could not be synced/);
  MetaDatabase.prototype.sync = sync;
});

t.test('closing a store that turned read-only gives its lock back', async (t) => {
  const { store, driver, path } = await openFresh(t);
  await driver.put('a', Buffer.from('content'));
  const faults = failPuts(t, () => new Error('Input/output error'));
  await t.rejects(store.commit());
  faults.stop();
  t.match(await failureIn(store.close()), { message: /are lost/ }, 'closing says what is lost');
  const again = await openAt(t, path);
  t.equal(again.driver.find('a'), undefined);
  await assertStoreClean(t, again.store);
});

t.test('the metastore is committed only after the packs it names are durable (I1)', async (t) => {
  const { store, driver } = await openFresh(t);
  const events: string[] = [];
  const { put } = Arena.prototype;
  const { commit } = MetaDatabase.prototype;
  t.teardown(() => {
    Arena.prototype.put = put;
    MetaDatabase.prototype.commit = commit;
  });
  Arena.prototype.put = async function (this: Arena, packId, bytes) {
    await delay(30);
    await put.call(this, packId, bytes);
    events.push('durable');
  };
  MetaDatabase.prototype.commit = function (this: MetaDatabase) {
    events.push('commit');
    commit.call(this);
  };
  await driver.put('a', randomBytesOf('ordering', 2 * MIB));
  await store.commit();
  t.ok(events.length > 3);
  t.equal(events.indexOf('commit'), events.length - 1, events.join(' '));
});

t.test('a store whose FORMAT file is lost is not taken for an unfinished creation', async (t) => {
  const { store, driver, path } = await openFresh(t);
  await driver.put('a', randomBytesOf('format', MIB));
  await store.close();
  rmSync(join(path, 'FORMAT'));
  t.match(await failureIn(openAt(t, path)), { exitCode: 14 });
  t.ok(existsSync(join(path, 'arenas/a000001.mdb')), 'nothing of it was removed');
});
