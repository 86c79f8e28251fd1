// Goal: what meta.db gives back is what was written, or an error; never anything else.
// Method: a database with rows of every table, one bit of its files changed at a time, everything
// read back. Checksums are compared with a second program's, and that one's with zstd's.

import { copyFileSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { Compressor } from 'zstd-napi';
import { CorruptionError } from '../../lib/errors.ts';
import { explainDamage, hasChecksums, openChecked } from '../../lib/metastore/checked-database.ts';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { flipBit } from '../support/damage.ts';
import { pageChecksum, PAGE_BYTES, storedChecksum, xxh64 } from '../support/page-checksums.ts';
import { printedSeed, Random, randomBytesOf } from '../support/random.ts';

const FLIPS = 500;
const LOG_FLIPS = 60;

/** Every row of every table, as text; what is damaged throws. */
function dump(connection: Database.Database): string {
  const tables = connection
    .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`)
    .pluck()
    .all() as string[];
  const rows = tables.map((table) => connection.prepare(`SELECT * FROM ${table}`).raw().all());
  return JSON.stringify(rows);
}

/** Rows in every kind of page: leaves, inner pages, indexes, overflow. */
function fill(database: MetaDatabase, seed: number, rows: number): void {
  const { connection } = database;
  const random = randomBytesOf(seed, rows * 64);
  const xattr = connection.prepare('INSERT OR REPLACE INTO xattr VALUES (?, ?, ?)');
  const chunk = connection.prepare('INSERT OR REPLACE INTO chunk VALUES (?, ?, 1, 1, 1, 1, 1)');
  for (let row = 0; row < rows; row += 1) {
    const bytes = random.subarray(row * 64, row * 64 + 16);
    chunk.run(seed * 1_000_000 + row, bytes);
    const length = row % 50 === 0 ? 5000 : 20;
    xattr.run(row, bytes, Buffer.alloc(length, bytes));
  }
}

function create(t: Test, rows = 3000): MetaDatabase {
  const database = new MetaDatabase(join(t.testdir(), 'meta.db'), { create: true });
  t.teardown(() => database.close());
  fill(database, 1, rows);
  database.commit();
  return database;
}

/** What a new connection reads: the rows, or that they are damaged. */
function read(path: string): string | CorruptionError {
  let database: MetaDatabase | undefined;
  try {
    database = new MetaDatabase(path, { create: false });
    return dump(database.connection);
  } catch (thrown) {
    const error = database === undefined ? thrown : explainDamage(database.connection, thrown);
    if (error instanceof CorruptionError) return error;
    throw error;
  } finally {
    database?.close();
  }
}

/** The same with a connection that is open already, which must not answer from memory. */
function readUncached({ connection }: MetaDatabase): string | CorruptionError {
  try {
    connection.exec('COMMIT');
    connection.pragma('shrink_memory');
    connection.exec('BEGIN');
    return dump(connection);
  } catch (thrown) {
    const error = explainDamage(connection, thrown);
    if (error instanceof CorruptionError) return error;
    throw error;
  }
}

/** Numbers of the pages whose checksum is not that of the second program. */
function wrongPages(path: string): number[] {
  const file = readFileSync(path);
  const wrong: number[] = [];
  for (let number = 1; number * PAGE_BYTES <= file.length; number += 1) {
    const page = file.subarray((number - 1) * PAGE_BYTES, number * PAGE_BYTES);
    if (pageChecksum(page, number) !== storedChecksum(page)) wrong.push(number);
  }
  return wrong;
}

t.test('the second program computes XXH64: zstd agrees', (t) => {
  const compressor = new Compressor();
  compressor.setParameters({ checksumFlag: true });
  for (const bytes of [32, 40, 56, 64, 8184]) {
    const data = randomBytesOf(bytes, bytes);
    // A zstd frame ends with the low half of the content's XXH64, seed 0.
    const expected = compressor.compress(data).subarray(-4).readUInt32LE(0);
    t.equal(Number(xxh64(data, 0n) & 0xffff_ffffn), expected, `${bytes} bytes`);
  }
  t.end();
});

t.test('each page has its checksum, however it was written', async (t) => {
  const database = create(t);
  const { connection, path } = database;
  await database.checkpoint('idle');
  t.strictSame(wrongPages(path), [], 'after a checkpoint');
  connection.exec('DELETE FROM xattr WHERE ino % 3 > 0');
  database.commit();
  const before = statSync(path).size;
  for (let round = 0; round < 5; round += 1) {
    fill(database, 2 + round, 300);
    database.commit();
    await database.checkpoint('idle');
  }
  t.strictSame(wrongPages(path), [], 'after deletes, vacuums and inserts');
  t.not(statSync(path).size, before);
  const rows = dump(connection);
  connection.exec('COMMIT');
  connection.exec(`VACUUM INTO '${path}-copy'`);
  connection.exec('BEGIN');
  t.strictSame(wrongPages(`${path}-copy`), [], 'in the copy that VACUUM INTO makes');
  t.equal(read(`${path}-copy`), rows);
  database.close();
  t.strictSame(wrongPages(path), [], 'after closing');
});

t.test('a backup can read every page, free ones too', async (t) => {
  const { connection, path } = create(t);
  connection.exec('DELETE FROM chunk');
  connection.exec('COMMIT');
  connection.pragma('wal_checkpoint(TRUNCATE)');
  t.ok(Number(connection.pragma('freelist_count', { simple: true })) > 0);
  const rows = dump(connection);
  // Written through SQLite's own VFS, so it is for other programs.
  await connection.backup(`${path}-backup`);
  const copy = new Database(`${path}-backup`);
  t.equal(copy.pragma('integrity_check', { simple: true }), 'ok');
  t.equal(dump(copy), rows);
  copy.close();
});

t.test('a changed bit of meta.db is an error, never other rows', (t) => {
  const random = new Random(printedSeed(t));
  const database = create(t);
  const rows = dump(database.connection);
  database.close();
  const { path } = database;
  const size = statSync(path).size;
  let errors = 0;
  for (let flip = 0; flip < FLIPS; flip += 1) {
    copyFileSync(path, `${path}-flipped`);
    // A few in the header, which is read before any page is.
    const offset = random.below(flip % 10 === 0 ? 100 : size);
    const bit = random.below(8);
    flipBit(`${path}-flipped`, offset, bit);
    const found = read(`${path}-flipped`);
    if (found instanceof CorruptionError) errors += 1;
    else if (found !== rows) t.fail(`bit ${bit} of byte ${offset} gave other rows`);
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}-flipped${suffix}`, { force: true });
  }
  t.comment(`${errors} of ${FLIPS} changes were noticed, the others were not read`);
  t.ok(errors > FLIPS / 2);
  t.end();
});

t.test('each bit of the header that says whether there are checksums', (t) => {
  const database = create(t, 10);
  database.close();
  const { path } = database;
  for (let offset = 0; offset < 24; offset += 1) {
    for (let bit = 0; bit < 8; bit += 1) {
      copyFileSync(path, `${path}-flipped`);
      flipBit(`${path}-flipped`, offset, bit);
      t.ok(read(`${path}-flipped`) instanceof CorruptionError, `bit ${bit} of byte ${offset}`);
      rmSync(`${path}-flipped`);
    }
  }
  t.end();
});

t.test('a page in the place of another is an error', (t) => {
  const database = create(t);
  database.close();
  const { path } = database;
  const file = readFileSync(path);
  t.ok(file.length > 30 * PAGE_BYTES);
  const moved = openChecked(path);
  const leaves = moved.prepare(
    `SELECT pageno FROM dbstat WHERE name = 'chunk' AND pagetype = 'leaf'`,
  );
  const [from, to] = leaves.pluck().all() as number[];
  moved.close();
  file.copy(
    file,
    ((to ?? 0) - 1) * PAGE_BYTES,
    ((from ?? 0) - 1) * PAGE_BYTES,
    (from ?? 0) * PAGE_BYTES,
  );
  t.ok(statSync(path).size === file.length);
  writeFileSync(`${path}-moved`, file);
  t.match(String(read(`${path}-moved`)), new RegExp(`page ${to} `));
  t.end();
});

t.test('a file cut short is an error, also when there is a log', (t) => {
  const database = create(t);
  const { connection, path } = database;
  connection.exec('COMMIT');
  connection.pragma('wal_checkpoint(TRUNCATE)');
  connection.exec('BEGIN');
  fill(database, 2, 40);
  database.commit();
  const rows = dump(connection);
  const file = readFileSync(path);
  const log = readFileSync(`${path}-wal`);
  database.close();
  for (const bytes of [1, 512, PAGE_BYTES, 5 * PAGE_BYTES + 1]) {
    writeFileSync(`${path}-cut`, file.subarray(0, file.length - bytes));
    writeFileSync(`${path}-cut-wal`, log);
    const found = read(`${path}-cut`);
    // The log has some of the last pages, but not five.
    if (bytes > 5 * PAGE_BYTES) t.ok(found instanceof CorruptionError, 'pages less, with a log');
    else
      t.ok(found === rows || found instanceof CorruptionError, `${bytes} bytes less, with a log`);
    rmSync(`${path}-cut-wal`, { force: true });
    writeFileSync(`${path}-cut`, readFileSync(path).subarray(0, -bytes));
    t.ok(read(`${path}-cut`) instanceof CorruptionError, `${bytes} bytes less`);
  }
  t.end();
});

t.test('while the database is open', (t) => {
  const random = new Random(printedSeed(t));
  t.test('a changed bit of the log is an error', (t) => {
    let errors = 0;
    for (let flip = 0; flip < 10; flip += 1) {
      const made = create(t);
      made.close();
      const database = new MetaDatabase(made.path, { create: false });
      fill(database, 2, 3000);
      database.commit();
      t.notOk(existsSync(`${database.path}-shm`), 'the log is not shared');
      const rows = dump(database.connection);
      const log = `${database.path}-wal`;
      // Behind the headers of the log and of a frame; nothing else reads frames again.
      const frame = random.below(Math.floor((statSync(log).size - 32) / (PAGE_BYTES + 24)));
      flipBit(log, 32 + frame * (PAGE_BYTES + 24) + 24 + random.below(PAGE_BYTES), random.below(8));
      const found = readUncached(database);
      if (found instanceof CorruptionError) errors += 1;
      else t.equal(found, rows);
      database.close();
    }
    t.comment(`${errors} of 10 were in frames that are read`);
    t.ok(errors > 0);
    t.end();
  });

  t.test('a changed bit of meta.db is an error', async (t) => {
    const database = create(t);
    await database.checkpoint('idle');
    flipBit(database.path, 5 * PAGE_BYTES + 77, 3);
    t.match(String(readUncached(database)), /page 6 does not match its checksum/);
  });

  t.test('a damaged page fails who wants it, and the batch goes on', async (t) => {
    const database = create(t);
    await database.checkpoint('idle');
    const page = database.connection
      .prepare(`SELECT rootpage FROM sqlite_schema WHERE name = 'xattr'`)
      .pluck()
      .get() as number;
    flipBit(database.path, (page - 1) * PAGE_BYTES + 77, 3);
    database.connection.exec(`INSERT INTO meta VALUES ('kept', 1)`);
    database.connection.pragma('shrink_memory');
    t.throws(() => database.statements.prepare('SELECT * FROM xattr').all(), {
      code: 'DEDUPFS_CORRUPT',
    });
    t.equal(database.connection.inTransaction, true);
    database.connection.exec(`INSERT INTO meta VALUES ('too', 1)`);
    database.commit();
    database.close();
    const again = new MetaDatabase(database.path, { create: false });
    t.equal(again.connection.prepare('SELECT count(*) FROM meta').pluck().get(), 2);
    again.close();
  });

  t.test('changes are read back from the log as often as they are made', (t) => {
    const database = create(t);
    database.connection.pragma('cache_size = 10');
    for (let round = 0; round < 4; round += 1) {
      // More than the cache holds: pages go to the log, come back and go again within a batch.
      fill(database, 2, 2000);
      database.connection.exec(
        'UPDATE xattr SET value = zeroblob(length(value) + 900) WHERE ino % 7 = 0',
      );
      t.equal(database.connection.pragma('integrity_check', { simple: true }), 'ok');
      if (round % 2 === 0) database.commit();
    }
    t.end();
  });
  t.end();
});

t.test('a changed bit of the log that a crash left gives an earlier commit', (t) => {
  const random = new Random(printedSeed(t));
  const database = create(t, 200);
  database.connection.exec('COMMIT');
  database.connection.pragma('wal_checkpoint(TRUNCATE)');
  database.connection.exec('BEGIN');
  const states = [dump(database.connection)];
  for (let commit = 0; commit < 5; commit += 1) {
    fill(database, 2 + commit, 40);
    database.commit();
    states.push(dump(database.connection));
  }
  const { path } = database;
  const size = statSync(`${path}-wal`).size;
  const seen = new Set<number>();
  for (let flip = 0; flip < LOG_FLIPS; flip += 1) {
    for (const suffix of ['', '-wal']) copyFileSync(`${path}${suffix}`, `${path}-crashed${suffix}`);
    const offset = random.below(size);
    flipBit(`${path}-crashed-wal`, offset, random.below(8));
    const found = read(`${path}-crashed`);
    const state = found instanceof CorruptionError ? -1 : states.indexOf(found);
    if (!(found instanceof CorruptionError) && state < 0) t.fail(`byte ${offset}: other rows`);
    seen.add(state);
  }
  t.comment(`states found: ${[...seen].join(' ')}`);
  t.ok(seen.size > 2);
  t.end();
});

t.test('databases of others are left alone', (t) => {
  const path = join(t.testdir(), 'other.db');
  const other = new Database(path);
  other.exec('CREATE TABLE one (a)');
  t.equal(other.pragma('page_checksums', { simple: true }), undefined, 'not through our VFS');
  other.close();
  const opened = openChecked(path);
  t.equal(hasChecksums(opened), false);
  opened.exec('INSERT INTO one VALUES (1)');
  opened.close();
  const again = new Database(path);
  t.equal(again.prepare('SELECT a FROM one').pluck().get(), 1);
  again.close();
  t.end();
});
