// Goal: a checkpoint holds the metastore exactly as one commit left it, costs what changed, and one
// that is cut off or damaged never stands for a whole one. Method: real stores; images taken out of
// the arenas and compared with meta.db, byte for byte.

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Arena } from '../../lib/blockstore/arena.ts';
import { CheckpointArena, checkpointArenaIds } from '../../lib/blockstore/checkpoint-arena.ts';
import type { CheckpointManifest } from '../../lib/blockstore/checkpoint-manifest.ts';
import { NoSpaceError } from '../../lib/errors.ts';
import { findCheckpoint, newestCheckpoint } from '../../lib/maintenance/checkpoint-reader.ts';
import { readCheckpoint } from '../../lib/maintenance/checkpoint-restore.ts';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { failureIn } from '../support/faults.ts';
import { assertStoreClean, openAt, openFresh, type OpenedStore } from '../support/open-store.ts';
import { printedSeed, Random, randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;

/** Writes so many small files: names and chunks, which are what fills a metastore. */
async function addFiles({ driver }: OpenedStore, prefix: string, count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) {
    await driver.put(`${prefix} ${number}`, randomBytesOf(`${prefix} ${number}`, 300));
  }
}

/** The image in the newest whole checkpoint. */
async function imageOf(
  t: Test,
  path: string,
): Promise<{ image: Buffer; manifest: CheckpointManifest; damage: number }> {
  let damage = 0;
  const found = await findCheckpoint(
    join(path, 'arenas'),
    () => (damage += 1),
    async ({ manifest }, reader) => {
      const image = Buffer.alloc(manifest.pages * manifest.pageBytes);
      try {
        await readCheckpoint({
          reader,
          manifest,
          onPage: (bytes, offset) => void bytes.copy(image, offset),
        });
      } catch {
        damage += 1;
        return undefined;
      }
      return { image, manifest };
    },
  );
  if (found === undefined) return t.bailout('no whole checkpoint') as never;
  return { ...found, damage };
}

function checkpointBytes(path: string): number {
  const folder = join(path, 'arenas');
  const names = readdirSync(folder).filter((name) => /^c\d+\.mdb$/.test(name));
  return names.reduce((sum, name) => sum + statSync(join(folder, name)).blocks * 512, 0);
}

t.test('a checkpoint is the main file as the commit left it', async (t) => {
  const opened = await openFresh(t);
  const { store, path } = opened;
  t.equal(store.statistics().checkpoint, undefined);
  await addFiles(opened, 'first', 200);
  const report = await store.checkpoint();
  const before = readFileSync(join(path, 'meta.db'));
  t.ok(report.isFull);
  t.equal(report.plainBytes, before.length);
  const { image, manifest } = await imageOf(t, path);
  t.ok(image.equals(before), 'byte for byte');
  t.equal(manifest.batch, store.statistics().batch);
  t.equal(manifest.formatFile, readFileSync(join(path, 'FORMAT'), 'utf8'));
  const { createdMs, batch, plainBytes, storedBytes } = report;
  t.strictSame(store.statistics().checkpoint, { createdMs, batch, plainBytes, storedBytes });

  t.equal((await store.checkpoint()).bytesWritten, 0, 'nothing changed, nothing is written');
  const full = await store.checkpoint({ full: true });
  t.ok(full.isFull && full.bytesWritten > 0, 'unless all is to be written anew');
  t.strictSame(checkpointArenaIds(join(path, 'arenas')), [2], 'and the arena before is gone');
  await assertStoreClean(t, store);
  await store.close();
  const reopened = await openAt(t, path);
  t.equal(reopened.store.statistics().checkpoint?.batch, full.batch, 'stats know it after an open');
});

t.test('repeated checkpoints cost what changed, and the arena stays in bounds', async (t) => {
  const opened = await openFresh(t);
  const { store, path, driver } = opened;
  await addFiles(opened, 'many', 3000);
  const first = await store.checkpoint();
  const image = first.plainBytes;
  let written = 0;
  for (let round = 0; round < 10; round += 1) {
    await driver.put(`round ${round}`, randomBytesOf(`round ${round}`, 300));
    const report = await store.checkpoint();
    t.notOk(report.isFull);
    written = Math.max(written, report.bytesWritten);
  }
  t.comment(
    `image ${image}, first ${first.bytesWritten}, then at most ${written}, ` +
      `on disk ${checkpointBytes(path)}`,
  );
  t.ok(written < first.bytesWritten / 4, `${written} bytes for one file more`);
  const { image: found } = await imageOf(t, path);
  t.ok(found.equals(readFileSync(join(path, 'meta.db'))), 'the tenth image is exact');
  await assertStoreClean(t, store);
});

t.test('an arena that holds mostly old pages is left for a new one', async (t) => {
  const opened = await openFresh(t);
  const { store, path } = opened;
  await addFiles(opened, 'many', 3000);
  let bytesMax = 0;
  for (let round = 0; round < 40; round += 1) {
    // Random names change pages all over the B-trees.
    await addFiles(opened, `round ${round}`, 40);
    await store.checkpoint();
    bytesMax = Math.max(bytesMax, checkpointBytes(path));
  }
  const ids = checkpointArenaIds(join(path, 'arenas'));
  t.equal(ids.length, 1, 'one arena');
  const { storedBytes = 0 } = store.statistics().checkpoint ?? {};
  t.comment(`image ${storedBytes} stored, at most ${bytesMax} on disk, arena ${ids[0]}`);
  t.ok((ids[0] ?? 0) > 1, 'which is not the first');
  t.ok(bytesMax <= 3 * storedBytes + 3 * MIB, 'bounded by the image');
  const { image } = await imageOf(t, path);
  t.ok(image.equals(readFileSync(join(path, 'meta.db'))));
  await assertStoreClean(t, store);
});

t.test('what is written during a checkpoint is not in it, and is not disturbed', async (t) => {
  const opened = await openFresh(t);
  const { store, path, driver } = opened;
  await addFiles(opened, 'many', 1000);
  await store.commit();
  const { batch } = store.statistics();
  // The copy is held at its first pack; commits go on meanwhile.
  const { put } = CheckpointArena.prototype;
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  let isReached = (): void => undefined;
  const reached = new Promise<void>((resolve) => (isReached = resolve));
  CheckpointArena.prototype.put = async function (this: CheckpointArena, packId, bytes) {
    isReached();
    await held;
    return put.call(this, packId, bytes);
  };
  t.teardown(() => (CheckpointArena.prototype.put = put));
  const checkpoint = store.checkpoint();
  await reached;
  for (let round = 0; round < 3; round += 1) {
    await addFiles(opened, `meanwhile ${round}`, 200);
    await store.commit();
  }
  letGo();
  const report = await checkpoint;
  t.equal(report.batch, batch);
  const { image } = await imageOf(t, path);
  CheckpointArena.prototype.put = put;
  const copy = join(path, '../copy.db');
  writeFileSync(copy, image);
  const database = new MetaDatabase(copy, { create: false });
  const count = 'SELECT count(*) FROM dentry';
  t.equal(database.connection.prepare(count).pluck().get(), 1000, 'the tree of its commit');
  t.equal(database.connection.pragma('integrity_check', { simple: true }), 'ok');
  database.close();
  t.equal(driver.list().length, 1600);
  await assertStoreClean(t, store);
});

t.test('a checkpoint is given up when the WAL has grown too large for it', async (t) => {
  const database = new MetaDatabase(join(t.testdir(), 'meta.db'), { create: true });
  t.teardown(() => database.close());
  const held = database.holdMainFile();
  t.throws(() => database.holdMainFile(), /one copy/);
  const insert = database.connection.prepare(
    'INSERT INTO xattr (ino, name, value) VALUES (?, ?, ?)',
  );
  const before = readFileSync(database.path);
  let ino = 0;
  const grow = (bytes: number): void => {
    for (const end = database.walBytes + bytes; database.walBytes < end; ino += 1) {
      insert.run(ino, Buffer.from('user.x'), Buffer.alloc(MIB, 7));
      database.commit();
    }
  };
  grow(70 * MIB);
  await database.checkpoint('loaded');
  t.ok(database.walBytes > 64 * MIB, 'held: the WAL is not folded at its usual size');
  t.notOk(held.isLost);
  t.ok(readFileSync(database.path).equals(before), 'the main file is as it was');
  grow(190 * MIB);
  await database.checkpoint('loaded');
  t.ok(held.isLost, 'beyond its bound the WAL goes first');
  t.equal(database.walBytes, 0);
  held.release();
  const next = database.holdMainFile();
  t.notOk(next.isLost);
  next.release();
});

t.test(
  'a checkpoint cut off anywhere leaves the one before, and the next one is whole',
  async (t) => {
    const random = new Random(printedSeed(t));
    const opened = await openFresh(t);
    const { store, path } = opened;
    const { put } = CheckpointArena.prototype;
    t.teardown(() => (CheckpointArena.prototype.put = put));
    let isWhole = false;
    for (let round = 0; round < 12; round += 1) {
      await addFiles(opened, `round ${round}`, 300);
      const last = random.below(3);
      let puts = 0;
      CheckpointArena.prototype.put = async function (this: CheckpointArena, packId, bytes) {
        puts += 1;
        if (puts > last) throw new NoSpaceError('cut off by the test');
        return put.call(this, packId, bytes);
      };
      const before = store.statistics().checkpoint;
      const full = random.oneIn(3);
      const result = await store.checkpoint({ full }).then(
        () => 'done',
        () => 'cut off',
      );
      CheckpointArena.prototype.put = put;
      if (result === 'cut off') t.strictSame(store.statistics().checkpoint, before);
      isWhole ||= result === 'done';
      if (!isWhole) continue;
      const { image, manifest, damage } = await imageOf(t, path);
      t.equal(damage, 0, 'the newest manifest stands for a whole checkpoint');
      t.equal(image.length, manifest.pages * manifest.pageBytes);
    }
    await store.checkpoint();
    const { image } = await imageOf(t, path);
    t.ok(image.equals(readFileSync(join(path, 'meta.db'))));
    t.equal(checkpointArenaIds(join(path, 'arenas')).length, 1);
    await assertStoreClean(t, store);
  },
);

t.test('damage to the newest checkpoint: the one before is taken, fsck tells', async (t) => {
  const opened = await openFresh(t);
  const { store, path } = opened;
  await addFiles(opened, 'many', 500);
  const first = await store.checkpoint();
  const firstImage = readFileSync(join(path, 'meta.db'));
  await addFiles(opened, 'more', 100);
  const second = await store.checkpoint();
  const folder = join(path, 'arenas');
  const newest = await newestCheckpoint(folder, () => t.fail('no damage yet'));
  t.equal(newest?.manifest.batch, second.batch);

  const arena = new Arena(1, join(folder, 'c000001.mdb'), MIB);
  const packIds = [...arena.packIds()];
  // The last pack is the manifest, the one before holds pages that are new in this checkpoint.
  const pages = packIds.at(-2) ?? 0;
  const bytes = Buffer.from(arena.get(pages));
  bytes[200] = (bytes[200] ?? 0) ^ 0xff;
  await arena.remove([pages]);
  await arena.put(pages, bytes);
  await arena.close();
  const { image, manifest, damage } = await imageOf(t, path);
  t.ok(damage > 0);
  t.equal(manifest.batch, first.batch, 'the checkpoint before');
  t.ok(image.equals(firstImage));
  const report = await store.fsck({ level: 'full' });
  t.strictSame(
    report.findings.map(({ check }) => check),
    ['metadata-checkpoint'],
  );
  await store.checkpoint({ full: true });
  await assertStoreClean(t, store);
});

t.test('without room to spare there is no checkpoint, and nothing else is harmed', async (t) => {
  const opened = await openFresh(t);
  const { store, path, driver } = opened;
  await addFiles(opened, 'some', 50);
  const { put } = CheckpointArena.prototype;
  CheckpointArena.prototype.put = async () =>
    Promise.reject(new NoSpaceError('no room, says the test'));
  const failure = await failureIn(store.checkpoint());
  CheckpointArena.prototype.put = put;
  t.ok(failure instanceof NoSpaceError);
  t.notOk(existsSync(join(path, 'arenas', 'c000001.mdb')), 'nothing is left of it');
  t.equal(store.statistics().readOnlyReason, undefined);
  await driver.put('still', Buffer.from('writable'));
  await store.checkpoint();
  await assertStoreClean(t, store);
});

t.test('work that nothing may disturb does not wait for a pause in the writing', async (t) => {
  const { store, driver } = await openFresh(t);
  await driver.put('first', Buffer.from('first'));
  const writes: Promise<unknown>[] = [];
  const { sync } = MetaDatabase.prototype;
  t.teardown(() => (MetaDatabase.prototype.sync = sync));
  // Whenever a commit is done something has changed already.
  MetaDatabase.prototype.sync = async function () {
    await sync.call(this);
    const name = `after ${writes.length}`;
    if (writes.length < 40) writes.push(driver.put(name, Buffer.from(name)));
  };
  await store.checkpoint();
  t.ok(writes.length < 5, `after ${writes.length} commits`);
  await store.fsck({ level: 'quick' });
  t.ok(writes.length < 10, `after ${writes.length} commits`);
  MetaDatabase.prototype.sync = sync;
  await Promise.all(writes);
  await store.commit();
  await assertStoreClean(t, store);
});
