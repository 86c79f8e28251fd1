// Goal: a full disk costs nothing but the writes that are refused (G3). They are refused by write()
// or mkdir(), never after close; what was accepted becomes durable and stays right; at 100 % full,
// with the last byte taken by another program, rm and gc work, and give the room back; the store can
// be unmounted and mounted full; fsck finds nothing.
// Method: a store on an ext4 of 256 MiB in a loop device, filled to ENOSPC and emptied in cycles:
// with data or with names alone, the disk filled by us or to the last byte by another program, the
// same daemon going on or a new one mounting the full store, gc on demand or by itself.
//
// Run 50 cycles: DEDUPFS_CYCLES=50 node dist/test/acceptance/full-disk.test.js       (or --cycles 50)

import t, { type Test } from 'tap';
import { eventually, failureOf, requireRoot } from '../support/commands.ts';
import { dedupfs, supportScript } from '../support/commands-dedupfs.ts';
import type { FillReport } from '../support/fill-worker.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { printedSeed } from '../support/random.ts';
import { allocatedBytes, formatMB, MB, scaled } from '../support/sizes.ts';
import { SmallDisk } from '../support/small-disk.ts';

t.setTimeout(3_600_000);
requireRoot();

const DISK_MEBIBYTES = 256;
/** Left for a cycle of names: with all of the disk it would be one of minutes. */
const NAMES_BYTES = scaled({ short: 16, full: 64 }) * MB;
const FILL_TIMEOUT_MS = scaled({ short: 240_000, full: 1_200_000 });
/** One file in so many survives the deletion. */
const KEPT_ONE_IN = 7;
/** The room is given back within this time, by a daemon that is not asked. */
const BACKGROUND_TIMEOUT_MS = 180_000;
/** Of what df promised, this much of random data must go in: a name that finds no room ends it earlier. */
const PROMISE_KEPT = { min: 0.85, max: 1.05 };

const seed = printedSeed(t);
const cycles = cyclesWanted();

function cyclesWanted(): number {
  const at = process.argv.indexOf('--cycles');
  const given = at < 0 ? process.env['DEDUPFS_CYCLES'] : process.argv[at + 1];
  return given === undefined ? scaled({ short: 5, full: 50 }) : Number(given);
}

await t.test(`${cycles} times filled and emptied`, async (t) => {
  const disk = await SmallDisk.mounted(t, DISK_MEBIBYTES);
  const store = MountedStore.create(t, `${disk.path}/store`);
  await store.mount();
  const elapsed: number[] = [];
  for (let cycle = 0; cycle < cycles; cycle += 1) {
    const startedMs = performance.now();
    await runCycle(t, { store, disk, cycle });
    elapsed.push(performance.now() - startedMs);
  }
  await store.umount();
  const mean = elapsed.reduce((sum, ms) => sum + ms, 0) / cycles / 1000;
  t.comment(`${cycles} cycles on ${DISK_MEBIBYTES} MiB, ${mean.toFixed(1)} s each on average`);
});

interface Cycle {
  readonly store: MountedStore;
  readonly disk: SmallDisk;
  readonly cycle: number;
}

async function runCycle(t: Test, { store, disk, cycle }: Cycle): Promise<void> {
  const kind = cycle % 5 === 3 ? 'names' : 'data';
  const isFilledByOther = cycle % 2 === 0;
  const isRemounted = cycle % 3 === 1;
  const isCollectedByItself = cycle % 3 === 2;
  const folder = store.path(`cycle-${cycle}`);
  if (kind === 'names') disk.fill(NAMES_BYTES);
  // What the last cycle has left is given back before df is asked.
  await collect(t, store);
  const promised = await availableBytes(store);
  const report = await fill(store, folder, { kind, cycle });
  assertRefused(t, report, `cycle ${cycle}, ${kind}`);
  if (kind === 'data') await assertPromiseKept(t, store, folder, promised);
  if (isFilledByOther) {
    disk.fill();
    t.equal(disk.freeBytes, 0, 'another program has taken the last byte');
  }
  if (isRemounted) await store.remount();
  await assertRight(t, store, folder, report.files);

  const kept = report.files.filter((_, index) => index % KEPT_ONE_IN === 0);
  const gone = report.files.filter((_, index) => index % KEPT_ONE_IN !== 0);
  await remove(store, folder, gone);
  await store.mustRun('sync', [store.mountpoint]);
  if (!isCollectedByItself) await collect(t, store);
  disk.empty();
  const liveBytes = 0.2 * DISK_MEBIBYTES * MB + 40 * MB;
  await eventually(
    `${formatMB(allocatedBytes(store.store))} shrink to ${formatMB(liveBytes)}`,
    () => allocatedBytes(store.store) < liveBytes,
    { timeoutMs: BACKGROUND_TIMEOUT_MS, intervalMs: 500 },
  );
  await assertRight(t, store, folder, kept);
  await assertWritable(t, store, cycle);
  await store.mustRun('rm', ['-r', folder], { timeoutMs: FILL_TIMEOUT_MS });
  await store.finish();
  await store.mount();
  const bytes = formatMB(allocatedBytes(store.store));
  t.comment(`cycle ${cycle}: ${report.files.length} ${kind}, ${bytes} left after deleting all`);
}

async function fill(
  store: MountedStore,
  folder: string,
  { kind, cycle }: { readonly kind: string; readonly cycle: number },
): Promise<FillReport> {
  const args = [supportScript('fill-worker'), folder, `${seed}:${cycle}`, kind];
  const { stdout } = await store.mustRun(process.execPath, args, { timeoutMs: FILL_TIMEOUT_MS });
  return JSON.parse(stdout) as FillReport;
}

function assertRefused(t: Test, { failedCall, code, synced, files }: FillReport, what: string) {
  t.equal(code, 'ENOSPC', `${what}: ${files.length} made, then ${failedCall} says ${code}`);
  t.match(failedCall, /^(open|write|mkdir)$/, 'the call that does not fit is refused');
  t.equal(synced, 'done', 'what was accepted is durable');
}

/** df's promise: random data is neither deduplicated nor compressed. */
async function assertPromiseKept(t: Test, store: MountedStore, folder: string, promised: number) {
  const { stdout } = await store.mustRun('du', ['-sb', folder]);
  const share = Number(stdout.split('\t')[0]) / promised;
  const text = `df promised ${formatMB(promised)}, ${(share * 100).toFixed(0)} % of it went in`;
  t.ok(share >= PROMISE_KEPT.min && share <= PROMISE_KEPT.max, text);
}

async function availableBytes(store: MountedStore): Promise<number> {
  const { stdout } = await store.mustRun('df', ['--output=avail', '-B1', store.mountpoint]);
  return Number(stdout.trim().split('\n')[1]);
}

async function assertRight(
  t: Test,
  store: MountedStore,
  folder: string,
  files: FillReport['files'],
): Promise<void> {
  const { stdout } = await store.mustRun('ls', [folder]);
  const names = new Set(stdout.trim().split('\n'));
  t.equal(
    files.filter(({ name }) => !names.has(name)).length,
    0,
    `${files.length} names are there`,
  );
  const sums = files.filter(({ sha256 }) => sha256 !== '');
  if (sums.length === 0) return;
  const input = sums.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join('');
  const checked = await store.run('sha256sum', ['-c', '--quiet'], { cwd: folder, input });
  t.equal(checked.code, 0, `${sums.length} files are right ${failureOf(checked).slice(0, 500)}`);
}

async function remove(store: MountedStore, folder: string, files: FillReport['files']) {
  const input = files.map(({ name }) => name).join('\n');
  await store.mustRun('xargs', ['rm', '-d'], { cwd: folder, input, timeoutMs: FILL_TIMEOUT_MS });
}

async function collect(t: Test, store: MountedStore): Promise<void> {
  const collected = await dedupfs(['gc', store.mountpoint], { timeoutMs: FILL_TIMEOUT_MS });
  t.equal(collected.code, 0, `gc works on a full disk ${failureOf(collected).slice(0, 500)}`);
}

async function assertWritable(t: Test, store: MountedStore, cycle: number): Promise<void> {
  const path = store.path(`again-${cycle}`);
  await store.mustRun('dd', ['if=/dev/urandom', `of=${path}`, 'bs=1M', 'count=8', 'conv=fsync']);
  await store.mustRun('rm', [path]);
  t.pass('what was freed can be written again');
}
