// Goal: an inode without a name has its row when a batch is committed, and costs no row when it is
// gone before. Method: a real database, looked at through a statement of our own.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Metastore } from '../../lib/metastore/metastore.ts';

function openMetastore(t: Test) {
  const metastore = new Metastore(join(t.testdir(), 'meta.db'), { create: true });
  t.teardown(() => metastore.close());
  const select = metastore.database.connection.prepare('SELECT ino FROM orphan ORDER BY ino');
  return { metastore, rows: () => select.pluck().all() as number[] };
}

t.test('orphans get their rows at the commit, those that are gone by then get none', (t) => {
  const { metastore, rows } = openMetastore(t);
  const { orphans } = metastore;
  for (const ino of [9, 5, 7]) orphans.insert(ino);
  orphans.delete(5);
  t.strictSame(rows(), []);
  t.equal(orphans.dirtyCount, 2);
  metastore.commit();
  t.strictSame(rows(), [7, 9]);
  t.equal(orphans.dirtyCount, 0);
  orphans.delete(7);
  t.strictSame(rows(), [9], 'a row of an earlier batch goes at once');
  metastore.commit();
  t.strictSame(rows(), [9]);
  t.end();
});

t.test('a listing has all of them, in order', (t) => {
  const { metastore } = openMetastore(t);
  const { orphans } = metastore;
  orphans.insert(8);
  metastore.commit();
  for (const ino of [3, 12, 8]) orphans.insert(ino);
  t.strictSame(orphans.list(0, 10), [3, 8, 12]);
  t.strictSame(orphans.list(3, 1), [8]);
  orphans.delete(8);
  t.strictSame(orphans.list(0, 10), [3, 12]);
  t.end();
});
