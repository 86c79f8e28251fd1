// Goal: gc gives space back, moves what is live unharmed, and may crash anywhere. Method: a table
// for the plan; real stores for the rest, copied at each step as a crash would leave them.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BlockStore } from '../../lib/blockstore/block-store.ts';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { planGc } from '../../lib/maintenance/gc-plan.ts';
import { assertStoreClean, copyStore, openAt, openFresh } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;

t.test('the plan removes what is empty, empties what is mostly dead, keeps the rest', (t) => {
  const cases = [
    { hostBytes: 0, live: 0, action: 'keep', why: 'no file' },
    { hostBytes: MIB - 1, live: 0, action: 'keep', why: 'too little to matter' },
    { hostBytes: MIB, live: 0, action: 'remove', why: 'nothing is live' },
    { hostBytes: 100 * MIB, live: 1, action: 'evacuate', why: 'nearly nothing is live' },
    { hostBytes: 100 * MIB, live: 80 * MIB - 1, action: 'evacuate', why: 'below 80 %' },
    { hostBytes: 100 * MIB, live: 80 * MIB, action: 'keep', why: '80 %' },
    { hostBytes: 4 * MIB, live: 3 * MIB + 1, action: 'keep', why: 'dead: less than 1 MiB' },
    { hostBytes: 10 * MIB, live: 20 * MIB, action: 'keep', why: 'more than the file has' },
  ] as const;
  for (const { hostBytes, live, action, why } of cases) {
    const plan = planGc([{ id: 1, bytes: live, live, hostBytes }]);
    t.equal(plan.arenas[0]?.action, action, why);
    const leaves = action !== 'keep';
    t.equal(plan.bytesToMove, leaves ? live : 0);
    t.equal(plan.bytesToFree, leaves ? hostBytes - live : 0);
  }
  const arena = { id: 1, bytes: 0, live: 98 * MIB, hostBytes: 100 * MIB };
  t.equal(planGc([arena], 1).arenas[0]?.action, 'evacuate', 'threshold 1');
  t.equal(planGc([arena], 0).arenas[0]?.action, 'keep', 'threshold 0');
  t.strictSame(planGc([]), { arenas: [], bytesToMove: 0, bytesToFree: 0 });
  t.end();
});

/** Compresses to about half: chunks share frames. */
function textOf(seed: number, bytes: number): Buffer {
  const hex = randomBytesOf(seed, Math.ceil(bytes / 2)).toString('hex');
  return Buffer.from(hex.slice(0, bytes));
}

const KEPT = [0, 7, 12];

/** A store of which most is dead: whole files, and parts of files whose frames live on. */
async function openMostlyDead(t: Test) {
  const opened = await openFresh(t);
  const { store, driver } = opened;
  for (let file = 0; file < 15; file += 1) await driver.put(`${file}`, textOf(file, 3 * MIB));
  await store.commit();
  // Of file 3 only some bytes in its middle stay: their chunks share frames with dead ones.
  const part = await driver.create('part');
  const from = { ino: driver.stat('3').ino, offset: MIB };
  await driver.copy(from, { ino: part.ino, offset: 0 }, 50_000);
  driver.release(part.fh);
  for (let file = 0; file < 15; file += 1) {
    if (!KEPT.includes(file)) await driver.remove(`${file}`);
  }
  await turns();
  await store.commit();
  return opened;
}

async function assertContent(t: Test, { driver }: Awaited<ReturnType<typeof openAt>>) {
  for (const file of KEPT) {
    t.ok((await driver.get(`${file}`)).equals(textOf(file, 3 * MIB)), `file ${file}`);
  }
  const part = textOf(3, 3 * MIB).subarray(MIB, MIB + 50_000);
  t.ok((await driver.get('part')).equals(part), 'the part of file 3');
}

function arenaFiles(path: string): string[] {
  return readdirSync(join(path, 'arenas')).filter((name) => name.endsWith('.mdb'));
}

t.test('a run keeps every file right, and the dead arenas are gone', async (t) => {
  const opened = await openMostlyDead(t);
  const { store, path } = opened;
  const before = store.statistics();
  const filesBefore = arenaFiles(path);
  t.ok(before.deadBytes > 10 * MIB, `${before.deadBytes} bytes are dead`);
  const progress: number[] = [];
  const report = await store.gc({ onProgress: ({ bytesDone }) => progress.push(bytesDone) });
  t.equal(report.arenasRemoved, filesBefore.length);
  t.ok(report.bytesFreed > 10 * MIB, `${report.bytesFreed} bytes`);
  const after = store.statistics();
  t.equal(after.deadBytes, 0);
  t.strictSame([after.chunks, after.uniqueBytes], [before.chunks, before.uniqueBytes]);
  // Dead neighbours are gone from the frames: their share was only an estimate.
  t.ok(after.storedBytes < before.storedBytes * 1.05, `${after.storedBytes} bytes stored`);
  t.equal(report.bytesMoved, after.storedBytes);
  t.strictSame(progress, progress.toSorted((a, b) => a - b)); // prettier-ignore
  t.notOk(
    arenaFiles(path).some((name) => filesBefore.includes(name)),
    'old arenas are gone',
  );
  await assertContent(t, opened);
  await assertStoreClean(t, store);
  await store.close();
  const again = await openAt(t, path);
  await assertContent(t, again);
  t.equal((await again.store.gc()).arenasRemoved, 0, 'a second run finds nothing to do');
  await assertStoreClean(t, again.store);
});

t.test('files written while gc runs are right, and removed ones stay removed', async (t) => {
  const opened = await openMostlyDead(t);
  const { store, driver } = opened;
  const run = store.gc();
  await driver.put('new', textOf(100, 2 * MIB));
  // The same content as a file that gc is about to leave behind, and as one that it moves.
  await driver.put('returned', textOf(5, 3 * MIB));
  await driver.put('again', textOf(7, 3 * MIB));
  await driver.put('gone', textOf(101, MIB));
  await driver.remove('gone');
  await run;
  await assertContent(t, opened);
  t.ok((await driver.get('new')).equals(textOf(100, 2 * MIB)));
  t.ok((await driver.get('returned')).equals(textOf(5, 3 * MIB)));
  t.ok((await driver.get('again')).equals(textOf(7, 3 * MIB)));
  await assertStoreClean(t, store);
});

/** Copies the store whenever gc has made something durable or is about to remove a file. */
function copyAtEachStep(t: Test, path: string): { steps: string[]; stop(): void } {
  const steps: string[] = [];
  const copy = (what: string): void => {
    steps.push(copyStore(path, `${path} ${steps.length} ${what}`));
  };
  const { sync, commit } = MetaDatabase.prototype;
  const { remove } = BlockStore.prototype;
  MetaDatabase.prototype.commit = function (this: MetaDatabase) {
    copy('before a commit');
    commit.call(this);
    copy('after a commit');
  };
  MetaDatabase.prototype.sync = async function (this: MetaDatabase) {
    await sync.call(this);
    copy('after a sync');
  };
  BlockStore.prototype.remove = async function (this: BlockStore, arena: number) {
    copy('before a removal');
    await remove.call(this, arena);
    copy('after a removal');
  };
  const stop = (): void => {
    MetaDatabase.prototype.commit = commit;
    MetaDatabase.prototype.sync = sync;
    BlockStore.prototype.remove = remove;
  };
  t.teardown(stop);
  return { steps, stop };
}

t.test('a crash at any step of gc leaves a store that opens clean', async (t) => {
  const { store, path } = await openMostlyDead(t);
  const { steps, stop } = copyAtEachStep(t, path);
  await store.gc();
  stop();
  t.ok(steps.length > 8, `${steps.length} steps`);
  for (const step of steps) {
    t.comment(step.slice(path.length));
    const crashed = await openAt(t, step);
    await assertContent(t, crashed);
    await assertStoreClean(t, crashed.store);
    await crashed.store.gc();
    await assertContent(t, crashed);
    await assertStoreClean(t, crashed.store);
    await crashed.store.close();
  }
});

/** Reclaiming takes turns of the event loop. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
