// Goal: fsck --repair of real stores: what a mount refuses becomes mountable again, what was not damaged
// reads as before, a dry run changes nothing, and a repair that is cut off leaves a sound store.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ArenaPages } from '../../lib/blockstore/arena-pages.ts';
import { ExitCode } from '../../lib/errors.ts';
import { openChecked } from '../../lib/metastore/checked-database.ts';
import { dedupfs } from '../support/commands-dedupfs.ts';
import { overwrite } from '../support/damage.ts';
import { assertStoreClean, openAt } from '../support/open-store.ts';
import { printedSeed, Random, randomBytesOf } from '../support/random.ts';

t.setTimeout(600_000);

const MIB = 1024 * 1024;
const NAMES = ['one', 'two', 'three'];
const contentOf = (name: string): Buffer => randomBytesOf(name, 3 * MIB);

/** A store with three files, closed. */
async function createStore(t: Test): Promise<string> {
  const path = join(t.testdir(), 'store');
  const { store, driver } = await openAt(t, path);
  for (const name of NAMES) {
    await driver.put(name, contentOf(name));
    await store.commit();
  }
  await store.close();
  return path;
}

/** Hash of each file of a store that belongs to its content. */
function hashes(store: string): Record<string, string> {
  const names = readdirSync(store, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'lock' && !entry.name.endsWith('-lock'))
    .map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    names.map((name) => [name, createHash('sha256').update(readFileSync(name)).digest('hex')]),
  );
}

function damage(store: string, sql: string): void {
  const database = openChecked(join(store, 'meta.db'));
  database.exec(sql);
  database.close();
}

/** Opens the store: fsck is clean, and the names given read right. */
async function assertReadable(t: Test, store: string, names: readonly string[]): Promise<void> {
  const opened = await openAt(t, store);
  for (const name of names) {
    t.ok((await opened.driver.get(name)).equals(contentOf(name)), `${name} reads right`);
  }
  await assertStoreClean(t, opened.store);
  await opened.store.close();
}

t.test('damage of the metastore is repaired once, and a dry run changes nothing', async (t) => {
  const store = await createStore(t);
  damage(store, `UPDATE inode SET nlink = 7 WHERE ino = 2; DELETE FROM arena`);
  t.equal((await dedupfs(['fsck', store])).code, ExitCode.DAMAGED);
  const before = hashes(store);
  const dry = await dedupfs(['fsck', '--repair', '--dry-run', store]);
  t.equal(dry.code, ExitCode.DAMAGED);
  t.match(dry.stdout, /inode ino 2: nlink 7 -> 1/);
  t.match(dry.stdout, /dry run: nothing was changed/);
  t.strictSame(hashes(store), before, 'no byte of the store is another');
  const repaired = await dedupfs(['fsck', '--repair', store]);
  t.equal(repaired.code, ExitCode.REPAIRED, repaired.stderr);
  const journal = readdirSync(store).find((name) => /^repair-\d{8}T\d{6}Z\.jsonl$/.test(name));
  t.ok(journal !== undefined && repaired.stdout.includes(journal), 'says where the journal is');
  t.match(readFileSync(join(store, journal ?? ''), 'utf8'), /"table":"inode".*"nlink":7/);
  t.ok(existsSync(join(store, 'meta.db.before-repair')));
  t.notOk(readdirSync(store).some((name) => name.startsWith('meta.db.repair')));
  const again = await dedupfs(['fsck', '--repair', '--json', store]);
  t.equal(again.code, ExitCode.OK);
  t.match(JSON.parse(again.stdout), { result: 'clean', changesTotal: 0 });
  await assertReadable(t, store, NAMES);
});

t.test('a mount refuses to throw away what rows need, and says what to do', async (t) => {
  const store = await createStore(t);
  damage(store, 'DELETE FROM arena');
  await t.rejects(openAt(t, store), {
    message: /has no row for it; repair it with 'dedupfs fsck --repair/,
  });
  damage(store, 'DELETE FROM pack');
  await t.rejects(
    openAt(t, store),
    { code: 'DEDUPFS_ROWS_MISSING' },
    'chunks still name the packs',
  );
  t.equal((await dedupfs(['fsck', '--repair', store])).code, ExitCode.REPAIRED);
  await assertReadable(t, store, NAMES);
});

t.test('a counter that is too low costs no packs', async (t) => {
  const store = await createStore(t);
  damage(store, `UPDATE meta SET v = 1 WHERE k = 'nextPack'`);
  const opened = await openAt(t, store);
  t.ok((await opened.driver.get('two')).equals(contentOf('two')));
  await opened.store.close();
});

t.test('an arena that is gone: the store opens again, and its files read as EIO', async (t) => {
  const store = await createStore(t);
  rmSync(join(store, 'arenas/a000001.mdb'));
  const found = await dedupfs(['fsck', store]);
  t.equal(found.code, ExitCode.DAMAGED, 'fsck looks at a store that a mount refuses');
  t.match(found.stdout, /arena 1 cannot be opened/);
  t.equal((await dedupfs(['fsck', '--repair', store])).code, ExitCode.REPAIRED);
  const opened = await openAt(t, store);
  t.strictSame([...opened.driver.list()].sort(), [...NAMES].sort(), 'all names are there');
  await t.rejects(opened.driver.get('one'), 'no zeros in the place of data');
  await opened.driver.put('new', contentOf('new'));
  await opened.store.commit();
  t.ok((await opened.driver.get('new')).equals(contentOf('new')));
  await opened.store.close();
});

t.test('an arena with a damaged tree: its packs go into a new one', async (t) => {
  const store = await createStore(t);
  const path = join(store, 'arenas/a000001.mdb');
  // Both metas: nothing of the tree can be reached.
  for (const offset of [0, 4096]) overwrite(path, offset, Buffer.alloc(256, 0xee));
  t.equal((await dedupfs(['fsck', store])).code, ExitCode.DAMAGED);
  const before = hashes(store);
  t.equal((await dedupfs(['fsck', '--repair', '--dry-run', store])).code, ExitCode.DAMAGED);
  t.strictSame(hashes(store), before, 'the arena that a dry run made is gone');
  const repaired = await dedupfs(['fsck', '--repair', store]);
  t.equal(repaired.code, ExitCode.REPAIRED, repaired.stderr);
  t.ok(existsSync(`${path}.damaged`), 'the damaged file is kept');
  await assertReadable(t, store, NAMES);
});

/** One bad page, and no pack of the arena can be reached through LMDB's tree. */
function damageRoot(path: string): void {
  const pages = new ArenaPages(path);
  const { main, pageBytes } = pages.newestMeta();
  pages.close();
  t.ok(main.root !== undefined, 'the arena has a tree');
  overwrite(path, (main.root ?? 0) * pageBytes, Buffer.alloc(pageBytes, 0xee));
}

t.test(
  'one bad page of a tree: nothing throws the packs away before they are salvaged',
  async (t) => {
    const losers: Record<string, (store: string) => Promise<void>> = {
      'scrub quarantines all, and gc runs': async (path) => {
        const { store, driver } = await openAt(t, path);
        await t.rejects(driver.get('one'));
        t.ok((await store.scrub()).chunksDamaged > 100);
        t.equal((await store.gc()).arenasRemoved, 0, 'the file can be salvaged still');
        await store.close();
      },
      'the index is rebuilt, and gc runs': async (path) => {
        const { code, stdout, stderr } = await dedupfs(['fsck', '--rebuild-index', path]);
        t.match(stdout, /arena/, `${code} ${stderr}`);
        const { store } = await openAt(t, path);
        t.equal((await store.gc()).arenasRemoved, 0);
        await store.close();
      },
    };
    for (const [name, lose] of Object.entries(losers)) {
      await t.test(name, async (t) => {
        const store = await createStore(t);
        const path = join(store, 'arenas/a000001.mdb');
        damageRoot(path);
        await lose(store);
        t.ok(existsSync(path));
        const repaired = await dedupfs(['fsck', '--repair', store]);
        t.equal(repaired.code, ExitCode.REPAIRED, repaired.stderr);
        await assertReadable(t, store, NAMES);
      });
    }
  },
);

t.test('a metastore that is older than its arenas', async (t) => {
  const store = await createStore(t);
  const old = join(store, '../old.db');
  cpSync(join(store, 'meta.db'), old);
  const { store: opened, driver } = await openAt(t, store);
  for (const name of ['four', 'five', 'six', 'seven']) {
    await driver.put(name, contentOf(name));
    await opened.commit();
  }
  await opened.close();
  cpSync(old, join(store, 'meta.db'));
  await t.rejects(openAt(t, store), { code: 'DEDUPFS_OLD_METASTORE' });
  t.equal((await dedupfs(['fsck', '--repair', store])).code, ExitCode.REPAIRED);
  await assertReadable(t, store, NAMES);
});

t.test('a store without a readable metastore is left to --rebuild', async (t) => {
  const store = await createStore(t);
  writeFileSync(join(store, 'meta.db'), Buffer.alloc(64 * 1024, 1));
  const result = await dedupfs(['fsck', '--repair', store]);
  t.equal(result.code, ExitCode.STORE_INCONSISTENT, result.stdout);
  t.match(result.stderr, /fsck --rebuild/);
});

t.test('a repair that is killed at any moment leaves a store that can be repaired', async (t) => {
  const random = new Random(printedSeed(t));
  const store = await createStore(t);
  damage(store, `UPDATE inode SET nlink = 7 WHERE ino > 1; DELETE FROM dentry WHERE ino = 3`);
  for (let round = 0; round < 12; round += 1) {
    const copy = join(store, `../killed`);
    rmSync(copy, { recursive: true, force: true });
    cpSync(store, copy, { recursive: true });
    const child = spawn(process.execPath, ['dist/bin/dedupfs.js', 'fsck', '--repair', copy]);
    const closed = new Promise((resolve) => child.once('close', resolve));
    await sleep(250 + random.below(900));
    child.kill('SIGKILL');
    await closed;
    const { code } = await dedupfs(['fsck', copy]);
    t.ok(code === ExitCode.DAMAGED || code === ExitCode.OK, `old or new (${code})`);
    const repaired = await dedupfs(['fsck', '--repair', copy]);
    t.equal(repaired.code, code === ExitCode.OK ? ExitCode.OK : ExitCode.REPAIRED);
    t.notOk(readdirSync(copy).some((name) => name.startsWith('meta.db.repair')));
    t.equal(readdirSync(copy).filter((name) => name.startsWith('repair-')).length, 1);
    await assertReadable(t, copy, ['one', 'three']);
  }
});
