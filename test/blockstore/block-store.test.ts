// Goal: packs come back from whichever arena they went to, and a damaged or absent arena is told,
// never made anew. Method: real LMDB files of tiny capacity.

import { existsSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BlockStore, type ArenaAllocator } from '../../lib/blockstore/block-store.ts';
import { silentLog } from '../../lib/log.ts';
import { randomBytesOf } from '../support/random.ts';

const KIB = 1024;
const CORRUPT = { code: 'DEDUPFS_CORRUPT' };

class Allocator implements ArenaAllocator {
  next = 1;
  readonly begun: [id: number, sealed: number | undefined][] = [];

  nextArena(): number {
    this.next += 1;
    return this.next - 1;
  }

  arenaBegun(id: number, sealed: number | undefined): void {
    this.begun.push([id, sealed]);
  }
}

function openIn(t: Test, folder: string, arenaBytesMax = 256 * KIB) {
  const store = new BlockStore(folder, { arenaBytesMax, log: silentLog() });
  const allocator = new Allocator();
  store.useAllocator(allocator);
  t.teardown(async () => store.close());
  return { store, allocator };
}

/** Puts a pack where the store wants it, and says where. */
async function put(store: BlockStore, packId: number, bytes = 60 * KIB): Promise<number> {
  const arena = store.arenaFor(bytes);
  await store.put(arena, packId, randomBytesOf(packId, bytes));
  return arena;
}

/** Whether the arena has the pack as it was put. */
function holds(store: BlockStore, arena: number, packId: number, bytes = 60 * KIB): boolean {
  // lmdb gives its whole scratch buffer with a `length` of its own; only subarray goes by that.
  return store.read(arena, packId).subarray(0).equals(randomBytesOf(packId, bytes));
}

/** Open descriptors of files below a folder. */
function openFiles(folder: string): number {
  const links = readdirSync('/proc/self/fd');
  return links.filter((fd) => {
    const stats = statSync(`/proc/self/fd/${fd}`, { throwIfNoEntry: false });
    return stats !== undefined && inodesIn(folder).has(`${stats.dev}:${stats.ino}`);
  }).length;
}

function inodesIn(folder: string): Set<string> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.mdb'));
  return new Set(
    names.map((name) => {
      const stats = statSync(join(folder, name));
      return `${stats.dev}:${stats.ino}`;
    }),
  );
}

t.test('packs fill one arena after the other, and the allocator is told', async (t) => {
  const { store, allocator } = openIn(t, join(t.testdir(), 'arenas'));
  const arenas: number[] = [];
  for (let packId = 1; packId <= 10; packId += 1) arenas.push(await put(store, packId));
  t.strictSame(arenas, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]);
  t.strictSame(allocator.begun, [
    [1, undefined],
    [2, 1],
    [3, 2],
  ]);
  t.strictSame(store.arenaIds(), [1, 2, 3]);
  t.equal(store.currentArena, 3);
  for (const [index, arena] of arenas.entries()) {
    t.ok(holds(store, arena, index + 1, 60 * KIB));
  }
  t.strictSame([...store.arena(2).packIds()], [5, 6, 7, 8]);
  t.strictSame([...store.arena(2).packIds(7)], [7, 8]);
  t.throws(() => store.read(1, 5), CORRUPT, 'pack 5 is not in arena 1');
});

t.test('a reopened store resumes its current arena and knows how full it is', async (t) => {
  const folder = join(t.testdir(), 'arenas');
  const first = openIn(t, folder);
  for (let packId = 1; packId <= 6; packId += 1) await put(first.store, packId);
  await first.store.close();
  const { store, allocator } = openIn(t, folder);
  allocator.next = 3;
  store.resume(2);
  t.equal(store.currentArena, 2);
  const arenas: number[] = [];
  for (let packId = 7; packId <= 10; packId += 1) arenas.push(await put(store, packId));
  t.strictSame(new Set(arenas), new Set([2, 3]));
  t.strictSame(allocator.begun, [[3, 2]]);
  for (const [packId, arena] of [
    [1, 1],
    [6, 2],
  ] as const) /* prettier-ignore */ {
    t.ok(holds(store, arena, packId, 60 * KIB));
  }
});

t.test('pack ids beyond 32 bits are told apart and listed in order', async (t) => {
  const { store } = openIn(t, join(t.testdir(), 'arenas'));
  const ids = [1, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 2 ** 40];
  for (const packId of ids.toReversed()) await put(store, packId, 100);
  t.strictSame([...store.arena(1).packIds()], ids);
  for (const packId of ids) t.ok(holds(store, 1, packId, 100));
  await store.arena(1).remove([0xffff_ffff, 2 ** 40]);
  t.strictSame([...store.arena(1).packIds()], [1, 0x1_0000_0000, 0x1_0000_0001]);
});

t.test('a removed arena is gone from the disk, the others stay', async (t) => {
  const folder = join(t.testdir(), 'arenas');
  const { store } = openIn(t, folder);
  for (let packId = 1; packId <= 9; packId += 1) await put(store, packId);
  await store.remove(1);
  t.strictSame(readdirSync(folder).filter((name) => name.startsWith('a000001')), []); // prettier-ignore
  t.equal(store.arenaBytes(1), 0);
  t.ok(store.arenaBytes(2) >= 240 * KIB);
  t.throws(() => store.read(1, 1), CORRUPT);
  t.notOk(existsSync(store.path(1)), 'the failed read has not created it');
  t.ok(holds(store, 2, 5, 60 * KIB));
  await t.rejects(store.remove(3), /sealed/, 'packs still go to the current one');
  store.seal();
  t.equal(store.currentArena, undefined);
  await store.remove(3);
  t.strictSame(store.arenaIds(), [2]);
  t.equal(await put(store, 20), 4, 'the next pack begins an arena');
});

const damages: { what: string; damage(path: string): void }[] = [
  { what: 'missing', damage: (path) => rmSync(path) },
  { what: 'empty', damage: (path) => truncateSync(path, 0) },
  { what: 'cut off behind its meta pages', damage: (path) => truncateSync(path, 8192) },
  { what: 'not an LMDB file', damage: (path) => writeFileSync(path, Buffer.alloc(300 * KIB, 7)) },
];

for (const { what, damage } of damages) {
  t.test(`an arena that is ${what} is a CorruptionError, not a new file`, async (t) => {
    const folder = join(t.testdir(), 'arenas');
    const first = openIn(t, folder);
    await put(first.store, 1);
    await put(first.store, 2);
    await first.store.close();
    const { store } = openIn(t, folder);
    const path = store.path(1);
    damage(path);
    const before = statSync(path, { throwIfNoEntry: false })?.size;
    t.throws(() => store.read(1, 1), CORRUPT);
    t.throws(() => store.resume(1), CORRUPT);
    t.equal(statSync(path, { throwIfNoEntry: false })?.size, before, 'the file is left alone');
  });
}

t.test(
  'of an arena without its last pages what is left can be read, and nothing put',
  async (t) => {
    const folder = join(t.testdir(), 'arenas');
    const first = openIn(t, folder);
    for (const packId of [1, 2]) await put(first.store, packId);
    await first.store.close();
    const { store } = openIn(t, folder);
    truncateSync(store.path(1), statSync(store.path(1)).size - 3 * 4096);
    t.ok(holds(store, 1, 1), 'it ends with pack 2 and a free page');
    t.throws(() => store.read(1, 2), CORRUPT);
    t.throws(() => store.resume(1), CORRUPT);
  },
);

t.test('an arena that exists already is not begun again', (t) => {
  const folder = join(t.testdir(), 'arenas');
  const { store } = openIn(t, folder);
  writeFileSync(store.path(1), '');
  t.throws(() => store.arenaFor(100), /arena 1 is new/);
  t.end();
});

t.test('of 70 arenas no more than 64 are open, and each can be read again', async (t) => {
  const folder = join(t.testdir(), 'arenas');
  const { store } = openIn(t, folder, 8 * KIB);
  for (let packId = 1; packId <= 70; packId += 1) t.equal(await put(store, packId, 6000), packId);
  await new Promise((resolve) => setImmediate(resolve));
  t.ok(openFiles(folder) <= 64 * 3, `${openFiles(folder)} descriptors`);
  for (const packId of [1, 2, 3, 70, 69, 1, 35, 4]) {
    t.ok(holds(store, packId, packId, 6000), `arena ${packId}`);
  }
  t.equal(store.currentArena, 70);
});

t.test('a put on its way is durable, though 70 other arenas are read meanwhile', async (t) => {
  const { store } = openIn(t, join(t.testdir(), 'arenas'), 8 * KIB);
  for (let packId = 1; packId <= 70; packId += 1) await put(store, packId, 6000);
  const arena = store.arenaFor(6000);
  const done = store.put(arena, 71, randomBytesOf(71, 6000));
  store.seal();
  for (let packId = 1; packId <= 70; packId += 1) store.read(packId, packId);
  await done;
  t.ok(holds(store, arena, 71, 6000));
});
