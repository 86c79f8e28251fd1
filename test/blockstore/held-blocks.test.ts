// Goal: before LMDB writes a pack the arena's file has blocks for it, those of many packs are asked for in
// a few calls, and what was not written is given back. Method: real arenas, a host room that counts, and
// a small disk that is filled in between.

import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ArenaPages } from '../../lib/blockstore/arena-pages.ts';
import { Arena } from '../../lib/blockstore/arena.ts';
import { BlockStore } from '../../lib/blockstore/block-store.ts';
import { AHEAD_BYTES_MAX } from '../../lib/blockstore/held-blocks.ts';
import { NoSpaceError } from '../../lib/errors.ts';
import { allocateBehindEnd, isFull, type HostRoom } from '../../lib/host-room.ts';
import { silentLog } from '../../lib/log.ts';
import { planGc } from '../../lib/maintenance/gc-plan.ts';
import { flipByte } from '../support/damage.ts';
import { failureIn, mountSmallDisk } from '../support/faults.ts';
import { randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;
const PAGE_BYTES = 4096;
const PACK_BYTES = 500 * 1024;
/** A pack's pages, the margin for LMDB's own, and what a file system rounds up to. */
const ONE_PACK_BYTES_MAX = PACK_BYTES + 200 * 1024;
/** The largest block of a file system that tests run on. */
const ROUNDING_BYTES = 64 * 1024;

class CountingRoom implements HostRoom {
  readonly isRoomy = true;
  hasSpare = true;
  /** Calls that gave blocks, or found none. */
  calls = 0;

  hasRoomToSpare(): boolean {
    return this.hasSpare;
  }

  secure(bytes: number, allocate: () => number): void {
    this.calls += 1;
    const result = allocate();
    if (isFull(result)) throw new NoSpaceError(`no room for ${bytes} bytes`);
    if (result < 0) throw new Error(`errno ${-result}`);
  }
}

function openIn(t: Test, folder: string, arenaBytesMax = 256 * MIB) {
  const room = new CountingRoom();
  const store = new BlockStore(folder, { arenaBytesMax, log: silentLog(), room });
  let next = 1;
  store.useAllocator({ nextArena: () => next++, arenaBegun: () => undefined });
  t.teardown(async () => store.close());
  return { store, room };
}

async function put(store: BlockStore, packId: number): Promise<number> {
  const arena = store.arenaFor(PACK_BYTES);
  await store.put(arena, packId, randomBytesOf(packId, PACK_BYTES));
  return arena;
}

/** Bytes that a file occupies behind its end. */
function heldBytes(path: string): number {
  const { size, blocks } = statSync(path);
  return Math.max(0, blocks * 512 - size - ROUNDING_BYTES);
}

t.test('many packs ask for blocks a few times, and a rest gives back the others', async (t) => {
  const { store, room } = openIn(t, join(t.testdir(), 'arenas'));
  const ids = Array.from({ length: 64 }, (_, index) => index + 1);
  let heldMost = 0;
  for (const packId of ids) {
    await put(store, packId);
    heldMost = Math.max(heldMost, heldBytes(store.path(1)));
  }
  t.ok(room.calls < 16, `${room.calls} calls`);
  t.ok(heldMost > 2 * MIB, `${heldMost} bytes were held`);
  t.ok(heldMost < AHEAD_BYTES_MAX + MIB);
  store.rest();
  t.equal(heldBytes(store.path(1)), 0);
  for (const packId of ids) {
    t.ok(store.read(1, packId).equals(randomBytesOf(packId, PACK_BYTES)), `pack ${packId}`);
  }
});

t.test('packs that are put at once are held for together', async (t) => {
  const { store, room } = openIn(t, join(t.testdir(), 'arenas'));
  const ids = Array.from({ length: 24 }, (_, index) => index + 1);
  const puts = ids.map(async (packId) => put(store, packId));
  t.ok(statSync(store.path(1)).blocks * 512 >= ids.length * PACK_BYTES, 'before they are written');
  store.rest();
  t.ok(statSync(store.path(1)).blocks * 512 >= ids.length * PACK_BYTES, 'no rest meanwhile');
  t.ok(room.calls < 10, `${room.calls} calls`);
  await Promise.all(puts);
  store.rest();
  t.equal(heldBytes(store.path(1)), 0);
  for (const packId of ids) {
    t.ok(store.read(1, packId).equals(randomBytesOf(packId, PACK_BYTES)), `pack ${packId}`);
  }
});

t.test('a pack that comes alone holds no blocks for others', async (t) => {
  const { store } = openIn(t, join(t.testdir(), 'arenas'));
  for (const packId of [1, 2, 3]) {
    const putting = put(store, packId);
    const { size, blocks } = statSync(store.path(1));
    t.ok(blocks * 512 - size < ONE_PACK_BYTES_MAX, `${blocks * 512 - size} bytes`);
    await putting;
    store.rest();
    t.equal(heldBytes(store.path(1)), 0);
  }
});

t.test('where room is short each pack asks for its own', async (t) => {
  const { store, room } = openIn(t, join(t.testdir(), 'arenas'));
  room.hasSpare = false;
  let heldMost = 0;
  for (let packId = 1; packId <= 20; packId += 1) {
    await put(store, packId);
    heldMost = Math.max(heldMost, heldBytes(store.path(1)));
  }
  t.ok(room.calls >= 20);
  t.ok(heldMost < ONE_PACK_BYTES_MAX, `${heldMost} bytes`);
});

t.test('held blocks are no dead data: gc leaves the arena alone', async (t) => {
  const { store } = openIn(t, join(t.testdir(), 'arenas'));
  let heldMost = 0;
  for (let packId = 1; packId <= 20; packId += 1) {
    await put(store, packId);
    heldMost = Math.max(heldMost, heldBytes(store.path(1)));
    const live = packId * PACK_BYTES;
    const plan = planGc([{ id: 1, bytes: live, live, hostBytes: store.arenaBytes(1) }]);
    t.equal(plan.arenas[0]?.action, 'keep', `${packId} packs`);
  }
  t.ok(heldMost > 2 * MIB, `${heldMost} bytes were held`);
});

t.test('a full arena gives back by itself', async (t) => {
  const { store } = openIn(t, join(t.testdir(), 'arenas'), 10 * MIB);
  const arenas = await Promise.all(
    Array.from({ length: 30 }, async (_, index) => put(store, index + 1)),
  );
  const last = Math.max(...arenas);
  t.equal(store.currentArena, last);
  for (const arena of new Set(arenas)) {
    if (arena !== last) t.equal(heldBytes(store.path(arena)), 0, `arena ${arena}`);
  }
  for (const [index, arena] of arenas.entries()) {
    t.ok(store.read(arena, index + 1).equals(randomBytesOf(index + 1, PACK_BYTES)));
  }
});

t.test('a disk that is filled while blocks are held', async (t) => {
  const disk = mountSmallDisk(t, 40);
  if (disk === undefined) {
    t.pass('only root can mount a small disk');
    return;
  }
  const { store } = openIn(t, join(disk, 'arenas'));
  for (let packId = 1; packId <= 12; packId += 1) await put(store, packId);
  const held = heldBytes(store.path(1));
  t.ok(held > MIB, `${held} bytes are held`);
  fill(disk, 'filler');
  let packId = 13;
  let failure: unknown;
  for (; failure === undefined && packId < 100; packId += 1) {
    failure = await failureIn(put(store, packId));
  }
  t.match(failure, { code: 'DEDUPFS_NO_SPACE' });
  const stored = packId - 2;
  t.ok(stored > 12 + Math.floor(held / ONE_PACK_BYTES_MAX) - 2, 'what was held is used');
  const before = statSync(store.path(1)).blocks;
  store.rest();
  t.equal(heldBytes(store.path(1)), 0, 'what the failed put could not use is given back');
  t.comment(`${before - statSync(store.path(1)).blocks} sectors given back`);
  rmSync(join(disk, 'filler'));
  await put(store, 200);
  for (const one of [1, stored, 200]) {
    t.ok(store.read(1, one).equals(randomBytesOf(one, PACK_BYTES)), `pack ${one}`);
  }
});

/** To the last byte. */
function fill(disk: string, name: string): void {
  for (let bytes = 4 * MIB; bytes >= 4096; bytes /= 2) {
    try {
      for (;;) writeFileSync(join(disk, name), Buffer.alloc(bytes, 1), { flag: 'a' });
    } catch {
      // The last piece may be there in part.
    }
  }
}

t.test('closing gives back what a put that never came was to use', async (t) => {
  const { store, room } = openIn(t, join(t.testdir(), 'arenas'));
  await put(store, 1);
  store.arena(1).secure(6 * MIB, room);
  t.ok(heldBytes(store.path(1)) > 5 * MIB);
  await store.close();
  t.equal(heldBytes(store.path(1)), 0);
});

t.test('after a kill the next mount gives back', async (t) => {
  const folder = join(t.testdir(), 'arenas');
  const first = openIn(t, folder).store;
  await put(first, 1);
  await first.close();
  t.equal(allocateBehindEnd(first.path(1), 6 * MIB), 0);
  t.ok(heldBytes(first.path(1)) > 5 * MIB);
  const { store } = openIn(t, folder);
  store.resume(1);
  t.equal(heldBytes(store.path(1)), 0);
  await put(store, 2);
  for (const packId of [1, 2]) {
    t.ok(store.read(1, packId).equals(randomBytesOf(packId, PACK_BYTES)), `pack ${packId}`);
  }
});

t.test('after a put that failed they are kept for the next one, and given back then', async (t) => {
  const path = join(t.testdir(), 'a000001.mdb');
  const room = new CountingRoom();
  const arena = Arena.create(1, path, MIB, room);
  await arena.put(1, randomBytesOf(1, PACK_BYTES));
  arena.secure(6 * MIB, room);
  const { openToWrite } = arena;
  arena.openToWrite = () => {
    arena.openToWrite = openToWrite;
    throw new Error('EIO');
  };
  t.match(await failureIn(arena.put(2, randomBytesOf(2, PACK_BYTES))), { message: /writing to/ });
  arena.rest();
  t.ok(heldBytes(path) > 5 * MIB, 'kept');
  const { calls } = room;
  arena.secure(PACK_BYTES, room);
  t.equal(room.calls, calls, 'nobody is asked again');
  await arena.put(3, randomBytesOf(3, PACK_BYTES));
  arena.rest();
  t.equal(heldBytes(path), 0, 'given back');
  t.ok(arena.get(3).equals(randomBytesOf(3, PACK_BYTES)));
  await arena.close();
});

t.test('one descriptor is enough for all packs of an arena', async (t) => {
  const { store } = openIn(t, join(t.testdir(), 'arenas'));
  await put(store, 1);
  const before = readdirSync('/proc/self/fd').length;
  for (let packId = 2; packId <= 10; packId += 1) await put(store, packId);
  t.equal(readdirSync('/proc/self/fd').length, before);
  await store.close();
  t.ok(readdirSync('/proc/self/fd').length < before, 'it is closed with the arena');
});

t.test('after a rest the tree is looked at again', async (t) => {
  const { store } = openIn(t, join(t.testdir(), 'arenas'));
  for (const packId of [1, 2, 3]) await put(store, packId);
  const pages = new ArenaPages(store.path(1));
  const root = pages.newestMeta().main.root ?? 0;
  pages.close();
  flipByte(store.path(1), root * PAGE_BYTES);
  t.equal(store.arenaFor(PACK_BYTES), 1, 'not before');
  store.rest();
  t.equal(await put(store, 4), 2, 'a damaged arena takes no more packs');
  t.ok(store.read(2, 4).equals(randomBytesOf(4, PACK_BYTES)));
});
