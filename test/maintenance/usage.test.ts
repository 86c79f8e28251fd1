// Goal: what `du` says of any set of paths is what the rows say, and what deleting the set gives back.
// Method: random trees with hard links, sparse files, shared extents, orphans and quarantined chunks,
// against a model that follows every reference; then the set is deleted, and totals are compared.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ROOT_INO, type Ino } from '../../lib/filesystem/contract.ts';
import { ChunkCounts, leavingOf } from '../../lib/maintenance/usage/chunk-counts.ts';
import { InodeSet } from '../../lib/maintenance/usage/inode-set.ts';
import { findTarget } from '../../lib/maintenance/usage/targets.ts';
import { measureUsage, type MeasuredUsage } from '../../lib/maintenance/usage/usage.ts';
import { Metastore } from '../../lib/metastore/metastore.ts';
import { damageContent } from '../support/damaged-content.ts';
import { failureIn, openDatabaseOf } from '../support/faults.ts';
import { PUNCH_HOLE, KEEP_SIZE, type FileSystemDriver } from '../support/filesystem-driver.ts';
import { assertStoreClean, openAt, openFresh, type OpenedStore } from '../support/open-store.ts';
import { printedSeed, Random, randomBytesOf } from '../support/random.ts';
import { UsageModel } from '../support/usage-model.ts';

const MIB = 1024 * 1024;
const seed = printedSeed(t);

interface Made {
  readonly directories: { readonly ino: Ino; readonly path: string }[];
  readonly files: { readonly ino: Ino; readonly path: string }[];
}

/** Pieces that files share. */
function pieceOf(random: Random): Buffer {
  return randomBytesOf(`piece ${random.below(12)}`, 20_000 + 9_000 * random.below(8));
}

async function addFile(driver: FileSystemDriver, random: Random, made: Made, number: number) {
  const parent = random.pick(made.directories);
  const name = `f${number}`;
  const { ino, fh } = await driver.create(name, parent.ino);
  const other = made.files.length > 0 ? random.pick(made.files) : undefined;
  if (random.oneIn(4) && other !== undefined) {
    await driver.copy({ ino: other.ino, offset: 0 }, { ino, offset: 5_000 }, 150_000);
  } else {
    for (let at = random.below(3) * 100_000; !random.oneIn(3); at += 120_000) {
      await driver.write(fh, at, pieceOf(random));
    }
  }
  if (random.oneIn(5)) await driver.write(fh, 9 * MIB, Buffer.from('far behind'));
  if (random.oneIn(5)) {
    await driver.allocate(fh, { offset: 30_000, bytes: 50_000 }, KEEP_SIZE | PUNCH_HOLE);
  }
  driver.release(fh);
  const path = `${parent.path}/${name}`;
  made.files.push({ ino, path });
  for (let link = 0; random.oneIn(3); link += 1) {
    const { ino: directory } = random.pick(made.directories);
    await driver.change((fs) => fs.link(ino, directory, Buffer.from(`l${number}.${link}`)));
  }
}

async function makeTree(driver: FileSystemDriver, random: Random): Promise<void> {
  const made: Made = { directories: [{ ino: ROOT_INO, path: '' }], files: [] };
  for (let number = 0; number < 10; number += 1) {
    const parent = random.pick(made.directories);
    const ino = await driver.makeDirectory(`d${number}`, parent.ino);
    made.directories.push({ ino, path: `${parent.path}/d${number}` });
  }
  for (let number = 0; number < 40; number += 1) await addFile(driver, random, made, number);
  const caller = { uid: 0, gid: 0, pid: 1 };
  const { ino } = random.pick(made.directories);
  await driver.change((fs) => fs.makeSymlink(ino, Buffer.from('s'), Buffer.from('d1'), caller));
}

function randomSet(random: Random, paths: readonly string[]): string[] {
  return Array.from({ length: 1 + random.below(6) }, () => random.pick(paths));
}

/** What the model does not know. */
function comparable(usage: MeasuredUsage): MeasuredUsage {
  if (usage.exclusive === undefined) return usage;
  return { ...usage, exclusive: { ...usage.exclusive, diskBytes: 0 } };
}

async function assertLikeModel(t: Test, { store }: OpenedStore, model: UsageModel, set: string[]) {
  const report = await store.usage({ paths: set, perPath: true, exclusive: true });
  t.ok(report.isSteady);
  for (const [at, path] of set.entries()) {
    const { path: told, ...usage } = report.paths[at] ?? { path: undefined };
    t.equal(told, path);
    t.strictSame(comparable(usage as MeasuredUsage), comparable(model.usage([path])), path);
  }
  t.strictSame(comparable(report.total), comparable(model.usage(set)), set.join(' '));
  const { exclusive, ...plain } = report.total;
  const without = await store.usage({ paths: set, perPath: false, exclusive: false });
  t.strictSame([without.total, without.paths], [plain, []], 'the same without exclusive');
  return exclusive;
}

/** Removes what the paths name, and everything below. */
async function remove(driver: FileSystemDriver, path: string): Promise<void> {
  const names = path.split('/').filter((name) => name !== '');
  const last = names.pop();
  let parent: Ino = ROOT_INO;
  for (const name of names) {
    const found = driver.find(name, parent);
    if (found === undefined) return; // went with a directory above
    parent = found.ino;
  }
  const found = last === undefined ? undefined : driver.find(last, parent);
  if (last === undefined || found === undefined) return;
  if ((found.mode & 0o170000) !== 0o040000) return driver.remove(last, parent);
  for (const name of driver.list(found.ino)) await remove(driver, `${path}/${name}`);
  await driver.change((fs) => fs.removeDirectory(parent, Buffer.from(last)));
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

t.test('random sets of random trees are told as they are', async (t) => {
  const database = openDatabaseOf(t);
  const opened = await openFresh(t);
  const { store, driver } = opened;
  const random = new Random(seed);
  await makeTree(driver, random);
  // Removed and open still: what it shares with others is used by it.
  const held = await driver.create('held');
  for (let piece = 0; piece < 4; piece += 1) {
    await driver.write(held.fh, piece * 100_000, pieceOf(random));
  }
  await driver.change((fs) => fs.unlink(ROOT_INO, Buffer.from('held')));
  await store.commit();
  const model = new UsageModel(database().connection);
  await assertLikeModel(t, opened, model, ['/']);
  for (let round = 0; round < 12; round += 1) {
    await assertLikeModel(t, opened, model, randomSet(random, model.paths));
  }
  const set = randomSet(
    random,
    model.paths.filter((path) => path !== '/'),
  );
  const exclusive = await assertLikeModel(t, opened, model, set);
  const before = store.statistics();
  for (const path of set) await remove(driver, path);
  await turns();
  await store.commit();
  const after = store.statistics();
  t.equal(before.storedBytes - after.storedBytes, exclusive?.storedBytes, 'that much is gone');
  t.equal(before.uniqueBytes - after.uniqueBytes, exclusive?.uniqueBytes);
  driver.release(held.fh);
  await assertStoreClean(t, store);
});

t.test('in many passes the figures are the same', async (t) => {
  const first = await openFresh(t);
  await makeTree(first.driver, new Random(seed + 1));
  await first.store.commit();
  const asked = { paths: ['/'], perPath: true, exclusive: true };
  const paths = ['/d0', '/d1', '/d2', '/d3'].filter((path) => {
    return first.driver.find(path.slice(1)) !== undefined;
  });
  const whole = await first.store.usage(asked);
  const some = await first.store.usage({ ...asked, paths });
  await first.store.close();
  const metastore = new Metastore(join(first.path, 'meta.db'), { create: false });
  t.teardown(() => metastore.close());
  for (const [set, wanted] of [
    [['/'], whole.total],
    [paths, some.total],
  ] as const) {
    const targets = set.map((path) => findTarget(metastore, path));
    const limits = { linkedFiles: 2, chunkPages: 1 };
    const found = await measureUsage(metastore, { targets, exclusive: true, limits });
    t.strictSame(found, wanted, set.join(' '));
  }
});

t.test('an open file, a quarantined chunk and a path that is not there', async (t) => {
  const database = openDatabaseOf(t);
  const first = await openFresh(t, { compression: 'none' });
  const content = randomBytesOf('content', 400_000);
  await first.driver.put('a', content);
  await first.driver.put('b', content.subarray(0, 300_000));
  await first.store.close();
  damageContent(first.path, content, 350_000);
  const second = await openAt(t, first.path, { compression: 'none' });
  const { store, driver } = second;
  t.not(await failureIn(driver.get('a')), undefined, 'the damage is met');
  await turns();
  await store.commit();
  t.equal(store.statistics().damagedChunks, 1);
  const exclusive = await assertLikeModel(t, second, new UsageModel(database().connection), ['/a']);
  t.ok((exclusive?.uniqueBytes ?? 0) > (exclusive?.storedBytes ?? 0), 'its record counts no more');
  const { fh } = await driver.open('a');
  const report = await store.usage({ paths: ['/a'], perPath: false, exclusive: true });
  t.equal(report.total.exclusive?.filesOpen, 1);
  driver.release(fh);
  const missing = store.usage({ paths: ['/a/b'], perPath: false, exclusive: false });
  t.match(await failureIn(missing), { code: 'DEDUPFS_NO_SUCH_PATH' });
  const signal = AbortSignal.abort(new Error('nobody waits'));
  const given = { paths: ['/'], perPath: false, exclusive: false, signal };
  t.match(await failureIn(store.usage(given)), { message: 'nobody waits' });
  await assertStoreClean(t, store);
});

t.test('a set of inodes is like a set of numbers', (t) => {
  const random = new Random(seed + 2);
  const set = new InodeSet();
  const model = new Set<number>();
  for (let step = 0; step < 20_000; step += 1) {
    const base = 32_768 * random.pick([0, 1, 2, 900]);
    const ino = base + random.pick([random.below(200), 32_700 + random.below(68), 64]);
    if (random.oneIn(5)) {
      set.delete(ino);
      model.delete(ino);
    } else if (set.add(ino) === model.has(ino)) {
      t.fail(`${ino} is new only once`);
    } else {
      model.add(ino);
    }
  }
  const sorted = [...model].sort((left, right) => left - right);
  t.strictSame([...set.members()], sorted);
  t.equal(set.count, model.size);
  t.equal(
    set.next(33_000),
    sorted.find((ino) => ino >= 33_000),
  );
  t.notOk(set.has(31 * 32_768));
  t.end();
});

t.test('counts of chunks: what does not fit in memory is left for the next pass', (t) => {
  const random = new Random(seed + 3);
  const added = Array.from({ length: 3000 }, () => ({
    chunk: 1 + random.below(60_000),
    isLeaving: random.oneIn(2),
  }));
  const wanted = new Map<number, number>();
  for (const { chunk, isLeaving } of added) {
    wanted.set(chunk, (wanted.get(chunk) ?? 0) + (isLeaving ? 1 : 0));
  }
  const found = new Map<number, number>();
  let passes = 0;
  for (let from: number | undefined = 0; from !== undefined; passes += 1) {
    const counts: ChunkCounts = new ChunkCounts(from, 3);
    for (const { chunk, isLeaving } of added) counts.add(chunk, isLeaving);
    for (const { base, counters, met } of counts.counted()) {
      const ids = [...counters.keys()].filter((at) => counters[at] !== 0);
      if (ids.length !== met) t.fail(`${met} met, ${ids.length} are there`);
      for (const at of ids) found.set(base + at, leavingOf(counters[at] ?? 0));
    }
    from = counts.end;
  }
  t.strictSame(found, wanted);
  t.ok(passes > 3, `${passes} passes`);
  t.end();
});
