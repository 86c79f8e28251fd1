// Goal: the same content is stored once, however it gets into files, and its chunks go with their
// last reference. Method: a real store; chunks and references are read from its tables.

import t, { type Test } from 'tap';
import { openDatabaseOf } from '../support/faults.ts';
import { O_TRUNC, type FileSystemDriver } from '../support/filesystem-driver.ts';
import { assertStoreClean, openFresh, type OpenedStore } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;
const CONTENT = randomBytesOf('content', 3 * MIB + 12_345);

async function open(t: Test) {
  const database = openDatabaseOf(t);
  const opened = await openFresh(t);
  const column = (sql: string): unknown[] => database().connection.prepare(sql).pluck().all();
  return {
    ...opened,
    references: () => column('SELECT refs FROM chunk ORDER BY id') as number[],
    /** What is stored, whoever refers to it. */
    hashes: () => column('SELECT hex(h) FROM chunk ORDER BY h') as string[],
  };
}

function uniqueOf({ store }: OpenedStore): { chunks: number; uniqueBytes: number } {
  const { chunks, uniqueBytes } = store.statistics();
  return { chunks, uniqueBytes };
}

t.test('the second file of the same content adds no chunk', async (t) => {
  const opened = await open(t);
  const { store, driver, references } = opened;
  await driver.put('a', CONTENT);
  await store.commit();
  const once = uniqueOf(opened);
  t.equal(once.uniqueBytes, CONTENT.length);
  await driver.put('b', CONTENT);
  await driver.put('c', CONTENT);
  await store.commit();
  t.strictSame(uniqueOf(opened), once);
  t.strictSame(new Set(references()), new Set([3]));
  t.equal(store.statistics().referencedBytes, 3 * CONTENT.length);
  t.ok((await driver.get('c')).equals(CONTENT));
  await assertStoreClean(t, store);
});

async function writeSlowly(opened: OpenedStore, name: string, payloadBytes: number): Promise<void> {
  const { store, driver } = opened;
  const { fh } = await driver.create(name);
  const partBytes = 173 * 4096;
  for (let offset = 0; offset < CONTENT.length; offset += partBytes) {
    const part = CONTENT.subarray(offset, offset + partBytes);
    await driver.write(fh, offset, part, { payloadBytes });
    await store.commit();
  }
  driver.release(fh);
}

t.test('written in 4 KiB pieces with commits in between, it has the same chunks', async (t) => {
  const opened = await open(t);
  const { store, driver, hashes } = opened;
  await writeSlowly(opened, 'slow', 4096);
  await store.commit();
  const slow = hashes();
  await driver.put('at once', CONTENT);
  await store.commit();
  t.strictSame(hashes(), slow, 'the same content at once adds nothing');
  t.equal(opened.store.statistics().uniqueBytes, CONTENT.length);
  t.ok((await driver.get('slow')).equals(CONTENT));
  await assertStoreClean(t, store);
});

t.test('a copy by reference adds nothing, and is a file of its own', async (t) => {
  const opened = await open(t);
  const { store, driver } = opened;
  const ino = await driver.put('a', CONTENT);
  const copy = await driver.create('copy');
  const whole = { ino, offset: 0 };
  // Not committed and partly in slabs still: the copy waits for its source.
  const copied = await driver.copy(whole, { ino: copy.ino, offset: 0 }, CONTENT.length);
  t.equal(copied, CONTENT.length);
  await store.commit();
  t.equal(store.statistics().uniqueBytes, CONTENT.length);
  t.equal(store.statistics().referencedBytes, 2 * CONTENT.length);
  await driver.write(copy.fh, MIB, Buffer.from('changed'));
  driver.release(copy.fh);
  await store.commit();
  t.ok((await driver.get('a')).equals(CONTENT), 'the source is as it was');
  const changed = Buffer.from(CONTENT);
  changed.write('changed', MIB);
  t.ok((await driver.get('copy')).equals(changed));
  const { uniqueBytes } = store.statistics();
  t.ok(uniqueBytes < CONTENT.length + 5 * 48 * 1024, `${uniqueBytes - CONTENT.length} bytes more`);
  await assertStoreClean(t, store);
});

interface Ending {
  readonly what: string;
  end(driver: FileSystemDriver): Promise<unknown>;
}

const endings: readonly Ending[] = [
  { what: 'removed', end: async (driver) => driver.remove('a') },
  { what: 'truncated to nothing', end: async (driver) => driver.truncate(driver.stat('a').ino, 0) },
  {
    what: 'opened with O_TRUNC',
    end: async (driver) => driver.release((await driver.open('a', O_TRUNC)).fh),
  },
  {
    what: 'replaced by a rename',
    end: async (driver) => {
      const replaced = driver.stat('a').ino;
      await driver.put('new', Buffer.alloc(0));
      await driver.rename('new', 'a');
      driver.forget(replaced);
    },
  },
  {
    what: 'overwritten with zeros',
    end: async (driver) => {
      const { fh } = await driver.open('a');
      await driver.write(fh, 0, Buffer.alloc(CONTENT.length));
      driver.release(fh);
    },
  },
];

for (const { what, end } of endings) {
  t.test(`chunks of a file that is ${what} go with their last reference`, async (t) => {
    const opened = await open(t);
    const { store, driver, references } = opened;
    await driver.put('a', CONTENT);
    await driver.put('b', CONTENT);
    await store.commit();
    await end(driver);
    await turns();
    await store.commit();
    t.strictSame(new Set(references()), new Set([1]), 'the other file keeps them');
    t.ok((await driver.get('b')).equals(CONTENT));
    await driver.remove('b');
    await turns();
    await store.commit();
    t.strictSame(references(), []);
    t.match(store.statistics(), { chunks: 0, uniqueBytes: 0, storedBytes: 0, referencedBytes: 0 });
    await assertStoreClean(t, store);
  });

  t.test(`content that returns in the batch in which its file is ${what} is kept`, async (t) => {
    const opened = await open(t);
    const { store, driver, hashes } = opened;
    await driver.put('a', CONTENT);
    await store.commit();
    const before = hashes();
    await end(driver);
    await turns();
    await driver.put('again', CONTENT);
    await store.commit();
    t.strictSame(hashes(), before);
    t.ok((await driver.get('again')).equals(CONTENT));
    await assertStoreClean(t, store);
  });
}

t.test('content that comes and goes within a batch leaves no chunk', async (t) => {
  const { store, driver, references } = await open(t);
  await driver.put('a', CONTENT);
  const { fh } = await driver.open('a');
  await store.filesystem.fsync(fh);
  driver.release(fh);
  await driver.remove('a');
  await driver.put('b', CONTENT);
  await turns();
  await driver.remove('b');
  await turns();
  await store.commit();
  t.strictSame(references(), []);
  await assertStoreClean(t, store);
});

/** Reclaiming takes turns of the event loop. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
