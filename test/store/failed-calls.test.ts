// Goal: whichever call to the disk fails, nothing acknowledged is lost. For lack of room (ENOSPC,
// EDQUOT) the batch is kept and the next commit stores it; any other failure makes the store
// read-only for good, and the next open finds the last commit that was acknowledged.
// Method: the n-th call of each kind fails, for every n of a small workload.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Arena } from '../../lib/blockstore/arena.ts';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { HostSpace } from '../../lib/store/host-space.ts';
import { failureIn } from '../support/faults.ts';
import { assertStoreClean, openAt, type OpenedStore } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

t.setTimeout(600_000);

const MIB = 1024 * 1024;
const ROUNDS = 3;
/** More calls of a kind than the workload makes. */
const CALLS_MAX = 60;

interface Calls {
  made: number;
  failed: number;
  /** Set by the test when the workload is done. */
  isOver: boolean;
}

/** What fails, and how: `at` is the number of the call, counted from 1. */
type Breaker = (t: Test, at: number) => Calls;

/** Replaces a method until the test ends. */
function replace<T extends object, K extends keyof T>(t: Test, owner: T, name: K, method: T[K]) {
  const original = owner[name];
  owner[name] = method;
  t.teardown(() => (owner[name] = original));
}

function eio(): Error {
  return Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
}

function counting(at: number): { calls: Calls; isDue: () => boolean } {
  const calls = { made: 0, failed: 0, isOver: false };
  const isDue = (): boolean => {
    if (calls.isOver) return false;
    calls.made += 1;
    if (calls.made === at) calls.failed += 1;
    return calls.made === at;
  };
  return { calls, isDue };
}

const failPut: Breaker = (t, at) => {
  const { calls, isDue } = counting(at);
  const { put } = Arena.prototype;
  replace(t, Arena.prototype, 'put', async function (this: Arena, packId, bytes) {
    if (isDue()) throw eio();
    return put.call(this, packId, bytes);
  });
  return calls;
};

const failCreate: Breaker = (t, at) => {
  const { calls, isDue } = counting(at);
  const { create } = Arena;
  replace(t, Arena, 'create', (id, path, capacityBytes) => {
    if (isDue()) throw eio();
    return create(id, path, capacityBytes);
  });
  return calls;
};

const failCommit: Breaker = (t, at) => {
  const { calls, isDue } = counting(at);
  const { commit } = MetaDatabase.prototype;
  replace(t, MetaDatabase.prototype, 'commit', function (this: MetaDatabase) {
    if (isDue()) throw eio();
    commit.call(this);
  });
  return calls;
};

const failSync: Breaker = (t, at) => {
  const { calls, isDue } = counting(at);
  const { sync } = MetaDatabase.prototype;
  replace(t, MetaDatabase.prototype, 'sync', async function (this: MetaDatabase) {
    if (isDue()) throw eio();
    await sync.call(this);
  });
  return calls;
};

const failAllocate =
  (errno: number): Breaker =>
  (t, at) => {
    const { calls, isDue } = counting(at);
    const { secure } = HostSpace.prototype;
    replace(t, HostSpace.prototype, 'secure', function (this: HostSpace, bytes, allocate) {
      secure.call(this, bytes, () => (isDue() ? -errno : allocate()));
    });
    return calls;
  };

const EIO = 5;
const ENOSPC = 28;
const EDQUOT = 122;

const fatal: Record<string, Breaker> = {
  'putting a pack': failPut,
  'creating an arena': failCreate,
  COMMIT: failCommit,
  'fdatasync of the WAL': failSync,
  'fallocate, EIO': failAllocate(EIO),
};

const full: Record<string, Breaker> = {
  'fallocate, ENOSPC': failAllocate(ENOSPC),
  'fallocate, EDQUOT': failAllocate(EDQUOT),
};

/** Writes files and commits; what a commit acknowledged is in the result. */
async function work({ store, driver }: OpenedStore, rounds: number): Promise<Map<string, Buffer>> {
  const acknowledged = new Map<string, Buffer>();
  const written = new Map<string, Buffer>();
  for (let round = 0; round < rounds; round += 1) {
    const name = `file-${round}`;
    const content = randomBytesOf(name, 2 * MIB);
    if ((await failureIn(driver.put(name, content))) !== undefined) continue;
    written.set(name, content);
    if ((await failureIn(store.commit())) !== undefined) continue;
    for (const [one, bytes] of written) acknowledged.set(one, bytes);
  }
  return acknowledged;
}

async function assertThere(t: Test, path: string, acknowledged: Map<string, Buffer>) {
  const again = await openAt(t, path);
  for (const [name, content] of acknowledged) {
    t.ok((await again.driver.get(name)).equals(content), `${name} is there`);
  }
  await assertStoreClean(t, again.store);
  await again.store.close();
}

for (const [what, breaker] of Object.entries(fatal)) {
  await t.test(`${what} fails in turn`, async (t) => {
    for (let at = 1; at <= CALLS_MAX; at += 1) {
      const state = { isOver: false };
      await t.test(`call ${at}`, async (t) => {
        const path = join(t.testdir(), 'store');
        const opened = await openAt(t, path);
        const calls = breaker(t, at);
        const acknowledged = await work(opened, ROUNDS);
        calls.isOver = true;
        const isOver = calls.failed === 0;
        state.isOver = isOver;
        const { readOnlyReason } = opened.store.statistics();
        if (!isOver) t.ok(readOnlyReason, `read-only: ${readOnlyReason}`);
        if (!isOver) t.match(await failureIn(opened.store.commit()), { code: 'EROFS' });
        const closing = await failureIn(opened.store.close());
        t.equal(closing === undefined, isOver, 'closing says what is lost');
        await assertThere(t, path, acknowledged);
      });
      if (state.isOver) return t.comment(`${at - 1} calls failed in turn`);
    }
    return t.fail('the workload makes fewer calls');
  });
}

for (const [what, breaker] of Object.entries(full)) {
  await t.test(`${what}, in turn`, async (t) => {
    for (let at = 1; at <= CALLS_MAX; at += 1) {
      const state = { isOver: false };
      await t.test(`call ${at}`, async (t) => {
        const path = join(t.testdir(), 'store');
        const opened = await openAt(t, path);
        const calls = breaker(t, at);
        const acknowledged = await work(opened, ROUNDS);
        calls.isOver = true;
        const isOver = calls.failed === 0;
        state.isOver = isOver;
        t.equal(opened.store.statistics().readOnlyReason, undefined, 'changes are taken');
        await opened.store.commit();
        await opened.store.close();
        await assertThere(t, path, acknowledged);
      });
      if (state.isOver) return t.comment(`${at - 1} calls failed in turn`);
    }
    return t.fail('the workload makes fewer calls');
  });
}
