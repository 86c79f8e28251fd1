// Goal: deleting data gives the space back on the host's disk while the store stays mounted (G4).
// Method: store many random files, delete 90 % of the bytes, and watch the allocated blocks of the
// store's files until they are under 1.3 times the live data; then read the rest.
//
// Run all of it: DEDUPFS_FULL=1 node dist/test/acceptance/space.test.js         (2 GB, not 400 MB)

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { eventually, failureOf, requireRoot } from '../support/commands.ts';
import { dedupfs } from '../support/commands-dedupfs.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { Random, printedSeed } from '../support/random.ts';
import { MB, allocatedBytes, formatMB, heldBytesOf, scaled } from '../support/sizes.ts';
import {
  checksumList,
  totalBytesOf,
  writeRandomFiles,
  type RandomFile,
} from '../support/trees-files.ts';

t.setTimeout(1_800_000);
requireRoot();

const STORED_BYTES = scaled({ short: 400 * MB, full: 2000 * MB });
const LIVE_RATIO_MAX = 1.3;
const BACKGROUND_TIMEOUT_MS = scaled({ short: 120_000, full: 600_000 });
const seed = printedSeed(t);

await t.test('dedupfs gc gives the space back on demand', async (t) => {
  const { store, kept } = await storeWithDeletedFiles(t);
  const plan = await dedupfs(['gc', store.mountpoint, '--dry-run', '--json']);
  t.equal(plan.code, 0, failureOf(plan).slice(0, 500));
  t.doesNotThrow(() => void JSON.parse(plan.stdout), 'gc --dry-run --json prints JSON');
  const collected = await dedupfs(['gc', store.mountpoint, '--json'], { timeoutMs: 600_000 });
  t.equal(collected.code, 0, failureOf(collected).slice(0, 500));
  t.doesNotThrow(() => void JSON.parse(collected.stdout), 'gc --json prints JSON');
  assertSmall(t, store, kept);
  await assertKept(t, store, kept);
});

await t.test('the daemon gives the space back by itself', async (t) => {
  const { store, kept } = await storeWithDeletedFiles(t);
  const elapsedMs = await eventually(
    `${formatMB(allocatedBytes(store.store))} shrink to 1.3 x ${formatMB(totalBytesOf(kept))}`,
    () => occupiedBytes(store) < LIVE_RATIO_MAX * totalBytesOf(kept),
    { timeoutMs: BACKGROUND_TIMEOUT_MS, intervalMs: 200 },
  );
  t.comment(`the space was back after ${(elapsedMs / 1000).toFixed(1)} s`);
  assertSmall(t, store, kept);
  await assertKept(t, store, kept);
});

interface DeletedStore {
  readonly store: MountedStore;
  readonly kept: readonly RandomFile[];
}

/** A mounted store where nine of ten bytes have been deleted, all over the place. */
async function storeWithDeletedFiles(t: Test): Promise<DeletedStore> {
  const store = await MountedStore.mounted(t);
  const source = join(store.directory, 'source');
  const files = writeRandomFiles(source, { seed, bytesTotal: STORED_BYTES });
  await store.mustRun('cp', ['-r', source, store.path('files')]);
  // fsync of a directory: the kernel does not pass syncfs(2) on to FUSE.
  await store.mustRun('sync', [store.mountpoint]);
  rmSync(source, { recursive: true });
  const stored = allocatedBytes(store.store);
  t.ok(stored > STORED_BYTES, `${files.length} files are stored in ${formatMB(stored)}`);

  const kept = chooseKept(files);
  const deleted = files.filter((file) => !kept.includes(file)).map((file) => file.name);
  await store.mustRun('xargs', ['rm'], { cwd: store.path('files'), input: deleted.join('\n') });
  t.comment(`${kept.length} files are left, ${formatMB(totalBytesOf(kept))}`);
  return { store, kept };
}

/** A tenth of the bytes, in files of all sizes and ages. */
function chooseKept(files: readonly RandomFile[]): RandomFile[] {
  const random = new Random(seed);
  const kept: RandomFile[] = [];
  const candidates = [...files];
  while (totalBytesOf(kept) < totalBytesOf(files) / 10) {
    kept.push(...candidates.splice(random.below(candidates.length), 1));
  }
  return kept;
}

/** Bytes on the host's disk, with those of removed files that the daemon still keeps open. */
function occupiedBytes(store: MountedStore): number {
  return allocatedBytes(store.store) + heldBytesOf(store.daemonPid, store.store);
}

function assertSmall(t: Test, store: MountedStore, kept: readonly RandomFile[]): void {
  const ratio = occupiedBytes(store) / totalBytesOf(kept);
  t.ok(ratio < LIVE_RATIO_MAX, `the store takes ${ratio.toFixed(3)} times the live data`);
}

async function assertKept(t: Test, store: MountedStore, kept: readonly RandomFile[]) {
  const check = { cwd: store.path('files'), input: checksumList(kept) };
  await store.mustRun('sha256sum', ['-c', '--quiet'], check);
  await store.remount();
  await store.mustRun('sha256sum', ['-c', '--quiet'], check);
  const names = await store.mustRun('ls', [store.path('files')]);
  t.equal(names.stdout.trim().split('\n').length, kept.length, 'the deleted files stay away');
  await store.finish();
}
