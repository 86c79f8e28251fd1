// Goal: a store of every released format either opens with every byte and attribute as it was, also
// when its migration is killed, or is refused with what to do. Method: the stores of test/golden, each
// made by the dedupfs of its format, with a description of the tree that was put in.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ExitCode } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { openChecked } from '../../lib/metastore/checked-database.ts';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { migrateStore } from '../../lib/store/migrations/migrate.ts';
import { dedupfs, PROJECT, supportScript } from '../support/commands-dedupfs.ts';
import { mustRun, requireRoot } from '../support/commands.ts';
import { overwrite } from '../support/damage.ts';
import { MountedExt4 } from '../support/mounted-ext4.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { describeTree, differencesOf, type Tree, type TreeEntry } from '../support/trees.ts';

const GOLDEN = join(PROJECT, 'test/golden');
/** What the migration does, in to-format-3.ts. */
const STEPS = ['copy', 'extend', 'declare', 'swap', 'clean'];

requireRoot();

async function unpack(name: string, directory: string): Promise<string> {
  await mustRun('tar', ['-xzf', join(GOLDEN, `${name}.tar.gz`), '-C', directory]);
  return join(directory, 'store');
}

/** The tree that was put into a golden store. */
function treeOf(name: string): Tree {
  const lines = readFileSync(join(GOLDEN, `${name}.jsonl`), 'utf8')
    .trimEnd()
    .split('\n');
  const entries = lines.map((line) => JSON.parse(line) as TreeEntry);
  return new Map(entries.map((entry) => [entry.path, entry]));
}

async function goldenStore(t: Test, name: string): Promise<MountedStore> {
  const store = MountedStore.create(t);
  await unpack(name, store.directory);
  return store;
}

function formatOf(store: string): unknown {
  return (JSON.parse(readFileSync(join(store, 'FORMAT'), 'utf8')) as { format: unknown }).format;
}

/** Mounts, compares the tree, changes something, and has fsck look. */
async function assertWhole(t: Test, store: MountedStore, name: string): Promise<void> {
  await store.mount();
  t.strictSame(differencesOf(treeOf(name), await describeTree(store.mountpoint)), [], 'the tree');
  await store.mustRunScript(`cp ${store.path('plain/text')} ${store.path('copy')}`);
  await store.finish();
  t.equal(formatOf(store.store), 3);
  const left = readdirSync(store.store).filter((file) => file.startsWith('meta.db'));
  t.strictSame(left, ['meta.db'], 'nothing of the migration is left');
}

for (const name of ['format-2', 'format-2-killed', 'format-3']) {
  t.test(`${name} opens with all that was put in`, async (t) => {
    const store = await goldenStore(t, name);
    await assertWhole(t, store, name);
  });
}

t.test('the one who mounts is told of the migration, once', async (t) => {
  const store = await goldenStore(t, 'format-2');
  const args = ['mount', store.store, store.mountpoint, '--log', join(store.directory, 'log')];
  const first = await dedupfs(args);
  t.match(first.stdout, /brought store .* from format 2 to 3; earlier versions cannot use it now/);
  await mustRun('umount', [store.mountpoint]);
  await store.mount();
  await store.finish();
  const again = migrateStore(store.store, silentLog());
  t.equal(again, undefined);
});

t.test('a migration that is killed goes on where it was', async (t) => {
  const name = 'format-2-killed';
  const script = supportScript('migrate-killed');
  for (const [number, step] of STEPS.entries()) {
    await t.test(`before ${step}`, async (t) => {
      const store = await goldenStore(t, name);
      const killed = spawnSync(process.execPath, [script, store.store, String(number)]);
      t.equal(killed.signal, 'SIGKILL');
      t.equal(formatOf(store.store), number <= STEPS.indexOf('declare') ? 2 : 3);
      await assertWhole(t, store, name);
    });
  }
  const store = await goldenStore(t, name);
  const whole = spawnSync(process.execPath, [script, store.store, String(STEPS.length)]);
  t.equal(whole.status, 0, 'there are no other steps');
});

t.test('a copy that was cut off is made anew', async (t) => {
  const store = await goldenStore(t, 'format-2');
  const metastore = join(store.store, 'meta.db');
  writeFileSync(`${metastore}.format-3`, readFileSync(metastore).subarray(0, 50_000));
  writeFileSync(`${metastore}.format-3-journal`, 'left over');
  await assertWhole(t, store, 'format-2');
});

t.test('a format-2 metastore that is damaged stays as it is, with the reason', async (t) => {
  const { store: path, mountpoint } = await goldenStore(t, 'format-2');
  const metastore = join(path, 'meta.db');
  const connection = openChecked(metastore);
  const root = connection.prepare(`SELECT rootpage FROM sqlite_schema WHERE name = 'xattr'`);
  const page = root.pluck().get() as number;
  connection.close();
  overwrite(metastore, (page - 1) * 8192, Buffer.alloc(64, 0xee));
  const before = readFileSync(metastore);
  const result = await dedupfs(['mount', path, mountpoint, '--log', `${path}.log`]);
  t.equal(result.code, ExitCode.DAMAGED);
  t.match(result.stderr, /the metastore .*meta\.db is damaged .*: it is left as it is; restore/);
  t.equal(formatOf(path), 2);
  t.ok(readFileSync(metastore).equals(before));
  t.strictSame(
    readdirSync(path).filter((file) => file.startsWith('meta.db.')),
    [],
  );
});

t.test('a host without room refuses, and the store is unchanged', async (t) => {
  const host = await MountedExt4.ofSize(t, 12 * 1024 * 1024);
  const path = await unpack('format-2', host.mountpoint);
  const before = readFileSync(join(path, 'meta.db'));
  const folder = t.testdir({ mnt: {} });
  const result = await dedupfs(['mount', path, `${folder}/mnt`, '--log', `${folder}/log`]);
  t.equal(result.code, ExitCode.DISK_FULL);
  t.match(result.stderr, /from format 2 to format 3: it needs \d+ MiB free; free some space/);
  t.equal(formatOf(path), 2);
  t.ok(readFileSync(join(path, 'meta.db')).equals(before));
});

t.test('pages of a migrated metastore carry checksums, and settings stay', async (t) => {
  const path = await unpack('format-2', t.testdir());
  t.equal(migrateStore(path, silentLog()), 2);
  const database = new MetaDatabase(join(path, 'meta.db'), { create: false });
  const ask = (name: string): unknown => database.connection.pragma(name, { simple: true });
  t.equal(ask('page_checksums'), 'on');
  t.equal(ask('auto_vacuum'), 2);
  t.equal(ask('page_size'), 8192);
  database.close();
});

t.test('only a mount migrates', async (t) => {
  const path = await unpack('format-2', t.testdir());
  const metastore = readFileSync(join(path, 'meta.db'));
  for (const command of ['fsck', 'stats', 'gc']) {
    const result = await dedupfs([command, path]);
    t.equal(result.code, ExitCode.WRONG_FORMAT, command);
    t.match(result.stderr, /is not of format 3 yet; mount it once: that brings it there/);
  }
  t.ok(readFileSync(join(path, 'meta.db')).equals(metastore));
});

t.test('formats that cannot be used are refused with what to do', async (t) => {
  const { store: first, mountpoint } = await goldenStore(t, 'format-1');
  const refused = async (path: string, pattern: RegExp): Promise<void> => {
    const before = readdirSync(path).sort();
    for (const args of [
      ['fsck', path],
      ['mount', path, mountpoint, '--log', `${path}.log`],
    ]) {
      const result = await dedupfs(args);
      t.equal(result.code, ExitCode.WRONG_FORMAT, args.join(' '));
      t.match(result.stderr, pattern);
    }
    t.strictSame(readdirSync(path).sort(), before);
  };
  await refused(first, /has format 1, this dedupfs reads 3; .* copy its files to a new store/);
  const formatFile = join(first, 'FORMAT');
  writeFileSync(formatFile, readFileSync(formatFile, 'utf8').replace('"format": 1', '"format": 4'));
  await refused(first, /has format 4, this dedupfs reads 3; upgrade dedupfs/);
});

t.test('the packs of a migrated store still tell what its chunks are', async (t) => {
  const store = await goldenStore(t, 'format-2');
  await store.mount();
  await store.umount();
  const result = await dedupfs(['fsck', '--rebuild-index', store.store]);
  t.equal(result.code, ExitCode.REPAIRED, result.stderr);
  await assertWhole(t, store, 'format-2');
});
