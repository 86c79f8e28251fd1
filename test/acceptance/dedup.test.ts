// Goal: what is stored again costs almost nothing on the host's disk. Method: copy, unmount, add up
// the allocated blocks of the store's files.
//
// Run: node dist/test/acceptance/dedup.test.js
// DEDUPFS_FULL=1 takes all of node_modules as the tree; DEDUPFS_TEST_TREE names another tree.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { isInstalled, mustRun, requirePrograms, requireRoot } from '../support/commands.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { printedSeed, writeRandomFile } from '../support/random.ts';
import { MB, allocatedBytes, formatMB, ioBytesOf } from '../support/sizes.ts';
import { copySourceTree } from '../support/trees-files.ts';
import { describeTree, differencesOf } from '../support/trees.ts';

t.setTimeout(900_000);
requireRoot();
requirePrograms({ rsync: 'rsync', strace: 'strace', getfattr: 'attr' });

const FILE_BYTES = 250 * MB;
const TREE_FILES_MIN = 5_000;
/** What data and names cost; the spare copy of the metadata, made at unmount, is not part of it. */
const NO_CHECKPOINTS = ['--checkpoint-minutes', '0'];
const seed = printedSeed(t);

await t.test('a file of 250 MB that cannot be compressed', async (t) => {
  const store = await MountedStore.mounted(t, ...NO_CHECKPOINTS);
  const file = join(store.directory, 'file');
  const shifted = join(store.directory, 'shifted');
  const sha256 = writeRandomFile(file, seed, FILE_BYTES);
  await mustRun('bash', ['-c', '(printf x; cat "$1") > "$2"', 'bash', file, shifted]);

  const first = await growth(t, store, 'the file', async () => {
    await store.mustRun('cp', [file, store.path('first')]);
  });
  const total = allocatedBytes(store.store);
  t.ok(total < 1.03 * FILE_BYTES, `the store takes ${(total / FILE_BYTES).toFixed(4)} of the data`);
  t.ok(first > FILE_BYTES * 0.9, 'the measurement sees the data');

  const second = await growth(t, store, 'a second copy', async () => {
    await store.mustRun('cp', [file, store.path('second')]);
  });
  t.ok(second < 0.01 * total, `a second copy adds ${percent(second, total)}, less than 1 %`);

  const moved = await growth(t, store, 'one byte in front', async () => {
    await store.mustRun('cp', [shifted, store.path('shifted')]);
  });
  t.ok(moved < 0.01 * total, `one byte in front adds ${percent(moved, total)}, less than 1 %`);

  const inside = await growth(t, store, 'cp inside the mount', () => copyInside(t, store));
  t.ok(inside < 0.001 * total, `cp inside adds ${percent(inside, total)}, less than 0.1 %`);

  const check = `${sha256}  first\n${sha256}  second\n${sha256}  inside\n`;
  await store.mount(...NO_CHECKPOINTS);
  await store.mustRun('sha256sum', ['-c', '--quiet'], { cwd: store.mountpoint, input: check });
  await store.mustRun('cmp', [shifted, store.path('shifted')]);
  await store.finish();
});

await t.test('a source tree of 5,000 files', async (t) => {
  const store = await MountedStore.mounted(t, ...NO_CHECKPOINTS);
  const source = join(store.directory, 'source');
  const files = await copySourceTree(source, { filesMin: TREE_FILES_MIN });
  t.comment(`${files} files, ${formatMB(allocatedBytes(source))} on the host`);

  await growth(t, store, 'the tree', async () => {
    await store.mustRun('cp', ['-a', source, store.path('first')]);
  });
  const total = allocatedBytes(store.store);
  // .ci/run installs borg and wants the answer.
  const skip = isInstalled('borg') || process.env['CI'] === 'true' ? false : 'no borgbackup';
  await t.test('the store is not larger than a borg repository', { skip }, async (t) => {
    const borg = await borgRepositoryBytes(store, source);
    t.ok(total <= borg, `the store takes ${formatMB(total)}, borg with lz4 ${formatMB(borg)}`);
  });

  const second = await growth(t, store, 'a second copy', async () => {
    await store.mustRun('rsync', ['-aH', `${source}/`, store.path('second/')]);
  });
  t.ok(second < 0.02 * total, `a second copy adds ${percent(second, total)}, less than 2 %`);

  await store.mount(...NO_CHECKPOINTS);
  const original = await describeTree(source);
  for (const name of ['first', 'second']) {
    const copy = await describeTree(store.path(name), { onTimeout: () => store.abort() });
    t.strictSame(differencesOf(original, copy), [], `the ${name} copy is equal`);
  }
  await store.finish();
});

/** Bytes that an action adds to the store's files, counted when it is unmounted. */
async function growth(
  t: Test,
  store: MountedStore,
  what: string,
  action: () => Promise<void>,
): Promise<number> {
  const before = allocatedBytes(store.store);
  if (!store.isMounted) await store.mount(...NO_CHECKPOINTS);
  await action();
  await store.umount();
  const added = allocatedBytes(store.store) - before;
  t.comment(`${what} adds ${formatMB(added)}`);
  return added;
}

/** `cp` of the whole file by reference: one side sees copy_file_range, the other no data. */
async function copyInside(t: Test, store: MountedStore): Promise<void> {
  const trace = join(store.directory, 'trace');
  // What the last commits of earlier work still write must not be taken for data of the copy.
  await store.mustRun('sync', [store.mountpoint]);
  const pid = store.daemonPid;
  const before = { read: ioBytesOf(pid, 'rchar'), written: ioBytesOf(pid, 'wchar') };
  const calls = 'trace=copy_file_range,write,pwrite64,sendfile,ioctl';
  const copy = ['cp', store.path('first'), store.path('inside')];
  await store.mustRun('strace', ['-f', '-e', calls, '-o', trace, ...copy]);
  const received = ioBytesOf(pid, 'rchar') - before.read;
  const written = ioBytesOf(pid, 'wchar') - before.written;
  t.ok(received < 0.01 * FILE_BYTES, `the daemon received ${formatMB(received)}`);
  t.ok(written < 0.01 * FILE_BYTES, `the daemon wrote ${formatMB(written)}`);
  t.equal(bytesCopiedByReference(trace), FILE_BYTES, 'copy_file_range copied the whole file');
  t.notMatch(readFileSync(trace, 'utf8'), /write|sendfile/, 'cp wrote nothing itself');
}

function bytesCopiedByReference(trace: string): number {
  const calls = readFileSync(trace, 'utf8').matchAll(/copy_file_range\(.*\) = (\d+)/g);
  return [...calls].reduce((total, [, bytes]) => total + Number(bytes), 0);
}

async function borgRepositoryBytes(store: MountedStore, source: string): Promise<number> {
  const repository = join(store.directory, 'borg');
  const env = { BORG_BASE_DIR: join(store.directory, 'borg-home') };
  mkdirSync(env.BORG_BASE_DIR);
  await mustRun('borg', ['init', '-e', 'none', repository], { env });
  const create = ['create', '--compression', 'lz4', `${repository}::tree`, '.'];
  await mustRun('borg', create, { env, cwd: source });
  return allocatedBytes(repository);
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(3)} %`;
}
