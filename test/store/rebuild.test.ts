// Goal: a store whose metastore or FORMAT is lost comes back as of its last checkpoint, with every
// byte that is still there, wherever gc has moved it; nothing sound is replaced, nothing destroyed.
// Method: copies of open stores stand for crashes; files are removed and damaged in them.

import { appendFileSync, cpSync, existsSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ExitCode, type UserError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { rebuildStore, type RebuildReport } from '../../lib/store/rebuild.ts';
import { failureIn } from '../support/faults.ts';
import { assertStoreClean, copyStore, openAt, openFresh } from '../support/open-store.ts';
import type { OpenedStore } from '../support/open-store.ts';
import { PAGE_BYTES } from '../support/page-checksums.ts';
import { payloadOf } from '../support/payloads.ts';
import { printedSeed, Random, randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;

async function rebuild(path: string): Promise<RebuildReport> {
  return rebuildStore(path, { log: silentLog(), onProgress: () => undefined });
}

function removeMetastore(path: string): void {
  for (const suffix of ['', '-wal', '-shm'])
    rmSync(join(path, `meta.db${suffix}`), { force: true });
}

/** Opens what was rebuilt: it has these files, takes more, and is clean. */
async function assertTree(
  t: Test,
  path: string,
  files: ReadonlyMap<string, Buffer>,
): Promise<OpenedStore> {
  const opened = await openAt(t, path, { create: false });
  t.strictSame(opened.driver.list().sort(), [...files.keys()].sort(), 'names');
  for (const [name, content] of files) {
    if (!(await opened.driver.get(name)).equals(content)) t.fail(`${name} is wrong`);
  }
  await assertStoreClean(t, opened.store);
  await opened.driver.put('written after', randomBytesOf('written after', MIB));
  await opened.store.commit();
  await assertStoreClean(t, opened.store);
  return opened;
}

/** A store with files, a checkpoint, and much that happened since. */
async function openWithHistory(
  t: Test,
): Promise<{ opened: OpenedStore; files: Map<string, Buffer> }> {
  const random = new Random(printedSeed(t));
  const opened = await openFresh(t);
  const { store, driver } = opened;
  const files = new Map<string, Buffer>();
  for (let number = 0; number < 30; number += 1) {
    const content = payloadOf(random, random.size(MIB));
    files.set(`file ${number}`, content);
    await driver.put(`file ${number}`, content);
    await driver.put(`dead ${number}`, randomBytesOf(`dead ${number}`, MIB / 2));
  }
  for (let number = 0; number < 30; number += 1) await driver.remove(`dead ${number}`);
  await commitUntilSettled(store);
  await store.checkpoint();
  return { opened, files };
}

/** Until what removed files held is given back: that goes on behind the commit that removed them. */
async function commitUntilSettled(store: OpenedStore['store']): Promise<void> {
  let before: number;
  do {
    before = store.statistics().batch;
    await store.commit();
    await setImmediate();
  } while (store.statistics().batch > before);
}

t.test('after gc has moved all and removed its arenas, every file is there', async (t) => {
  const { opened, files } = await openWithHistory(t);
  const { store, driver, path } = opened;
  await driver.put('later', randomBytesOf('later', MIB));
  const { arenasRemoved } = await store.gc();
  t.ok(arenasRemoved > 0, 'gc removed what the checkpoint names');
  await driver.put('last', randomBytesOf('last', MIB));
  await store.commit();
  const { batch } = store.statistics();

  const crashed = copyStore(path, join(path, '../crashed'));
  removeMetastore(crashed);
  const refused = (await failureIn(openAt(t, crashed))) as UserError;
  t.equal(refused.exitCode, ExitCode.NO_STORE);
  t.match(refused.message, `dedupfs fsck --rebuild ${crashed}`);
  const report = await rebuild(crashed);
  t.equal(report.rebuilt?.index.chunksQuarantined, 0);
  t.equal((report.batch ?? 0) + (report.rebuilt?.batchesLost ?? 0), batch, 'commits lost');
  t.equal(report.keptAside, undefined);
  const rebuilt = await assertTree(t, crashed, files);
  t.ok(rebuilt.store.statistics().batch > batch, 'numbers of commits are not reused');
  t.ok(rebuilt.store.statistics().deadBytes >= 2 * MIB, 'what is newer was kept, for gc');
  await rebuilt.store.gc();
  await assertStoreClean(t, rebuilt.store);
  t.equal((await rebuilt.store.checkpoint()).isFull, false, 'checkpoints go on');
  await rebuilt.store.close();
  const again = (await failureIn(rebuild(crashed))) as UserError;
  t.equal(again.code, 'DEDUPFS_NOTHING_TO_REBUILD');
  const left = readdirSync(crashed).filter((name) => name.startsWith('meta.db'));
  t.strictSame(left, ['meta.db'], 'nothing lies about');
});

t.test('what gc removed since reads as EIO, and is named', async (t) => {
  const { opened, files } = await openWithHistory(t);
  const { store, driver, path } = opened;
  const gone = randomBytesOf('gone', MIB);
  files.set('gone', gone);
  await driver.put('gone', gone);
  await store.checkpoint();
  await driver.remove('gone');
  await store.commit();
  await store.gc({ threshold: 1 });
  await store.close();
  removeMetastore(path);
  const report = await rebuild(path);
  t.ok((report.rebuilt?.index.chunksQuarantined ?? 0) > 0);
  const rebuilt = await openAt(t, path, { create: false });
  const damage = await rebuilt.store.listDamage();
  t.strictSame(damage.files.map(({ paths }) => paths).flat(), ['/gone']);
  const failure = await failureIn(rebuilt.driver.get('gone'));
  t.ok(failure instanceof Error, String(failure));
  await rebuilt.driver.put('again', gone);
  await rebuilt.store.commit();
  t.equal(rebuilt.store.statistics().damagedChunks, 0, 'the same content heals it');
  for (const [name, content] of files) {
    if (!(await rebuilt.driver.get(name)).equals(content)) t.fail(`${name} is wrong`);
  }
  await assertStoreClean(t, rebuilt.store);
});

t.test('a damaged metastore is kept aside; its log is not played into the new one', async (t) => {
  const { opened, files } = await openWithHistory(t);
  const { store, driver, path } = opened;
  await driver.remove('file 0');
  await store.commit();
  const crashed = copyStore(path, join(path, '../crashed'));
  const wal = readFileSync(join(crashed, 'meta.db-wal'));
  t.ok(wal.length > 0, 'commits after the checkpoint lie in the WAL');
  const metastore = join(crashed, 'meta.db');
  writeFileSync(metastore, Buffer.alloc(100, 'x'), { flag: 'r+' });
  const refused = (await failureIn(openAt(t, crashed))) as UserError;
  t.match(refused.message, `dedupfs fsck --rebuild ${crashed}`);
  const before = readFileSync(metastore);
  const report = await rebuild(crashed);
  t.equal(report.keptAside, `${metastore}.damaged`);
  t.ok(readFileSync(`${metastore}.damaged`).equals(before), 'as it was');
  t.ok(existsSync(`${metastore}.damaged-wal`), 'with its log');
  await (await assertTree(t, crashed, files)).store.close();

  writeFileSync(metastore, Buffer.alloc(100, 'y'), { flag: 'r+' });
  t.equal((await rebuild(crashed)).keptAside, `${metastore}.damaged.2`, 'nothing is overwritten');
});

/** Damages a page that is not needed to open the store. */
async function openWithBadPage(t: Test, path: string): Promise<OpenedStore> {
  const metastore = join(path, 'meta.db');
  const sound = readFileSync(metastore);
  for (let page = sound.length / PAGE_BYTES - 1; page > 0; page -= 1) {
    const bytes = Buffer.from(sound);
    bytes.writeUInt8(bytes.readUInt8(page * PAGE_BYTES + 5000) ^ 1, page * PAGE_BYTES + 5000);
    writeFileSync(metastore, bytes);
    const opened = await openAt(t, path).catch(() => undefined);
    if (opened !== undefined) return opened;
  }
  throw new Error('every page is needed to open a store');
}

t.test('a page that rots does not get into a checkpoint', async (t) => {
  const { opened, files } = await openWithHistory(t);
  const { store, driver, path } = opened;
  await driver.put('more', Buffer.from('more'));
  await store.commit();
  const { checkpoint } = store.statistics();
  await store.close();
  const damaged = await openWithBadPage(t, path);
  const refused = (await failureIn(damaged.store.checkpoint())) as UserError;
  t.equal(refused.code, 'DEDUPFS_CORRUPT');
  t.match(refused.message, /page \d+ of the metastore/);
  t.strictSame(damaged.store.statistics().checkpoint, checkpoint);
  await damaged.store.close();
  await rebuild(path);
  await assertTree(t, path, files);
});

t.test('a lost or damaged FORMAT comes back, and the metastore stays', async (t) => {
  const { opened, files } = await openWithHistory(t);
  const { store, driver, path } = opened;
  await driver.put('later', Buffer.from('stays'));
  await store.close();
  const format = join(path, 'FORMAT');
  const text = readFileSync(format, 'utf8');
  for (const damage of [() => rmSync(format), () => writeFileSync(format, text.slice(0, 100))]) {
    damage();
    const refused = (await failureIn(openAt(t, path))) as UserError;
    t.ok(
      refused.exitCode === ExitCode.STORE_INCONSISTENT || refused.exitCode === ExitCode.NO_STORE,
    );
    const report = await rebuild(path);
    t.ok(report.isFormatRestored);
    t.equal(report.rebuilt, undefined);
    t.equal(readFileSync(format, 'utf8'), text);
  }
  rmSync(format);
  removeMetastore(path);
  t.ok((await rebuild(path)).isFormatRestored, 'both at once');
  await assertTree(t, path, files);
});

t.test('a rebuild that was cut off is finished by the next one', async (t) => {
  const { opened, files } = await openWithHistory(t);
  const { store, driver, path } = opened;
  await driver.remove('file 0');
  await store.commit();
  const crashed = copyStore(path, join(path, '../crashed'));
  await store.close();
  const metastore = join(crashed, 'meta.db');
  const cuts: Record<string, (copy: string) => void> = {
    'in the middle of the image': (copy) => {
      writeFileSync(`${copy}.rebuild`, readFileSync(copy).subarray(0, 20_000));
      writeFileSync(`${copy}.rebuild-wal`, 'half');
      writeFileSync(copy, 'damaged');
    },
    'when the damaged file was put aside, not its log': (copy) => {
      cpSync(copy, `${copy}.rebuild`);
      renameSync(copy, `${copy}.damaged`);
    },
    'when both were put aside': (copy) => {
      renameSync(copy, `${copy}.damaged`);
      renameSync(`${copy}-wal`, `${copy}.damaged-wal`);
    },
    'before FORMAT got its name': (copy) => {
      const format = join(copy, '../FORMAT');
      writeFileSync(`${format}.rebuild`, 'half');
      rmSync(format);
      rmSync(copy);
    },
  };
  t.ok(existsSync(`${metastore}-wal`));
  for (const [moment, cut] of Object.entries(cuts)) {
    const copy = copyStore(crashed, join(path, `../${moment}`));
    cut(join(copy, 'meta.db'));
    t.ok((await failureIn(openAt(t, copy))) instanceof Error, `refused: cut ${moment}`);
    await rebuild(copy);
    await (await assertTree(t, copy, files)).store.close();
  }
});

t.test('an older metastore is brought up to the arenas, from what is newest', async (t) => {
  const { opened } = await openWithHistory(t);
  const { store, driver, path } = opened;
  await driver.put('between', randomBytesOf('between', MIB));
  await store.commit();
  const old = copyStore(path, join(path, '../old'));
  for (let round = 0; round < 4; round += 1) {
    await driver.put(`later ${round}`, randomBytesOf(`later ${round}`, MIB));
    await store.commit();
  }
  await store.close();
  removeMetastore(path);
  for (const name of ['meta.db', 'meta.db-wal']) cpSync(join(old, name), join(path, name));
  const refused = (await failureIn(openAt(t, path))) as UserError;
  t.equal(refused.code, 'DEDUPFS_OLD_METASTORE');
  t.match(refused.message, `dedupfs fsck --rebuild ${path}`);
  const report = await rebuild(path);
  t.equal(report.createdMs, undefined, 'newer than the checkpoint: it is the base itself');
  const rebuilt = await openAt(t, path);
  t.ok((await rebuilt.driver.get('between')).equals(randomBytesOf('between', MIB)));
  await assertStoreClean(t, rebuilt.store);
});

t.test('without a whole checkpoint nothing is touched', async (t) => {
  const { driver, store, path } = await openFresh(t);
  await driver.put('file', Buffer.from('content'));
  await store.close();
  removeMetastore(path);
  const none = (await failureIn(rebuild(path))) as UserError;
  t.equal(none.exitCode, ExitCode.STORE_INCONSISTENT);
  t.match(none.message, /no whole metadata checkpoint/);
  appendFileSync(join(path, 'arenas/c000001.mdb'), 'no arena');
  const damaged = (await failureIn(rebuild(path))) as UserError;
  t.match(damaged.message, /c000001.mdb is not an LMDB file/);
  const empty = (await failureIn(rebuild(join(path, 'arenas')))) as UserError;
  t.equal(empty.exitCode, ExitCode.NO_STORE);
});
