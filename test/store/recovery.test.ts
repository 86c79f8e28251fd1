// Goal: a store opens after any crash with all that was committed, and is refused when it is not
// itself any more. Method: copies of the directory taken while the store is open stand for crashes.

import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ROOT_INO } from '../../lib/filesystem/contract.ts';
import { Arena } from '../../lib/blockstore/arena.ts';
import { silentLog } from '../../lib/log.ts';
import { formatText } from '../../lib/store/format.ts';
import type { StoreOptions } from '../../lib/store/contract.ts';
import { readOwner } from '../../lib/store/store.ts';
import { overwrite } from '../support/damage.ts';
import { failureIn } from '../support/faults.ts';
import { assertStoreClean, copyStore, openAt, openFresh } from '../support/open-store.ts';
import { payloadOf } from '../support/payloads.ts';
import { printedSeed, Random, randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;

t.test('after a crash everything committed is there, and nothing else', async (t) => {
  const { store, driver, path } = await openFresh(t);
  await driver.put('a', randomBytesOf('a', 2 * MIB));
  await store.commit();
  await driver.put('b', randomBytesOf('b', 2 * MIB));
  const crashed = await openAt(t, copyStore(path, join(path, '../crashed')));
  t.ok((await crashed.driver.get('a')).equals(randomBytesOf('a', 2 * MIB)));
  t.strictSame(crashed.driver.list(), ['a']);
  await assertStoreClean(t, crashed.store);
});

/** Counts puts on their way, so that a copy is not taken in the middle of one. */
function watchPuts(t: Test): { idle(): Promise<void> } {
  const { put } = Arena.prototype;
  const active = new Set<Promise<void>>();
  Arena.prototype.put = async function (this: Arena, packId, bytes) {
    const done = put.call(this, packId, bytes);
    active.add(done);
    await done.finally(() => active.delete(done));
  };
  t.teardown(() => (Arena.prototype.put = put));
  return {
    async idle() {
      while (active.size > 0) await Promise.allSettled(active);
    },
  };
}

t.test('a crash at any moment leaves a store that opens clean', async (t) => {
  const random = new Random(printedSeed(t));
  const puts = watchPuts(t);
  const { store, driver, path } = await openFresh(t);
  const committed = new Map<string, Buffer>();
  for (let round = 0; round < 8; round += 1) {
    const written = new Map(committed);
    for (let count = random.below(6); count >= 0; count -= 1) {
      const name = `file ${random.below(12)}`;
      const content = payloadOf(random, random.size(3 * MIB));
      if (driver.find(name) !== undefined) await driver.remove(name);
      await driver.put(name, content);
      written.set(name, content);
    }
    const isCommitted = random.oneIn(2);
    if (isCommitted) await store.commit();
    if (isCommitted) for (const [name, content] of written) committed.set(name, content);
    await puts.idle();
    const crashed = await openAt(t, copyStore(path, join(path, `../crashed ${round}`)));
    for (const [name, content] of isCommitted ? committed : []) {
      if (!(await crashed.driver.get(name)).equals(content)) t.fail(`${name} is wrong`);
    }
    await assertStoreClean(t, crashed.store);
    await crashed.store.close();
    if (!isCommitted) break;
  }
});

t.test('a removed file that was open at the crash is given back after the next open', async (t) => {
  const { store, driver, path } = await openFresh(t);
  await driver.put('other', Buffer.from('stays'));
  const file = await driver.create('removed');
  await driver.write(file.fh, 0, randomBytesOf('removed', MIB));
  await driver.remove('removed');
  const temporary = await driver.makeTemporary();
  await driver.write(temporary.fh, 0, randomBytesOf('temporary', MIB));
  await store.commit();
  const crashed = await openAt(t, copyStore(path, join(path, '../crashed')));
  await crashed.store.gc(); // a mount does it in the background
  const { files, chunks } = crashed.store.statistics();
  t.strictSame({ files, chunks }, { files: 1, chunks: 1 });
  await assertStoreClean(t, crashed.store);
  driver.release(file.fh);
  driver.release(temporary.fh);
});

t.test('closing a store keeps everything, though a removed file is still open', async (t) => {
  const { store, driver, path } = await openFresh(t);
  const file = await driver.create('removed');
  await driver.write(file.fh, 0, Buffer.from('content'));
  const folder = await driver.makeDirectory('folder');
  driver.fs.openDirectory(folder);
  await driver.change((fs) => {
    fs.removeDirectory(ROOT_INO, Buffer.from('folder'));
  });
  await driver.remove('removed');
  await driver.put('kept', Buffer.from('important'));
  await store.close();
  const again = await openAt(t, path);
  t.equal((await again.driver.get('kept')).toString(), 'important');
  await assertStoreClean(t, again.store);
});

for (const bytes of [0, 100, 4096, 8192]) {
  t.test(`an arena file cut off at its creation (${bytes} bytes) does not hinder`, async (t) => {
    const { store, driver, path } = await openFresh(t);
    await driver.put('a', Buffer.from('content'));
    await store.close();
    const leftover = join(path, 'arenas/a000007.mdb');
    writeFileSync(leftover, Buffer.alloc(bytes));
    const again = await openAt(t, path);
    t.equal((await again.driver.get('a')).toString(), 'content');
    await again.driver.put('b', randomBytesOf('b', MIB));
    await again.store.commit();
    await assertStoreClean(t, again.store);
  });
}

for (const bytes of [0, 100, 4096, 8192]) {
  t.test(`nor does one of a metadata checkpoint (${bytes} bytes)`, async (t) => {
    const { store, driver, path } = await openFresh(t);
    await driver.put('a', Buffer.from('content'));
    await store.close();
    const leftover = join(path, 'arenas/c000007.mdb');
    writeFileSync(leftover, Buffer.alloc(bytes));
    const again = await openAt(t, path);
    t.notOk(existsSync(leftover), 'it is removed');
    await assertStoreClean(t, again.store);
  });
}
t.test(
  'a store whose current arena has a damaged tree opens, reads what it can, goes on',
  async (t) => {
    const first = await openFresh(t);
    const contents = new Map<string, Buffer>();
    for (let index = 0; index < 150; index += 1) {
      const name = `file ${index}`;
      contents.set(name, randomBytesOf(name, 3000));
      await first.driver.put(name, randomBytesOf(name, 3000));
      await first.store.commit();
    }
    await first.store.close();
    const arena = join(first.path, 'arenas/a000001.mdb');
    const leaf = findPage(arena, (page) => {
      return page.readUInt16LE(18) === 2 && page.readUInt16LE(20) > 60; // a leaf of 30 packs and more
    });
    overwrite(arena, leaf + 24, Buffer.alloc(100, 0xff));
    const logged: unknown[] = [];
    const log = { ...silentLog(), error: (fields: unknown) => logged.push(fields) };
    const again = await openAt(t, first.path, { log: log as unknown as StoreOptions['log'] });
    t.match(logged, [{ arena: 1, err: { code: 'DEDUPFS_CORRUPT' } }]);
    const failed: string[] = [];
    for (const [name, content] of contents) {
      const bytes = await again.driver.get(name).catch(() => failed.push(name));
      if (bytes instanceof Buffer) t.ok(bytes.equals(content), name);
    }
    t.ok(failed.length > 0 && failed.length < contents.size, `${failed.length} cannot be read`);
    await again.driver.put('new', randomBytesOf('new', MIB));
    await again.store.commit();
    t.ok(existsSync(join(first.path, 'arenas/a000002.mdb')), 'in another arena');
    await again.store.close();
    const third = await openAt(t, first.path);
    t.ok((await third.driver.get('new')).equals(randomBytesOf('new', MIB)));
  },
);

t.test('a second open of a store is refused with the owner of the first', async (t) => {
  const { store, path } = await openFresh(t);
  const failure = await failureIn(openAt(t, path));
  t.match(failure, { exitCode: 11, message: new RegExp(`process ${process.pid}`) });
  t.equal(readOwner(path)?.pid, process.pid);
  await store.close();
  t.equal(readOwner(path), undefined);
});

/** Offset of the last page in a file that is as asked for. */
function findPage(path: string, isWanted: (page: Buffer) => boolean): number {
  const file = readFileSync(path);
  for (let offset = file.length - 4096; offset > 0; offset -= 4096) {
    const page = file.subarray(offset, offset + 4096);
    if (page.readUInt32LE(0) === offset / 4096 && isWanted(page)) return offset;
  }
  throw new Error(`${path} has no such page`);
}

interface Refusal {
  readonly what: string;
  readonly exitCode: number;
  readonly message: RegExp;
  damage(path: string, older: string): void;
}

const refusals: readonly Refusal[] = [
  {
    what: 'of a newer format',
    exitCode: 12,
    message: /format 99/,
    damage: (path) => {
      const file = join(path, 'FORMAT');
      const format = JSON.parse(readFileSync(file, 'utf8')) as object;
      writeFileSync(file, JSON.stringify({ ...format, format: 99 }));
    },
  },
  {
    what: 'without one of its arenas',
    exitCode: 14,
    message: /a000001\.mdb/,
    damage: (path) => rmSync(join(path, 'arenas/a000001.mdb')),
  },
  {
    what: 'with the metastore of another one',
    exitCode: 14,
    message: /belongs to store/,
    damage: (path) => {
      const file = join(path, 'FORMAT');
      const format = JSON.parse(readFileSync(file, 'utf8')) as object;
      const uuid = '00000000-0000-0000-0000-000000000000';
      writeFileSync(file, formatText({ ...format, uuid }));
    },
  },
  {
    what: 'with a metastore older than its arenas',
    exitCode: 14,
    message: /older than its arenas/,
    damage: (path, older) => {
      rmSync(join(path, 'meta.db-wal'), { force: true });
      cpSync(join(older, 'meta.db'), join(path, 'meta.db'));
    },
  },
  {
    what: 'without its metastore',
    exitCode: 10,
    message: /meta\.db is missing/,
    damage: (path) => rmSync(join(path, 'meta.db')),
  },
  {
    what: 'with a FORMAT file that is no JSON',
    exitCode: 10,
    message: /not a dedupfs FORMAT file/,
    damage: (path) => writeFileSync(join(path, 'FORMAT'), '{'),
  },
];

for (const { what, exitCode, message, damage } of refusals) {
  t.test(`a store ${what} is refused with exit code ${exitCode}`, async (t) => {
    const first = await openFresh(t);
    await first.driver.put('a', randomBytesOf('a', MIB));
    await first.store.close();
    const older = copyStore(first.path, join(first.path, '../older'));
    const second = await openAt(t, first.path);
    for (const name of ['b', 'c', 'd']) {
      await second.driver.put(name, randomBytesOf(name, MIB));
      await second.store.commit();
    }
    await second.store.close();
    damage(first.path, older);
    t.match(await failureIn(openAt(t, first.path)), { exitCode, message });
    t.equal(readOwner(first.path), undefined, 'the lock is free again');
  });
}
