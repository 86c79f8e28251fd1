// Goal: damage at rest reads as EIO in exactly the chunk it hits, is never referred to again, and is
// repaired in every file by storing the same content once more; also across commits, crashes and gc.
// Method: real stores without compression, damaged in their arena files while they are open.

import { readFileSync, truncateSync } from 'node:fs';
import t, { type Test } from 'tap';
import { arenaPaths, damageContent } from '../support/damaged-content.ts';
import { findPack, flipByte } from '../support/damage.ts';
import { failureIn } from '../support/faults.ts';
import { assertStoreClean, copyStore, openAt, openFresh } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

type Opened = Awaited<ReturnType<typeof openAt>>;

const BYTES = 400_000;
const DAMAGED_AT = 200_000;
/** The largest chunk. */
const CHUNK_BYTES_MAX = 48 * 1024;
const NAMES = ['a', 'b', 'c'];
const content = randomBytesOf('content', BYTES);

/** Three files with the same content, one of them by reference. Nothing of it is in memory. */
async function openThree(t: Test, options = {}): Promise<Opened> {
  const first = await openFresh(t, { compression: 'none', ...options });
  await first.driver.put('a', content);
  await first.driver.put('b', content);
  const c = await first.driver.create('c');
  await first.driver.copy(
    { ino: first.driver.stat('a').ino, offset: 0 },
    { ino: c.ino, offset: 0 },
    BYTES,
  );
  first.driver.release(c.fh);
  await first.driver.put('other', randomBytesOf('other', BYTES));
  await first.store.close();
  return openAt(t, first.path, { compression: 'none', ...options });
}

async function isBad({ driver }: Opened, name: string, offset: number): Promise<boolean> {
  const { fh } = await driver.open(name);
  const failure = await failureIn(driver.read(fh, offset, 1));
  driver.release(fh);
  return (failure as { errno?: number } | undefined)?.errno === 5;
}

async function assertOnlyThere(t: Test, opened: Opened, name: string): Promise<void> {
  const { driver } = opened;
  t.ok(await isBad(opened, name, DAMAGED_AT), `${name} is EIO at the damage`);
  const { fh } = await driver.open(name);
  for (const [from, to] of [
    [0, DAMAGED_AT - CHUNK_BYTES_MAX],
    [DAMAGED_AT + CHUNK_BYTES_MAX, BYTES],
  ] as const) {
    const found = await driver.read(fh, from, to - from);
    t.ok(found.equals(content.subarray(from, to)), `${name} is right from ${from} to ${to}`);
  }
  driver.release(fh);
}

async function assertRight(t: Test, { driver }: Opened): Promise<void> {
  for (const name of NAMES) t.ok((await driver.get(name)).equals(content), `${name} is right`);
  t.ok((await driver.get('other')).equals(randomBytesOf('other', BYTES)), 'the other file');
}

t.test(
  'a damaged chunk is EIO in all its files, and right in all when it comes again',
  async (t) => {
    const opened = await openThree(t);
    const { store, driver, path } = opened;
    const before = store.statistics();
    damageContent(path, content, DAMAGED_AT);
    for (const name of NAMES) await assertOnlyThere(t, opened, name);
    t.equal(store.statistics().damagedChunks, 1);
    t.equal(store.statistics().readOnlyReason, undefined, 'the mount stays read-write');
    await store.commit();
    await assertStoreClean(t, store);
    const { files, filesOmitted, chunks } = await store.listDamage();
    t.strictSame([chunks, filesOmitted], [1, 0]);
    t.strictSame(
      files.map(({ paths }) => paths),
      [['/a'], ['/b'], ['/c']],
    );
    for (const { ranges, bytes } of files) {
      const [range] = ranges;
      t.equal(ranges.length, 1);
      t.ok(range !== undefined && range.offset <= DAMAGED_AT, 'the range begins before the damage');
      t.ok(range !== undefined && range.offset + range.bytes > DAMAGED_AT, 'and ends behind it');
      t.equal(bytes, range?.bytes);
    }
    await driver.put('again', content);
    await store.commit();
    await assertRight(t, opened);
    const after = store.statistics();
    t.equal(after.damagedChunks, 0);
    t.equal(after.chunks, before.chunks, 'the chunk has its old number');
    t.equal(after.uniqueBytes, before.uniqueBytes);
    t.equal(after.storedBytes, before.storedBytes);
    t.ok(after.deadBytes > before.deadBytes, 'its old record is dead');
    await assertStoreClean(t, store);
    t.strictSame((await store.listDamage()).files, []);
  },
);

t.test(
  'what is quarantined survives a crash only with its commit; so does its repair',
  async (t) => {
    const opened = await openThree(t);
    const { store, driver, path } = opened;
    damageContent(path, content, DAMAGED_AT);
    t.ok(await isBad(opened, 'a', DAMAGED_AT));
    const copies = { early: copyStore(path, `${t.testdirName}/early`) };
    await store.commit();
    const quarantined = copyStore(path, `${t.testdirName}/quarantined`);
    await driver.put('again', content);
    await store.commit();
    const repaired = copyStore(path, `${t.testdirName}/repaired`);
    for (const [copy, damagedChunks] of [
      [copies.early, 0],
      [quarantined, 1],
    ] as const) {
      const crashed = await openAt(t, copy, { compression: 'none' });
      t.equal(crashed.store.statistics().damagedChunks, damagedChunks);
      await assertStoreClean(t, crashed.store);
      t.ok(await isBad(crashed, 'b', DAMAGED_AT));
      await crashed.driver.put('again', content);
      await crashed.store.commit();
      await assertRight(t, crashed);
      await assertStoreClean(t, crashed.store);
    }
    const after = await openAt(t, repaired, { compression: 'none' });
    await assertRight(t, after);
    await assertStoreClean(t, after.store);
  },
);

t.test('with its last file a quarantined chunk goes', async (t) => {
  const opened = await openThree(t);
  const { store, driver, path } = opened;
  damageContent(path, content, DAMAGED_AT);
  t.ok(await isBad(opened, 'a', DAMAGED_AT));
  for (const name of NAMES) await driver.remove(name);
  await store.gc();
  await store.commit();
  t.equal(store.statistics().damagedChunks, 0);
  await assertStoreClean(t, store);
  await driver.put('a', content);
  await store.commit();
  t.ok((await driver.get('a')).equals(content));
  await assertStoreClean(t, store);
});

t.test('a frame that does not decode takes all its chunks with it', async (t) => {
  const text = Buffer.from(randomBytesOf('text', 400_000).toString('hex'));
  const first = await openFresh(t, { compression: 'zlib' });
  await first.driver.put('a', text);
  await first.store.close();
  const [arena = ''] = arenaPaths(first.path);
  // The first frame begins behind the header; its deflate stream has a checksum of its own.
  flipByte(arena, findPack(arena, 1) + 64 + 200);
  const opened = await openAt(t, first.path, { compression: 'zlib' });
  const { store, driver } = opened;
  t.ok(await isBad(opened, 'a', 0));
  const damaged = store.statistics().damagedChunks;
  t.ok(damaged > 1, `${damaged} chunks share the frame`);
  // So that a new copy does not refer to its other chunks, which nobody has read yet.
  await driver.put('again', text);
  await store.commit();
  t.ok((await driver.get('again')).equals(text));
  t.ok((await driver.get('a')).equals(text));
  await assertStoreClean(t, store);
});

t.test(
  'a pack with a damaged directory, or a cut arena, is lost as a whole and comes again',
  async (t) => {
    const damages: Record<string, (arena: string) => void> = {
      'magic of the pack': (arena) => flipByte(arena, findPack(arena, 1)),
      'checksum of the pack': (arena) => flipByte(arena, findPack(arena, 1) + 41),
      'end of the arena': (arena) => truncateSync(arena, readFileSync(arena).length - 20_000),
    };
    for (const [name, damage] of Object.entries(damages)) {
      await t.test(name, async (t) => {
        const first = await openThree(t);
        // A second arena, so that not all are gone and the damaged one is not the current one.
        await first.store.gc({ threshold: 1 });
        await first.driver.put('more', randomBytesOf('more', BYTES));
        await first.store.commit();
        await first.store.close();
        const [arena = ''] = arenaPaths(first.path);
        damage(arena);
        let opened: Opened;
        try {
          opened = await openAt(t, first.path, { compression: 'none' });
        } catch (error) {
          t.match(
            error,
            { code: /DEDUPFS/ },
            'the store refuses to open: fsck --repair is the way',
          );
          return;
        }
        const { store, driver } = opened;
        const report = await store.scrub({ bytesPerSecond: 1e12 });
        t.ok(report.chunksDamaged > 1, `${report.chunksDamaged} chunks`);
        await driver.put('again', content);
        await driver.put('other again', randomBytesOf('other', BYTES));
        await driver.put('more again', randomBytesOf('more', BYTES));
        await store.commit();
        await assertRight(t, opened);
        t.equal((await store.scrub({ bytesPerSecond: 1e12 })).damage.chunks, 0);
      });
    }
  },
);

t.test('gc quarantines what it finds bad, moves the rest and removes the arena', async (t) => {
  const opened = await openFresh(t, { compression: 'none' });
  const { store, driver, path } = opened;
  await driver.put('a', content);
  await driver.put('b', content);
  for (let file = 0; file < 4; file += 1) await driver.put(`${file}`, randomBytesOf(file, 1e6));
  await store.commit();
  for (let file = 0; file < 4; file += 1) await driver.remove(`${file}`);
  damageContent(path, content, DAMAGED_AT);
  const [damagedArena] = arenaPaths(path);
  const report = await store.gc();
  t.equal(report.arenasRemoved, 1);
  t.notOk(arenaPaths(path).includes(damagedArena ?? ''), 'damage does not pin the arena');
  t.equal(store.statistics().damagedChunks, 1);
  t.equal(store.statistics().deadBytes, 0);
  for (const name of ['a', 'b']) await assertOnlyThere(t, opened, name);
  await assertStoreClean(t, store);
  const crashed = copyStore(path, `${t.testdirName}/crashed`);
  await store.close();
  const again = await openAt(t, crashed, { compression: 'none' });
  await again.driver.put('again', content);
  await again.store.commit();
  for (const name of ['a', 'b']) t.ok((await again.driver.get(name)).equals(content));
  await assertStoreClean(t, again.store);
});

t.test('an arena of which only damaged chunks are live is removed', async (t) => {
  const opened = await openFresh(t, { compression: 'none' });
  const { store, driver, path } = opened;
  const small = randomBytesOf('small', 10_000);
  await driver.put('small', small);
  await driver.put('dead', randomBytesOf('dead', 3e6));
  await store.commit();
  await driver.remove('dead');
  damageContent(path, small, 5000);
  const [arena] = arenaPaths(path);
  const report = await store.gc();
  t.equal(report.arenasRemoved, 1);
  t.notOk(arenaPaths(path).includes(arena ?? ''));
  t.ok(await isBad(opened, 'small', 0));
  await driver.put('again', small);
  await store.commit();
  t.ok((await driver.get('small')).equals(small));
  await assertStoreClean(t, store);
});

t.test('an index that leads to the wrong record is damage of the chunk, and heals', async (t) => {
  const opened = await openThree(t);
  const { store, driver, path } = opened;
  await store.close();
  const { default: Database } = await import('better-sqlite3');
  const database = new Database(`${path}/meta.db`);
  database.exec('UPDATE chunk SET idx = idx + 1000 WHERE id = 3');
  database.close();
  void driver;
  const again = await openAt(t, path, { compression: 'none' });
  const report = await again.store.scrub({ bytesPerSecond: 1e12 });
  t.equal(report.chunksDamaged, 1);
  await again.driver.put('again', content);
  await again.store.commit();
  await assertRight(t, again);
  await assertStoreClean(t, again.store);
});

t.test('a read-only mount answers EIO and changes nothing', async (t) => {
  const opened = await openThree(t, { isReadOnly: true });
  damageContent(opened.path, content, DAMAGED_AT);
  t.ok(await isBad(opened, 'a', DAMAGED_AT));
  t.equal(opened.store.statistics().damagedChunks, 0);
});

t.test(
  'a chunk that turns out bad while its content is being written is stored again',
  async (t) => {
    const opened = await openThree(t);
    const { store, driver, path } = opened;
    damageContent(path, content, DAMAGED_AT);
    // The job that brings the content is on its way when a read meets the damage.
    await driver.put('again', content);
    const committing = store.commit();
    t.ok(await isBad(opened, 'a', DAMAGED_AT));
    await committing;
    await driver.put('once more', content);
    await store.commit();
    await assertRight(t, opened);
    await assertStoreClean(t, store);
  },
);

t.test('a system that cannot read for now is no damage', async (t) => {
  const { BlockStore } = await import('../../lib/blockstore/block-store.ts');
  const { CorruptionError } = await import('../../lib/errors.ts');
  const opened = await openThree(t);
  const { read } = BlockStore.prototype;
  t.teardown(() => (BlockStore.prototype.read = read));
  BlockStore.prototype.read = () => {
    const cause = Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'read' });
    throw new CorruptionError('cannot be read', { cause });
  };
  t.ok(await isBad(opened, 'a', DAMAGED_AT));
  BlockStore.prototype.read = read;
  t.equal(opened.store.statistics().damagedChunks, 0);
  await assertRight(t, opened);
  await assertStoreClean(t, opened.store);
});
