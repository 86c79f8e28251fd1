// Goal: the synthesised xattrs are right at once, told to those who may know, and never stored, listed or
// changed. Method: a real store without a kernel, against what `du` says.

import t, { type Test } from 'tap';
import { ROOT_INO, type Ino } from '../../lib/filesystem/contract.ts';
import { failPuts, failureIn, FULL, openDatabaseOf } from '../support/faults.ts';
import { CALLER } from '../support/filesystem-driver.ts';
import { assertStoreClean, openFresh, type OpenedStore } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;
const NAMES = ['stored', 'exclusive', 'chunks', 'ratio'].map((name) => `user.dedupfs.${name}`);

async function ask(
  { driver }: OpenedStore,
  ino: Ino,
  name: string,
  asker: { readonly uid?: number; readonly signal?: AbortSignal } = {},
): Promise<string> {
  const { signal } = new AbortController();
  const given = { ...CALLER, signal, wantsLength: false, ...asker };
  return String(await driver.fs.getXattr(ino, Buffer.from(name), given));
}

async function all(opened: OpenedStore, ino: Ino): Promise<string[]> {
  return Promise.all(NAMES.map((name) => ask(opened, ino, name)));
}

async function wanted({ store }: OpenedStore, path: string): Promise<string[]> {
  const { total } = await store.usage({ paths: [path], perPath: false, exclusive: true });
  const { storedBytes, referencedBytes, exclusive, chunks } = total;
  const ratio = storedBytes === 0 ? 1 : referencedBytes / storedBytes;
  return [storedBytes, exclusive?.diskBytes, chunks, ratio.toFixed(2)].map(String);
}

async function assertLikeDu(t: Test, opened: OpenedStore, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const ino = path === '/' ? ROOT_INO : opened.driver.stat(path.slice(1)).ino;
    const told = await all(opened, ino);
    t.strictSame(told, await wanted(opened, path), path);
  }
}

t.test('of small and large files, of directories, right after a change', async (t) => {
  const opened = await openFresh(t);
  const { store, driver } = opened;
  await driver.put('empty', Buffer.alloc(0));
  await driver.put('small', randomBytesOf('small', 100_000));
  await driver.put('large', randomBytesOf('large', 9 * MIB));
  await driver.put('text', Buffer.alloc(500_000, 'text of a text; '));
  const paths = ['/empty', '/small', '/large', '/text', '/'];
  await assertLikeDu(t, opened, paths);
  await driver.put('copy', randomBytesOf('small', 100_000));
  await driver.remove('text');
  await assertLikeDu(t, opened, ['/copy', '/small', '/']);
  const copied = await driver.create('by reference');
  const from = { ino: driver.stat('large').ino, offset: 0 };
  await driver.copy(from, { ino: copied.ino, offset: 0 }, 2 * MIB);
  driver.release(copied.fh);
  await assertLikeDu(t, opened, ['/by reference', '/large', '/']);
  await assertStoreClean(t, store);
});

t.test('nobody changes, lists or spies them', async (t) => {
  const database = openDatabaseOf(t);
  const opened = await openFresh(t);
  const { store, driver } = opened;
  const ino = await driver.put('file', randomBytesOf('file', 50_000));
  const set = { flags: 0, dropSetgid: false };
  for (const name of NAMES.map((text) => Buffer.from(text))) {
    const change = driver.change((fs) => fs.setXattr(ino, name, Buffer.from('1'), set));
    t.match(await failureIn(change), { code: 'EPERM' });
    const removal = driver.change((fs) => fs.removeXattr(ino, name));
    t.match(await failureIn(removal), { code: 'EPERM' });
  }
  t.equal(driver.fs.listXattr(ino, CALLER).length, 0);
  t.match(await failureIn(ask(opened, ino, 'user.dedupfs.stored', { uid: 1000 })), {
    code: 'ENODATA',
  });
  const gone = AbortSignal.abort();
  t.match(await failureIn(ask(opened, ROOT_INO, 'user.dedupfs.stored', { signal: gone })), {
    code: 'EINTR',
  });
  const link = await driver.change((fs) => {
    return fs.makeSymlink(ROOT_INO, Buffer.from('link'), Buffer.from('file'), CALLER);
  });
  t.match(await failureIn(ask(opened, link.ino, 'user.dedupfs.stored')), { code: 'ENODATA' });

  // A store of an earlier version may have one by that name.
  const name = Buffer.from('user.dedupfs.chunks');
  await driver.change((fs) => fs.setXattr(ino, Buffer.from('user.x'), Buffer.from('old'), set));
  await store.commit();
  database().connection.prepare('UPDATE xattr SET name = ?').run(name);
  t.equal(await ask(opened, ino, name.toString()), '2');
  t.equal(driver.fs.listXattr(ino, CALLER).length, 0);
  await driver.remove('file');
  await assertStoreClean(t, store);
});

t.test('who gives up is answered at once, whoever else is being answered', async (t) => {
  const opened = await openFresh(t);
  const { store, driver } = opened;
  await driver.put('file', randomBytesOf('file', 50_000));
  const ended: string[] = [];
  const interruption = new AbortController();
  const first = ask(opened, ROOT_INO, 'user.dedupfs.chunks').finally(() => ended.push('first'));
  const { signal } = interruption;
  const second = failureIn(ask(opened, ROOT_INO, 'user.dedupfs.chunks', { signal })).finally(() =>
    ended.push('second'),
  );
  const third = ask(opened, ROOT_INO, 'user.dedupfs.chunks').finally(() => ended.push('third'));
  interruption.abort();
  t.match(await second, { code: 'EINTR' });
  t.strictSame([await first, await third], ['2', '2']);
  t.strictSame(ended, ['second', 'first', 'third']);
  await assertStoreClean(t, store);
});

t.test('an idle store stays as it is, and its answers are kept', async (t) => {
  const opened = await openFresh(t);
  const { store, driver } = opened;
  const inner = await driver.makeDirectory('inner');
  await driver.put('file', randomBytesOf('file', 50_000), inner);
  // Removed but open: it has a row that nobody may reclaim yet.
  const removed = await driver.create('removed');
  await driver.remove('removed');
  const asked = [ROOT_INO, inner].map((ino) => [ino, 'user.dedupfs.chunks'] as const);
  const first = [];
  for (const [ino, name] of asked) first.push(await ask(opened, ino, name));
  const { batch } = store.statistics();
  const { signal } = new AbortController();
  for (const [ino, name] of asked) {
    const given = { ...CALLER, signal, wantsLength: false };
    t.type(driver.fs.getXattr(ino, Buffer.from(name), given), Buffer, 'answered without a walk');
  }
  await store.usage({ paths: ['/'], perPath: false, exclusive: false });
  const again = [];
  for (const [ino, name] of asked) again.push(await ask(opened, ino, name));
  t.strictSame(again, first);
  t.equal(store.statistics().batch, batch, 'no commit');
  driver.release(removed.fh);
  await assertStoreClean(t, store);
});

t.test('what waits for room on the host is left out, and said to be', async (t) => {
  const opened = await openFresh(t);
  const { store, driver } = opened;
  await driver.put('file', randomBytesOf('file', 50_000));
  await store.commit();
  await driver.put('more', randomBytesOf('more', 50_000));
  const faults = failPuts(t, FULL);
  const asked = { paths: ['/'], perPath: false, exclusive: true };
  t.match(await store.usage(asked), { isSteady: false });
  t.match(await ask(opened, ROOT_INO, 'user.dedupfs.chunks'), /^\d+$/);
  faults.stop();
  t.match(await store.usage(asked), { isSteady: true, total: { files: 2, chunks: 4 } });
  await assertStoreClean(t, store);
});
