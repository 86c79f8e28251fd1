// Goal: a directory that is listed again costs next to nothing, and a listing always shows what is there.
// Method: replies of the daemon are counted; then eight processes change and list one directory, each
// comparing its own names with every listing, through new, kept, rewound and shared descriptors.
//
// Run all of it: DEDUPFS_FULL=1 node dist/test/acceptance/listings.test.js     (2 minutes)
// DEDUPFS_TEST_SECONDS and DEDUPFS_SEED replace duration and seed.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { requirePrograms, requireRoot } from '../support/commands.ts';
import { syscallNumber } from '../support/commands-syscalls.ts';
import { LISTING_WORKER, OVERTAKEN_READER } from '../support/listing-worker.ts';
import { isReferenceRun, MountedStore } from '../support/mounted-store.ts';
import { printedSeed } from '../support/random.ts';
import { scaledSeconds } from '../support/sizes.ts';

const WORKERS = 8;
const SECONDS = scaledSeconds({ short: 15, full: 120 });
const TIMEOUT_MS = SECONDS * 1000 + 60_000;
const FILES = 2000;
/** Directories of the reader that is overtaken. */
const SIZES = 10;

t.setTimeout(TIMEOUT_MS + 120_000);
requireRoot();
requirePrograms({ perl: 'perl' });
const seed = printedSeed(t);
const store = await MountedStore.mounted(t);

await t.test(
  'the kernel answers the second listing by itself',
  { skip: isReferenceRun },
  async (t) => {
    const folder = join(store.mountpoint, 'folder');
    const shell = async (script: string): Promise<void> => {
      await store.mustRun('sh', ['-c', script, 'sh', folder], { timeoutMs: 60_000 });
    };
    await shell(`mkdir "$1" && cd "$1" && seq ${FILES} | xargs touch`);
    const replies = async (script: string): Promise<number> => {
      const before = writesOf(store.daemonPid);
      await shell(script);
      return writesOf(store.daemonPid) - before;
    };
    const list = 'find "$1" -ls >/dev/null';
    t.ok((await replies(list)) > FILES / 200, 'the first one is asked for');
    t.ok((await replies(list)) < 20, 'opened, looked at, closed');
    t.ok((await replies(`touch "$1/new"; ${list}`)) > FILES / 200, 'after a change');
    t.ok((await replies(list)) < 20);
  },
);

// Linux ends the listing of who is at a place that its copy lacks, if the copy fills its pages.
await t.test('a reader amid the directory misses nothing when others list it anew', async (t) => {
  const folders = join(store.mountpoint, 'sizes');
  const { stdout } = await store.mustRun('perl', [
    '-e',
    OVERTAKEN_READER,
    folders,
    String(syscallNumber('getdents64')),
  ]);
  const lines = stdout.trim().split('\n');
  t.equal(lines.length, SIZES);
  t.strictSame(
    lines.filter((line) => !line.endsWith(' all')),
    [],
  );
});

await t.test(`${WORKERS} processes change and list for ${SECONDS} s`, async (t) => {
  const shared = join(store.mountpoint, 'shared');
  await store.mustRun('mkdir', [shared]);
  const ended = await Promise.allSettled(
    Array.from({ length: WORKERS }, (_, i) => work(shared, i)),
  );
  const failures = ended.flatMap((end) => (end.status === 'rejected' ? [String(end.reason)] : []));
  t.strictSame(failures, [], 'every listing showed what was there');
  const counts = ended.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
  const [changes, lists] = [0, 1].map((which) =>
    counts.reduce((sum, n) => sum + (n[which] ?? 0), 0),
  );
  t.comment(`${changes} changes and ${lists} compared listings`);
  t.ok((lists ?? 0) > WORKERS * SECONDS, 'the workers got somewhere');
});

await t.test('the store is clean', async () => store.finish());

/** @returns changes and listings */
async function work(shared: string, index: number): Promise<number[]> {
  const numbers = [syscallNumber('getdents64'), syscallNumber('renameat2')];
  const args = [shared, index, SECONDS, seed, ...numbers].map(String);
  const { stdout } = await store.mustRun('perl', ['-e', LISTING_WORKER, ...args], {
    timeoutMs: TIMEOUT_MS,
  });
  return stdout.trim().split(' ').map(Number);
}

/** System calls of the daemon that write: one for each reply, and few others. */
function writesOf(pid: number): number {
  const found = /^syscw: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'));
  return Number(found?.[1]);
}
