// Goal: names move as rename(2) says, and link counts follow. Method: a real store without a
// kernel; nlink is recounted after each case, fsck looks at the end.

import t, { type Test } from 'tap';
import { Errno } from '../../lib/errno.ts';
import { posixError } from '../../lib/errors.ts';
import { ROOT_INO, type Ino } from '../../lib/filesystem/contract.ts';
import { HostSpace } from '../../lib/store/host-space.ts';
import { failureIn } from '../support/faults.ts';
import { CALLER, type FileSystemDriver } from '../support/filesystem-driver.ts';
import { assertStoreClean, openFresh } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

const NOREPLACE = 1;
const EXCHANGE = 2;
const WHITEOUT = 4;
const S_IFMT = 0o170000;

type Kind = 'absent' | 'file' | 'empty' | 'full';
const SOURCES: readonly Kind[] = ['file', 'empty', 'full'];
const TARGETS: readonly Kind[] = ['absent', 'file', 'empty', 'full'];

async function make(driver: FileSystemDriver, kind: Kind, name: string, parent: Ino) {
  if (kind === 'absent') return;
  if (kind === 'file') {
    await driver.put(name, Buffer.from(name), parent);
    return;
  }
  const ino = await driver.makeDirectory(name, parent);
  if (kind === 'full') await driver.makeDirectory('inside', ino);
}

/** What rename(2) says; '' for success. */
function wanted(source: Kind, target: Kind, flags: number): string {
  if ((flags & EXCHANGE) !== 0) return target === 'absent' ? 'ENOENT' : '';
  if (target === 'absent') return '';
  if ((flags & NOREPLACE) !== 0) return 'EEXIST';
  if (source === 'file') return target === 'file' ? '' : 'EISDIR';
  if (target === 'file') return 'ENOTDIR';
  return target === 'full' ? 'ENOTEMPTY' : '';
}

async function renameIn(
  driver: FileSystemDriver,
  from: readonly [Ino, string],
  to: readonly [Ino, string],
  flags = 0,
): Promise<string> {
  const place = ([parent, name]: readonly [Ino, string]) => ({ parent, name: Buffer.from(name) });
  const done = driver.change((fs) => fs.rename(place(from), place(to), flags, CALLER));
  const failure = (await failureIn(done)) as { code?: string } | undefined;
  return failure?.code ?? '';
}

/** nlink of a directory is 2 and one for each directory in it. */
function assertLinks(t: Test, driver: FileSystemDriver, ino: Ino): void {
  const inside = driver.list(ino).map((name) => driver.stat(name, ino));
  const directories = inside.filter(({ mode }) => (mode & S_IFMT) === 0o040000);
  t.equal(driver.fs.getAttributes(ino).nlink, 2 + directories.length, `nlink of inode ${ino}`);
  for (const directory of directories) {
    const found = parentOf(driver, directory.ino);
    t.equal(found, ino, `inode ${directory.ino} lies in ${found}`);
  }
}

function parentOf(driver: FileSystemDriver, ino: Ino): number {
  let parent = 0;
  const { fh } = driver.fs.openDirectory(ino);
  driver.fs.readDirectory(fh, { cookie: 0, era: 0 }, false, (entry) => {
    if (Buffer.from(entry.name).toString() === '..') parent = entry.ino;
    return true;
  });
  driver.fs.releaseDirectory(fh);
  return parent;
}

for (const flags of [0, NOREPLACE, EXCHANGE, WHITEOUT, WHITEOUT | NOREPLACE]) {
  t.test(`every kind renamed to every kind, flags ${flags}`, async (t) => {
    const { store, driver } = await openFresh(t);
    for (const [sameParent, source, target] of allCases()) {
      const title = `${source} to ${target}, ${sameParent ? 'one parent' : 'two parents'}`;
      const from = await driver.makeDirectory(`from ${title}`);
      const to = sameParent ? from : await driver.makeDirectory(`to ${title}`);
      await make(driver, source, 'a', from);
      await make(driver, target, 'b', to);
      const before = { a: driver.stat('a', from).ino, b: driver.find('b', to)?.ino };
      const want = wanted(source, target, flags);
      t.equal(await renameIn(driver, [from, 'a'], [to, 'b'], flags), want, title);
      const after = { a: driver.find('a', from), b: driver.find('b', to) };
      if (want !== '') {
        t.strictSame({ a: after.a?.ino, b: after.b?.ino }, before, 'nothing has changed');
      } else {
        t.equal(after.b?.ino, before.a);
        if (flags === EXCHANGE) t.equal(after.a?.ino, before.b);
        else if ((flags & WHITEOUT) === 0) t.equal(after.a, undefined);
        else t.match(after.a, { mode: 0o020000, rdev: 0, nlink: 1 });
      }
      for (const ino of [ROOT_INO, from, to]) assertLinks(t, driver, ino);
    }
    await assertStoreClean(t, store);
  });
}

function* allCases(): Generator<[boolean, Kind, Kind]> {
  for (const sameParent of [true, false]) {
    for (const source of SOURCES) for (const target of TARGETS) yield [sameParent, source, target];
  }
}

t.test('without room for a whiteout nothing has moved', async (t) => {
  const { store, driver } = await openFresh(t);
  const file = await driver.put('a', Buffer.from('a'));
  const { admit } = HostSpace.prototype;
  t.teardown(() => (HostSpace.prototype.admit = admit));
  for (const roomFor of [0, 1]) {
    let left = roomFor;
    HostSpace.prototype.admit = (): void => {
      if (left === 0) throw posixError(Errno.ENOSPC);
      left -= 1;
    };
    const outcome = await renameIn(driver, [ROOT_INO, 'a'], [ROOT_INO, 'b'], WHITEOUT);
    HostSpace.prototype.admit = admit;
    t.equal(outcome, roomFor === 0 ? 'ENOSPC' : '', 'room is asked for once');
    t.equal(driver.find(roomFor === 0 ? 'a' : 'b')?.ino, file);
  }
  t.match(driver.find('a'), { mode: 0o020000 });
  await assertStoreClean(t, store);
});

t.test('a directory cannot move below itself, nor be exchanged with what holds it', async (t) => {
  const { store, driver } = await openFresh(t);
  const a = await driver.makeDirectory('a');
  const b = await driver.makeDirectory('b', a);
  const c = await driver.makeDirectory('c', b);
  t.equal(await renameIn(driver, [ROOT_INO, 'a'], [a, 'x']), 'EINVAL');
  t.equal(await renameIn(driver, [ROOT_INO, 'a'], [c, 'x']), 'EINVAL');
  t.equal(await renameIn(driver, [ROOT_INO, 'a'], [b, 'c'], EXCHANGE), 'EINVAL');
  t.equal(await renameIn(driver, [b, 'c'], [ROOT_INO, 'a'], EXCHANGE), 'EINVAL');
  t.equal(await renameIn(driver, [b, 'c'], [ROOT_INO, 'a']), 'ENOTEMPTY');
  t.equal(await renameIn(driver, [b, 'c'], [ROOT_INO, 'c']), '', 'upwards it may');
  t.equal(parentOf(driver, c), ROOT_INO);
  for (const ino of [ROOT_INO, a, b, c]) assertLinks(t, driver, ino);
  await assertStoreClean(t, store);
});

t.test('flags that cannot be together, or are not known, are EINVAL', async (t) => {
  const { store, driver } = await openFresh(t);
  await driver.put('a', Buffer.from('a'));
  for (const flags of [NOREPLACE | EXCHANGE, EXCHANGE | WHITEOUT, 8, 2 ** 30]) {
    t.equal(await renameIn(driver, [ROOT_INO, 'a'], [ROOT_INO, 'b'], flags), 'EINVAL');
  }
  t.equal(await renameIn(driver, [ROOT_INO, 'x'], [ROOT_INO, 'b']), 'ENOENT');
  t.equal(await renameIn(driver, [ROOT_INO, 'a'], [ROOT_INO, 'x'.repeat(256)]), 'ENAMETOOLONG');
  await assertStoreClean(t, store);
});

t.test('renaming one name of a file to another of its names does nothing', async (t) => {
  const { store, driver } = await openFresh(t);
  const ino = await driver.put('a', Buffer.from('content'));
  await driver.change((fs) => fs.link(ino, ROOT_INO, Buffer.from('b')));
  t.equal(driver.stat('a').nlink, 2);
  await driver.rename('a', 'b');
  t.strictSame(driver.list().toSorted(), ['a', 'b']);
  await driver.remove('a');
  t.equal(driver.stat('b').nlink, 1);
  t.equal((await driver.get('b')).toString(), 'content');
  await assertStoreClean(t, store);
});

t.test('a set-gid directory hands its group down, and itself to directories', async (t) => {
  const { store, driver } = await openFresh(t);
  const parent = await driver.makeDirectory('parent');
  await driver.setAttributes(parent, { gid: 77, mode: 0o042755 });
  await driver.put('file', Buffer.from('x'), parent);
  await driver.makeDirectory('folder', parent);
  t.match(driver.stat('file', parent), { gid: 77, mode: 0o100644 });
  t.match(driver.stat('folder', parent), { gid: 77, mode: 0o042755 });
  await driver.makeDirectory('plain');
  t.match(driver.stat('plain'), { gid: 0, mode: 0o040755 });
  await assertStoreClean(t, store);
});

t.test(
  'an unlinked open file can be read and written, and goes with its last handle',
  async (t) => {
    const { store, driver } = await openFresh(t);
    const { fh, ino } = await driver.create('a');
    await driver.write(fh, 0, randomBytesOf('a', 200_000));
    await driver.remove('a');
    t.equal(driver.fs.getAttributes(ino).nlink, 0);
    await store.commit();
    await driver.write(fh, 200_000, Buffer.from('more'));
    t.equal((await driver.read(fh, 199_999, 10)).subarray(1).toString(), 'more');
    t.equal(store.statistics().files, 1);
    driver.release(fh);
    await turns();
    await store.commit();
    t.match(store.statistics(), { files: 0, chunks: 0, logicalBytes: 0, referencedBytes: 0 });
    t.throws(() => driver.fs.getAttributes(ino), { code: 'ENOENT' });
    await assertStoreClean(t, store);
  },
);

t.test('a file without a name gets one by link, and is no orphan any more', async (t) => {
  const { store, driver } = await openFresh(t);
  const { fh, ino } = await driver.makeTemporary();
  await driver.write(fh, 0, Buffer.from('content'));
  t.equal(driver.fs.getAttributes(ino).nlink, 0);
  await driver.change((fs) => fs.link(ino, ROOT_INO, Buffer.from('named')));
  driver.release(fh);
  driver.forget(ino);
  await turns();
  t.equal(driver.stat('named').nlink, 1);
  t.equal((await driver.get('named')).toString(), 'content');
  await assertStoreClean(t, store);
});

t.test('a removed file stays until the kernel has given back every lookup of it', async (t) => {
  const { store, driver } = await openFresh(t);
  const ino = await driver.put('file', Buffer.from('content'));
  t.equal(driver.stat('file').ino, ino, 'the second lookup');
  await driver.change((fs) => fs.unlink(ROOT_INO, Buffer.from('file')));
  driver.fs.forget(ino, 1);
  await turns();
  t.equal(driver.fs.getAttributes(ino).nlink, 0, 'somebody may still come with its number');
  t.equal(driver.find('.', ino), undefined, 'but nobody gets to know it anew');
  driver.fs.forget(ino, 1);
  await turns();
  t.throws(() => driver.fs.getAttributes(ino), { code: 'ENOENT' });
  await assertStoreClean(t, store);
});

t.test(
  'an orphan that is opened by its number while it waits to be given back stays',
  async (t) => {
    const { store, driver } = await openFresh(t);
    const file = await driver.put('file', Buffer.from('content'));
    const folder = await driver.makeDirectory('folder');
    await driver.change((fs) => fs.unlink(ROOT_INO, Buffer.from('file')));
    await driver.change((fs) => fs.removeDirectory(ROOT_INO, Buffer.from('folder')));
    driver.forget(file);
    driver.forget(folder);
    const { fh } = driver.fs.open(file, { flags: 0 });
    const listing = driver.fs.openDirectory(folder);
    await turns();
    t.equal((await driver.read(fh, 0, 20)).toString(), 'content');
    t.equal(driver.fs.getAttributes(folder).nlink, 0);
    driver.release(fh);
    driver.fs.releaseDirectory(listing.fh);
    await store.gc();
    t.throws(() => driver.fs.getAttributes(file), { code: 'ENOENT' });
    t.throws(() => driver.fs.getAttributes(folder), { code: 'ENOENT' });
    await assertStoreClean(t, store);
  },
);

t.test('dots find an inode and its directory by number', async (t) => {
  const { store, driver } = await openFresh(t);
  const folder = await driver.makeDirectory('folder');
  const inner = await driver.makeDirectory('inner', folder);
  const file = await driver.put('file', Buffer.from('content'), inner);
  t.equal(driver.stat('.', file).ino, file, 'a file, too');
  t.equal(driver.stat('..', inner).ino, folder);
  t.equal(driver.stat('..', ROOT_INO).ino, ROOT_INO);
  t.throws(() => driver.find('..', file), { code: 'ENOTDIR' });
  t.throws(() => driver.find('..', 4711 as typeof file), { code: 'ENOENT' });
  await assertStoreClean(t, store);
});

t.test('a removed directory that is still open takes no names', async (t) => {
  const { store, driver } = await openFresh(t);
  const ino = await driver.makeDirectory('folder');
  const { fh } = driver.fs.openDirectory(ino);
  await driver.change((fs) => fs.removeDirectory(ROOT_INO, Buffer.from('folder')));
  t.match(await failureIn(driver.create('file', ino)), { code: 'ENOENT' });
  t.strictSame(driver.list(ino), []);
  driver.fs.releaseDirectory(fh);
  driver.forget(ino);
  await turns();
  t.equal(store.statistics().directories, 1, 'the root');
  await assertStoreClean(t, store);
});

/** Reclaiming takes turns of the event loop. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
