// Goal: the rows of chunks, packs and arenas come back from the arenas alone, as they were; what has no
// record is quarantined. Method: a small store of everything, its rows dropped or its files damaged.

import t, { type Test } from 'tap';
import { expectDefined } from '../../lib/assert.ts';
import { createKeyedHash } from '../../lib/blake3.ts';
import { BlockStore } from '../../lib/blockstore/block-store.ts';
import { PackBuilder } from '../../lib/blockstore/pack.ts';
import { silentLog } from '../../lib/log.ts';
import { rebuildIndex, type RebuildIndexReport } from '../../lib/maintenance/rebuild-index.ts';
import { openChecked } from '../../lib/metastore/checked-database.ts';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { findPack, flipByte, SampleStore } from '../support/damage.ts';
import { PAGE_BYTES } from '../support/page-checksums.ts';

const HASH_KEY = Buffer.alloc(32, 7);

async function sampleFor(t: Test, options: { hasIds?: boolean } = {}): Promise<SampleStore> {
  const sample = await SampleStore.create(t.testdir(), options);
  t.teardown(async () => sample.close());
  return sample;
}

type Rows = Record<string, unknown[]>;

/** The rows that are rebuilt, and the counters. */
function rowsOf(sample: SampleStore): Rows {
  const { connection } = sample.metastore.database;
  const all = (sql: string): unknown[] => connection.prepare(sql).raw().all();
  return {
    chunk: all('SELECT * FROM chunk ORDER BY id'),
    quarantine: all('SELECT * FROM quarantine ORDER BY h'),
    pack: all('SELECT * FROM pack ORDER BY id'),
    // All are sealed after a rebuild.
    arena: all('SELECT id, bytes, live FROM arena ORDER BY id'),
    meta: all('SELECT * FROM meta ORDER BY k'),
  };
}

/** Closes the store, changes its files or rows, rebuilds, and opens it again. */
async function rebuilt(
  sample: SampleStore,
  damage: { readonly files?: () => void; readonly sql?: string },
): Promise<RebuildIndexReport> {
  await sample.close();
  damage.files?.();
  const database = new MetaDatabase(sample.databasePath, { create: false });
  const blockStore = new BlockStore(`${sample.folder}/arenas`, {
    arenaBytesMax: 2 ** 20,
    log: silentLog(),
  });
  if (damage.sql !== undefined) database.connection.exec(damage.sql);
  const report = await rebuildIndex({
    connection: database.connection,
    blockStore,
    hash: createKeyedHash(HASH_KEY),
    log: silentLog(),
  });
  database.commit();
  database.close();
  await blockStore.close();
  await sample.whileClosed(() => undefined);
  return report;
}

/** What the sample's chunk 1 holds. */
const FIRST_CHUNK = (() => {
  const plain = Buffer.alloc(40 * 1024, 'chunk 0 ');
  return { plain, fingerprint: createKeyedHash(HASH_KEY).digest(plain) };
})();

/** Puts a pack 77 with the content of chunk 1 under an id. Returns its arena. */
async function putFirstChunk(sample: SampleStore, chunk: number): Promise<number> {
  const { plain, fingerprint } = FIRST_CHUNK;
  const builder = new PackBuilder(plain.length);
  const chunks = [{ fingerprint, plainBytes: plain.length, chunk }];
  builder.append({ chunks, codec: 0, stored: plain });
  const arena = sample.blockStore.arenaIds().at(-1) ?? 0;
  await sample.blockStore.put(arena, 77, builder.seal({ packId: 77, batch: 1, createdMs: 0 }));
  return arena;
}

const DROP_ROWS = 'DELETE FROM chunk; DELETE FROM pack; DELETE FROM arena;';

t.test('all rows come back from the arenas alone', async (t) => {
  const sample = await sampleFor(t);
  const before = rowsOf(sample);
  const report = await rebuilt(sample, {
    sql: `${DROP_ROWS} UPDATE meta SET v = 1 WHERE k LIKE 'next%' AND k <> 'nextIno'`,
  });
  t.strictSame(rowsOf(sample), before);
  t.match(report, { arenasDamaged: [], packsDamaged: 0, chunksQuarantined: 0, chunks: 14 });
  t.equal(report.hasLostPages, false);
  t.strictSame((await sample.fsck('full')).findings, []);
});

t.test('rows that are right stay as they are', async (t) => {
  const sample = await sampleFor(t);
  const before = rowsOf(sample);
  await rebuilt(sample, {});
  t.strictSame(rowsOf(sample), before);
});

t.test('counts that are wrong are made right', async (t) => {
  const sample = await sampleFor(t);
  const before = rowsOf(sample);
  await rebuilt(sample, {
    sql: `UPDATE chunk SET refs = 9, idx = 0, stored = 3; UPDATE pack SET live = 1, bytes = 2;
      UPDATE arena SET live = 7; UPDATE meta SET v = 5 WHERE k IN ('chunks', 'packBytes')`,
  });
  t.strictSame(rowsOf(sample), before);
});

t.test('chunks that nothing names get no row', async (t) => {
  const sample = await sampleFor(t);
  const before = rowsOf(sample);
  const report = await rebuilt(sample, { sql: 'DELETE FROM fmap WHERE ino = 9' });
  t.equal(report.chunks, 12);
  t.equal(rowsOf(sample)['chunk']?.length, 12);
  t.strictSame(rowsOf(sample)['chunk']?.slice(0, 11), before['chunk']?.slice(0, 11));
});

t.test('a chunk whose record is damaged is quarantined, its neighbours are not', async (t) => {
  const sample = await sampleFor(t);
  const before = rowsOf(sample);
  const chunk = expectDefined(before['chunk']?.[4], 'chunk 5');
  const [, fingerprint, refs, pack] = chunk as [number, Buffer, number, number];
  const report = await rebuilt(sample, {
    sql: DROP_ROWS,
    files: () => {
      const path = sample.blockStore.path(1);
      // The second record of its pack: 64 bytes of header, 40 KiB of the first.
      flipByte(path, findPack(path, pack) + 64 + 40 * 1024 + 100);
    },
  });
  t.match(report, { chunks: 13, chunksQuarantined: 1, packsDamaged: 0 });
  const after = rowsOf(sample);
  t.strictSame(after['chunk']?.[4], [5, null, refs, 0, 0, 40 * 1024, 0]);
  t.strictSame(after['quarantine'], [[fingerprint, 5]]);
  t.strictSame(after['chunk']?.toSpliced(4, 1), before['chunk']?.toSpliced(4, 1));
});

t.test('chunks of a damaged pack are quarantined with the fingerprints of the rows', async (t) => {
  const sample = await sampleFor(t);
  const before = rowsOf(sample);
  const report = await rebuilt(sample, {
    files: () => {
      const path = sample.blockStore.path(1);
      flipByte(path, findPack(path, 2) + 7);
    },
  });
  t.match(report, { packsDamaged: 1, chunksQuarantined: 3, chunks: 11 });
  const { quarantine, chunk, pack } = rowsOf(sample);
  const lost = before['chunk']?.slice(3, 6) as [number, Buffer][];
  const byFingerprint = lost.map(([id, h]) => [h, id] as const);
  byFingerprint.sort(([left], [right]) => Buffer.compare(left, right));
  t.strictSame(quarantine, byFingerprint);
  t.equal((chunk as [number, unknown][]).filter(([, h]) => h === null).length, 3);
  t.strictSame(pack?.[1], [2, 1, 0, 0, 0], 'it keeps a row');
});

t.test('the newest record wins, and an older one when that is damaged', async (t) => {
  const sample = await sampleFor(t);
  const arena = await putFirstChunk(sample, 1);
  await rebuilt(sample, {});
  const indexed = FIRST_CHUNK.fingerprint.subarray(0, 16);
  t.match(rowsOf(sample)['chunk']?.[0], [1, indexed, 1, 77, 0]);
  t.strictSame((await sample.fsck('full')).findings, []);
  await rebuilt(sample, {
    files: () => {
      const path = sample.blockStore.path(arena);
      flipByte(path, findPack(path, 77) + 5000);
    },
  });
  t.match(rowsOf(sample)['chunk']?.[0], [1, indexed, 1, 1, 0]);
  t.strictSame((await sample.fsck('full')).findings, []);
});

t.test('records without ids are found by the fingerprints of the rows', async (t) => {
  const sample = await sampleFor(t, { hasIds: false });
  const before = rowsOf(sample);
  await rebuilt(sample, { sql: 'UPDATE chunk SET pack = 1, idx = 0, refs = 1; DELETE FROM pack' });
  t.strictSame(rowsOf(sample), before);
  const report = await rebuilt(sample, { sql: DROP_ROWS });
  t.match(report, { chunks: 0, chunksQuarantined: 14 });
});

t.test('the id beside a record counts, not what a row says', async (t) => {
  const sample = await sampleFor(t);
  const before = rowsOf(sample);
  await rebuilt(sample, {
    sql: 'UPDATE chunk SET id = -id; UPDATE chunk SET id = (-id % 14) + 1',
  });
  t.strictSame(rowsOf(sample), before);
});

t.test('content that was stored again under another id is found by its fingerprint', async (t) => {
  const sample = await sampleFor(t);
  await putFirstChunk(sample, 900);
  await rebuilt(sample, {
    files: () => {
      const path = sample.blockStore.path(1);
      flipByte(path, findPack(path, 1) + 5000);
    },
  });
  t.match(rowsOf(sample)['chunk']?.[0], [1, FIRST_CHUNK.fingerprint.subarray(0, 16), 1, 77, 0]);
  t.equal(sample.metastore.counters.nextChunk, 901);
  t.equal(sample.metastore.counters.nextPack, 78);
});

for (const table of ['chunk', 'chunk_h', 'pack']) {
  t.test(`a page of ${table} that cannot be read`, async (t) => {
    const sample = await sampleFor(t);
    const before = rowsOf(sample);
    const page = sample.metastore.database.connection
      .prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?')
      .pluck()
      .get(table) as number;
    const report = await rebuilt(sample, {
      files: () => flipByte(sample.databasePath, (page - 1) * PAGE_BYTES + 5000),
    });
    t.equal(report.hasLostPages, true);
    t.strictSame(rowsOf(sample), before);
    await sample.whileClosed(() => {
      const connection = openChecked(sample.databasePath);
      connection.exec(`VACUUM INTO '${sample.databasePath}.new'`);
      connection.close();
    });
    const compact = new MetaDatabase(`${sample.databasePath}.new`, { create: false });
    t.equal(compact.connection.pragma('integrity_check', { simple: true }), 'ok');
    compact.close();
  });
}

t.test('a damaged extent map is passed over and counted', async (t) => {
  const sample = await sampleFor(t);
  const report = await rebuilt(sample, { sql: `UPDATE fmap SET map = x'ff' WHERE ino = 9` });
  t.equal(report.mapsDamaged, 1);
});

t.test('an unreadable table of extent maps is an error', async (t) => {
  const sample = await sampleFor(t);
  const page = sample.metastore.database.connection
    .prepare(`SELECT rootpage FROM sqlite_schema WHERE name = 'fmap'`)
    .pluck()
    .get() as number;
  await t.rejects(
    rebuilt(sample, {
      files: () => flipByte(sample.databasePath, (page - 1) * PAGE_BYTES + 5000),
    }),
    { code: 'DEDUPFS_CORRUPT' },
  );
});
