// Goal: each check that looks at files finds what it is there for.
// Method: a small store of everything, its files damaged while it is closed.

import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { openChecked } from '../../lib/metastore/checked-database.ts';
import t, { type Test } from 'tap';
import { CHECKS, runFsck, type FsckReport } from '../../lib/maintenance/fsck.ts';
import { createKeyedHash } from '../../lib/blake3.ts';
import { PackBuilder } from '../../lib/blockstore/pack.ts';
import { silentLog } from '../../lib/log.ts';
import { cutShort, findPack, flipByte, SampleStore } from '../support/damage.ts';
import { changePage, PAGE_BYTES } from '../support/page-checksums.ts';

async function sampleFor(t: Test): Promise<SampleStore> {
  const sample = await SampleStore.create(t.testdir());
  t.teardown(async () => sample.close());
  return sample;
}

function messages(report: FsckReport, check: string): string[] {
  return report.findings.filter((one) => one.check === check).map(({ message }) => message);
}

t.test('a sound store has no findings at either level', async (t) => {
  const sample = await sampleFor(t);
  const full = await sample.fsck('full');
  t.strictSame(full.findings, []);
  t.equal(full.findingsOmitted, 0);
  t.strictSame(
    full.checks,
    CHECKS.map(({ name }) => name),
  );
  const quick = await sample.fsck('quick');
  t.strictSame(quick.findings, []);
  t.strictSame(quick.checks, ['metastore-pages', 'sequences', 'arena-files', 'packs-above']);
  t.strictSame((await sample.fsck('full', 1)).findings, [], 'one id in each pass');
  await sample.whileClosed(() => undefined);
  t.strictSame((await sample.fsck('full')).findings, [], 'after opening it again');
});

t.test('fsck changes nothing', async (t) => {
  const sample = await sampleFor(t);
  const { connection } = sample.metastore.database;
  const changes = (): unknown => connection.prepare('SELECT total_changes()').pluck().get();
  const before = changes();
  await sample.fsck('full');
  t.equal(changes(), before);
});

/** Number of the page that a table's tree begins with. */
function rootPage(sample: SampleStore, table: string): number {
  const { connection } = sample.metastore.database;
  return connection
    .prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?')
    .pluck()
    .get(table) as number;
}

t.test('metastore-pages finds a page that is not what was written', async (t) => {
  const sample = await sampleFor(t);
  const page = rootPage(sample, 'xattr');
  await sample.whileClosed(() => flipByte(sample.databasePath, (page - 1) * PAGE_BYTES + 4000));
  for (const level of ['quick', 'full'] as const) {
    const report = await sample.fsck(level);
    const message = messages(report, 'metastore-pages').at(-1);
    t.match(message, new RegExp(`^metastore: .*page ${page} does not match`), level);
  }
  const report = await sample.fsck('full');
  t.match(messages(report, 'xattrs')[0], /could not be finished: .*does not match its checksum/);
});

t.test('metastore-pages finds a damaged b-tree at both levels', async (t) => {
  const sample = await sampleFor(t);
  const page = rootPage(sample, 'xattr');
  await sample.whileClosed(() =>
    changePage(sample.databasePath, page, (bytes) => bytes.fill(0xee, 0, 64)),
  );
  for (const level of ['quick', 'full'] as const) {
    const report = await sample.fsck(level);
    t.match(messages(report, 'metastore-pages').at(-1), /^metastore: .*malformed/, level);
  }
  const report = await sample.fsck('full');
  t.match(messages(report, 'xattrs')[0], /the check could not be finished/);
});

t.test('metastore-pages finds an index that misses a row', async (t) => {
  const sample = await sampleFor(t);
  await sample.whileClosed(() => {
    const database = openChecked(sample.databasePath);
    database.unsafeMode();
    database.pragma('writable_schema = ON');
    const index = database.prepare(`SELECT sql FROM sqlite_schema WHERE name = 'chunk_h'`).pluck();
    const sql = index.get() as string;
    const hide = database.prepare(`UPDATE sqlite_schema SET sql = ? WHERE name = 'chunk_h'`);
    hide.run(`${sql} WHERE id <> 3`);
    database.pragma('writable_schema = RESET');
    database.exec('REINDEX chunk_h');
    database.pragma('writable_schema = ON');
    hide.run(sql);
    database.close();
  });
  const report = await sample.fsck('full');
  t.match(
    messages(report, 'metastore-pages').join('\n'),
    /missing from index chunk_h|wrong # of entries/,
  );
});

t.test('arena-files finds an arena that is gone', async (t) => {
  const sample = await sampleFor(t);
  const path = sample.blockStore.path(1);
  await sample.whileClosed(() => rmSync(path));
  for (const level of ['quick', 'full'] as const) {
    const report = await sample.fsck(level);
    t.strictSame(report.findings, [
      {
        check: 'arena-files',
        invariant: 'I2',
        message: `arena 1 cannot be opened: the file ${path} is missing`,
      },
    ]);
  }
  t.notOk(sample.blockStore.arenaIds().includes(1), 'and fsck did not create it');
});

t.test('arena-files finds an arena cut short, and nothing maps it', async (t) => {
  const sample = await sampleFor(t);
  const path = sample.blockStore.path(1);
  await sample.whileClosed(() => cutShort(path, 4096));
  const report = await sample.fsck('full');
  t.match(messages(report, 'arena-files'), [/arena 1 cannot be opened: .* expected at least \d+/]);
});

t.test('arena-files finds a file that is no arena', async (t) => {
  const sample = await sampleFor(t);
  const path = sample.blockStore.path(1);
  await sample.whileClosed(() => writeFileSync(path, Buffer.alloc(64 * 1024, 1)));
  t.match(messages(await sample.fsck('full'), 'arena-files'), [/is not an LMDB file/]);
});

t.test('arena-files and sequences find an arena that no row names', async (t) => {
  const sample = await sampleFor(t);
  const path = sample.blockStore.path(9);
  await sample.whileClosed(() => copyFileSync(sample.blockStore.path(1), path));
  const report = await sample.fsck('quick');
  t.strictSame(messages(report, 'arena-files'), [
    `file ${path} belongs to no arena of the metastore`,
  ]);
  t.match(messages(report, 'sequences'), [/nextArena is \d, expected more than 9/]);
});

t.test('packs-above finds packs that no commit named', async (t) => {
  const sample = await sampleFor(t);
  await putPack(sample, 1000, 1);
  const report = await sample.fsck('quick');
  t.match(report.findings, [
    {
      check: 'packs-above',
      invariant: 'I4',
      message: /arena 1 holds pack 1000, expected only packs below/,
    },
  ]);
  t.strictSame(messages(await sample.fsck('full'), 'packs-known'), [], 'one finding is enough');
});

t.test('packs-known finds a pack whose row is gone or names another arena', async (t) => {
  const sample = await sampleFor(t);
  const gone = await sample.fsckAfter('DELETE FROM pack WHERE id = 1');
  t.match(
    gone.findings.find(({ check }) => check === 'packs-known'),
    {
      invariant: 'I4',
      message: 'arena 1 holds pack 1, which has no row',
    },
  );
  const moved = await sample.fsckAfter('UPDATE pack SET arena = 2 WHERE id = 1');
  t.strictSame(messages(moved, 'packs-known'), ['arena 1 holds pack 1, its row names arena 2']);
  t.match(messages(moved, 'packs-stored'), [/pack 1 of arena 2: pack 1 is missing from arena/]);
});

t.test('packs-stored finds a pack that is missing', async (t) => {
  const sample = await sampleFor(t);
  await sample.blockStore.arena(1).remove([2]);
  const report = await sample.fsck('full');
  t.match(
    report.findings.filter(({ check }) => check === 'packs-stored'),
    [{ invariant: 'I1', message: /pack 2 of arena 1: pack 2 is missing from arena/ }],
  );
  t.strictSame(messages(report, 'chunk-records'), [], 'and its chunks are not told one by one');
});

t.test('packs-stored finds a damaged header and a damaged directory', async (t) => {
  const sample = await sampleFor(t);
  const path = sample.blockStore.path(1);
  const start = findPack(path, 1);
  const bytes = sample.blockStore.read(1, 1).length;
  for (const offset of [start, start + 24, start + bytes - 40]) {
    await sample.whileClosed(() => flipByte(path, offset));
    t.match(messages(await sample.fsck('full'), 'packs-stored'), [
      /pack 1 of arena 1: pack 1 is damaged/,
    ]);
    await sample.whileClosed(() => flipByte(path, offset));
  }
  t.strictSame((await sample.fsck('full')).findings, []);
});

t.test('packs-stored finds packs that are not what their row says', async (t) => {
  const sample = await sampleFor(t);
  const resized = await sample.fsckAfter('UPDATE pack SET bytes = 1 WHERE id = 1');
  t.match(messages(resized, 'packs-stored'), [/pack 1 has \d+ bytes of chunks, its row says 1/]);
  const older = await sample.fsckAfter(`UPDATE meta SET v = 0 WHERE k = 'batch'`);
  t.match(messages(older, 'packs-stored')[0], /pack 1 is of batch 1, the last commit was 0/);
});

t.test('chunk-records finds rows that name another record', async (t) => {
  const sample = await sampleFor(t);
  const cases = [
    {
      sql: 'idx = 1',
      message: /chunk 1 \(record 1 of pack 1\) has fingerprint \w+, its row says \w+/,
    },
    { sql: 'idx = 400', message: /chunk 1 \(record 400 of pack 1\): the pack has \d+ records/ },
    { sql: 'pack = 2', message: /chunk 1 \(record 0 of pack 2\) has fingerprint/ },
    {
      sql: `h = x'00112233445566778899aabbccddeeff'`,
      message: /its row says 00112233445566778899aabb/,
    },
    { sql: 'bytes = 50000', message: /chunk 1 \(.*\) has 40960 plain bytes, its row says 50000/ },
    { sql: 'stored = 7', message: /chunk 1 \(.*\) has 40960 stored bytes, its row says 7/ },
  ];
  for (const { sql, message } of cases) {
    const { findings } = await sample.fsckAfter(`UPDATE chunk SET ${sql} WHERE id = 1`);
    const found = findings.filter(({ check }) => check === 'chunk-records');
    t.match(found, [{ invariant: 'I1', message }], sql);
    t.equal(found.length, 1);
  }
  const quarantined = await sample.fsckAfter('UPDATE chunk SET h = NULL, idx = 1 WHERE id = 1');
  t.strictSame(
    messages(quarantined, 'chunk-records'),
    [],
    'quarantined chunks are known to be bad',
  );
});

t.test('progress names each check and reaches its end', async (t) => {
  const sample = await sampleFor(t);
  const ended: string[] = [];
  await runFsck(
    {
      connection: sample.metastore.database.connection,
      metastore: sample.metastore,
      blockStore: sample.blockStore,
      hash: createKeyedHash(Buffer.alloc(32, 7)),
      log: silentLog(),
      onProgress({ check, done, total }) {
        if (done > total) t.fail(`${check}: ${done} of ${total}`);
        if (done === total && ended.at(-1) !== check) ended.push(check);
      },
    },
    'full',
  );
  t.strictSame(
    ended,
    CHECKS.map(({ name }) => name),
  );
});

t.test('a change during fsck is a bug of the caller and told as one', async (t) => {
  const sample = await sampleFor(t);
  const running = sample.fsck('full');
  sample.metastore.counters.nextIno += 1;
  await t.rejects(running, /nothing changes the store during fsck \(nextIno did\)/);
});

async function putPack(sample: SampleStore, packId: number, arena: number): Promise<void> {
  const builder = new PackBuilder(1024);
  builder.append({
    chunks: [{ fingerprint: Buffer.alloc(32, 1), plainBytes: 100, chunk: 1 }],
    codec: 0,
    stored: Buffer.alloc(100, 2),
  });
  const bytes = builder.seal({ packId, batch: 2, createdMs: 0 });
  await sample.blockStore.arena(arena).put(packId, bytes);
}
