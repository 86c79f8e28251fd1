// Goal: a batch is whole or absent, a failing statement is told, and freed space goes back to the
// host. Method: a real database, looked at by a second connection's eyes: copies of its files.

import { cpSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;

function openFresh(t: Test): MetaDatabase {
  const database = new MetaDatabase(join(t.testdir(), 'meta.db'), { create: true });
  t.teardown(() => database.close());
  return database;
}

function setter(database: MetaDatabase): (key: string, value: Uint8Array | string) => void {
  const put = database.connection.prepare('INSERT OR REPLACE INTO meta (k, v) VALUES (?, ?)');
  return (key, value) => void put.run(key, value);
}

/** Keys that a crash at this moment would leave. */
function keysAfterCrash(database: MetaDatabase): unknown[] {
  const copy = `${database.path}-copy`;
  for (const suffix of ['', '-wal']) cpSync(`${database.path}${suffix}`, `${copy}${suffix}`);
  const crashed = new MetaDatabase(copy, { create: false });
  const keys = crashed.connection.prepare('SELECT k FROM meta ORDER BY k').pluck().all();
  crashed.close();
  return keys;
}

t.test('an absent database is made only when asked for', (t) => {
  const path = join(t.testdir(), 'meta.db');
  t.throws(() => new MetaDatabase(path, { create: false }), { code: 'DEDUPFS_NO_METASTORE' });
  t.equal(statSync(path, { throwIfNoEntry: false }), undefined);
  t.end();
});

t.test('a crash leaves exactly the last commit, and a transaction is always open', (t) => {
  const database = openFresh(t);
  t.equal(database.connection.inTransaction, true);
  const set = setter(database);
  set('one', 'value');
  t.strictSame(keysAfterCrash(database), []);
  database.commit();
  t.equal(database.connection.inTransaction, true);
  set('two', 'value');
  t.strictSame(keysAfterCrash(database), ['one']);
  database.commit();
  t.strictSame(keysAfterCrash(database), ['one', 'two']);
  t.end();
});

t.test('closing drops what was not committed', async (t) => {
  const database = openFresh(t);
  const set = setter(database);
  set('kept', 'value');
  database.commit();
  await database.sync();
  set('dropped', 'value');
  database.close();
  database.close();
  const again = new MetaDatabase(database.path, { create: false });
  t.teardown(() => again.close());
  t.strictSame(again.connection.prepare('SELECT k FROM meta').pluck().all(), ['kept']);
});

t.test('a statement that fails is reported and thrown; one that works is not', (t) => {
  const database = openFresh(t);
  const reported: unknown[] = [];
  database.onFailure = (error) => reported.push(error);
  const { statements } = database;
  const insert = statements.prepare('INSERT INTO orphan (ino) VALUES (?)');
  insert.run(1);
  t.equal(statements.prepare('SELECT ino FROM orphan').pluck().get(), 1, 'pluck keeps the guard');
  t.strictSame(reported, []);
  t.throws(() => insert.run(1), /UNIQUE/);
  t.throws(() => statements.prepare('SELECT abs(?)').get(-(2n ** 63n)), /overflow/);
  t.throws(
    () =>
      statements
        .prepare('SELECT abs(?)')
        .pluck()
        .all(-(2n ** 63n)),
    /overflow/,
  );
  t.equal(reported.length, 3);
  t.equal(database.connection.inTransaction, true);
  t.end();
});

t.test('a commit that fails leaves a transaction open', (t) => {
  const database = openFresh(t);
  const { connection } = database;
  const pages = connection.pragma('page_count', { simple: true }) as number;
  connection.pragma(`max_page_count = ${pages + 2}`);
  const set = setter(database);
  t.throws(() => set('large', randomBytesOf('large', MIB)), /full/);
  t.throws(() => database.commit(), 'SQLite has rolled the batch back');
  t.equal(connection.inTransaction, true);
  t.end();
});

t.test('a batch that has changed no row has blocks for its commit', async (t) => {
  const database = openFresh(t);
  const secured: number[] = [];
  database.room = {
    isRoomy: false,
    hasRoomToSpare: () => false,
    secure: (bytes, allocate) => {
      secured.push(bytes);
      t.equal(allocate(), 0);
    },
  };
  database.commit();
  await database.checkpoint('full');
  t.equal(database.walBytes, 0, 'the blocks of the batch before are given back');
  secured.length = 0;
  database.secure({ count: 0, bytes: 0 });
  t.strictSame(secured.length, 1, 'the counters are written all the same');
  database.secure({ count: 0, bytes: 0 });
  t.strictSame(secured.length, 1, 'once');
});

t.test('the WAL is emptied when idle, and only when it has grown', async (t) => {
  const database = openFresh(t);
  const set = setter(database);
  set('small', 'value');
  database.commit();
  const before = database.walBytes;
  t.ok(before > 0);
  await database.checkpoint('idle');
  t.equal(database.walBytes, before, 'a small one stays');
  for (let index = 0; index < 3; index += 1) set(`${index}`, randomBytesOf(index, MIB));
  database.commit();
  await database.checkpoint('loaded');
  t.ok(database.walBytes > 3 * MIB, 'under load it waits');
  await database.checkpoint('idle');
  t.equal(database.walBytes, 0);
  t.ok(statSync(database.path).size > 3 * MIB);
  t.equal(database.connection.inTransaction, true);
  t.strictSame(keysAfterCrash(database), ['0', '1', '2', 'small']);
});

t.test(
  'reads go on during a checkpoint, and what one leaves in the batch is in the database',
  async (t) => {
    const database = openFresh(t);
    const set = setter(database);
    set('large', randomBytesOf('large', 3 * MIB));
    database.commit();
    const mainBytes = statSync(database.path).size;
    const checkpoint = database.checkpoint('idle');
    t.equal(statSync(database.path).size, mainBytes, 'it waits for the WAL');
    let turns = 0;
    const note = (): void => {
      const get = database.connection
        .prepare("SELECT length(v) FROM meta WHERE k = 'large'")
        .pluck();
      t.equal(get.get(), 3 * MIB);
      set(`seen ${turns}`, Buffer.alloc(20_000, 7));
      turns += 1;
    };
    note();
    const timer = setInterval(note, 0);
    await checkpoint;
    clearInterval(timer);
    t.equal(database.walBytes, 0);
    t.ok(statSync(database.path).size > 3 * MIB);
    database.close();
    const again = new MetaDatabase(database.path, { create: false });
    t.teardown(() => again.close());
    const count = again.connection
      .prepare("SELECT count(*) FROM meta WHERE k LIKE 'seen %'")
      .pluck();
    t.equal(count.get(), turns);
  },
);

t.test('a database that lost most of its rows shrinks on the disk', async (t) => {
  const database = openFresh(t);
  const set = setter(database);
  for (let index = 0; index < 8; index += 1) set(`${index}`, randomBytesOf(index, MIB));
  database.commit();
  await database.checkpoint('idle');
  const full = statSync(database.path).size;
  database.connection.exec("DELETE FROM meta WHERE k <> '5'");
  database.commit();
  set('padding', randomBytesOf('padding', 2 * MIB));
  database.commit();
  await database.checkpoint('idle');
  const left = statSync(database.path).size;
  t.ok(left < full / 2, `${full} -> ${left} bytes`);
  const row = database.connection.prepare("SELECT v FROM meta WHERE k = '5'").pluck().get();
  t.ok(randomBytesOf(5, MIB).equals(row as Buffer));
});
