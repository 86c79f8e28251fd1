// Goal: a disk that fails under an arena is an error of the call that met it, told once, with its cause:
// nothing of it ends the process as an unhandled rejection. Method: a block store on the lossy disk.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { BlockStore } from '../../lib/blockstore/block-store.ts';
import { silentLog } from '../../lib/log.ts';
import { requireRoot } from '../support/commands.ts';
import type { FaultRule } from '../support/lossy-disk-faults.ts';
import { LossyDisk } from '../support/lossy-disk.ts';
import { randomBytesOf } from '../support/random.ts';

t.setTimeout(300_000);
requireRoot();

const MIB = 1024 * 1024;
const PACK_BYTES = 300 * 1024;
/** Rejections that nobody handles are told after the turn in which they happen. */
const UNHANDLED_AFTER_MS = 500;
const RETRY_MS_MAX = 20_000;

const unhandled: unknown[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));

async function setUp(t: Test): Promise<{ store: BlockStore; disk: LossyDisk }> {
  const directory = mkdtempSync(join(tmpdir(), 'dedupfs-failing-disk-'));
  const mountpoint = join(directory, 'disk');
  mkdirSync(mountpoint);
  const folder = join(directory, 'folder');
  const options = { folder, mountpoint, seed: 1, bytesMax: 64 * MIB, syncMsMax: 0 };
  const disk = await LossyDisk.start(options);
  const log = silentLog();
  const store = new BlockStore(join(mountpoint, 'arenas'), { arenaBytesMax: 32 * MIB, log });
  t.teardown(async () => {
    await disk.heal();
    await store.close();
    await disk.close();
    rmSync(directory, { recursive: true, force: true });
  });
  store.useAllocator({ nextArena: () => 1, arenaBegun: () => undefined });
  return { store, disk };
}

async function put(store: BlockStore, packId: number): Promise<void> {
  await store.put(store.arenaFor(PACK_BYTES), packId, randomBytesOf(packId, PACK_BYTES));
}

const failures: Record<string, FaultRule> = {
  'each sync': { operation: 'sync', errno: 'EIO', times: 'forever' },
  'one sync': { operation: 'sync', errno: 'EIO' },
  'each write': { operation: 'write', errno: 'EIO', times: 'forever' },
  'one write': { operation: 'write', errno: 'EIO' },
};

for (const [what, rule] of Object.entries(failures)) {
  await t.test(`${what} fails`, async (t) => {
    const { store, disk } = await setUp(t);
    for (const packId of [1, 2]) await put(store, packId);
    await disk.fail(rule);
    const settled = await Promise.allSettled([put(store, 3), put(store, 4)]);
    const causes = settled.map((outcome) =>
      outcome.status === 'rejected' ? String((outcome.reason as Error).cause) : 'none',
    );
    t.match(causes[0], /Input\/output error/, 'the first put tells why');
    await disk.heal();
    await delay(UNHANDLED_AFTER_MS);
    t.same(unhandled.splice(0), [], 'each failure was handled');
    t.ok(store.read(1, 2).equals(randomBytesOf(2, PACK_BYTES)), 'what was put before is there');
  });
}

for (const after of [0, 1]) {
  await t.test(
    `write ${after} of a put has no room, and the same put is tried again`,
    async (t) => {
      const { store, disk } = await setUp(t);
      for (const packId of [1, 2]) await put(store, packId);
      await disk.fail({ operation: 'write', errno: 'ENOSPC', after });
      const outcomes = await Promise.allSettled([put(store, 3), put(store, 4)]);
      const refused = [3, 4].filter((_, index) => outcomes[index]?.status === 'rejected');
      t.ok(refused.length > 0);
      const retries = Promise.all(refused.map((packId) => put(store, packId)));
      const answered = await Promise.race([retries.then(() => true), delay(RETRY_MS_MAX)]);
      t.ok(answered, 'it is answered');
      for (const packId of [1, 2, 3, 4]) {
        t.ok(store.read(1, packId).equals(randomBytesOf(packId, PACK_BYTES)), `pack ${packId}`);
      }
    },
  );
}

await t.test('a sync fails while packs are removed', async (t) => {
  const { store, disk } = await setUp(t);
  for (const packId of [1, 2, 3]) await put(store, packId);
  await disk.fail({ operation: 'sync', errno: 'EIO' });
  const removing = store.arena(1).remove([2, 3]);
  await t.rejects(removing, { cause: { message: /Input\/output error/ } }, 'it tells why');
  await disk.heal();
  await delay(UNHANDLED_AFTER_MS);
  t.same(unhandled.splice(0), [], 'each failure was handled');
});
