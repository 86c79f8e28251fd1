// Goal: of many arenas only those are looked at that may change, and the sum is right when some grow, come
// or go. Method: files of known size with old and new times of change.

import {
  appendFileSync,
  mkdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { StoreFiles } from '../../lib/store/store-files.ts';

const FILE_BYTES = 64 * 1024;
const LONG_AGO = new Date('2001-02-03');

function opened(t: Test) {
  const folder = t.testdir({});
  mkdirSync(join(folder, 'arenas'));
  const path = (name: string): string => join(folder, name);
  const write = (name: string, isOld = true): void => {
    writeFileSync(path(name), Buffer.alloc(FILE_BYTES, 1));
    if (isOld) utimesSync(path(name), LONG_AGO, LONG_AGO);
  };
  const occupied = (name: string): number => statSync(path(name)).blocks * 512;
  return { files: new StoreFiles(folder), path, write, occupied };
}

await t.test('all files count, and those that come and go', async (t) => {
  const { files, path, write, occupied } = opened(t);
  for (const name of ['meta.db', 'arenas/a000001.mdb', 'arenas/a000002.mdb']) write(name);
  const each = occupied('meta.db');
  t.equal(files.bytes, 3 * each);
  await files.lookAhead();
  write('arenas/a000003.mdb');
  write('arenas/a000003.mdb-lock');
  write('arenas/c000001.mdb');
  t.equal(files.bytes, 6 * each);
  rmSync(path('arenas/a000001.mdb'));
  t.equal(files.bytes, 5 * each);
  write('arenas/a000001.mdb');
  t.equal(files.bytes, 6 * each, 'a number that comes again is looked at again');
});

await t.test('what may change is looked at each time', async (t) => {
  const { files, path, write, occupied } = opened(t);
  write('arenas/a000001.mdb');
  write('arenas/a000002.mdb', false);
  for (const name of ['a000003.mdb', 'a000004.mdb', 'c000001.mdb']) write(`arenas/${name}`);
  await files.lookAhead();
  const before = files.bytes;
  const each = occupied('arenas/a000003.mdb');
  const changing = ['a000002.mdb', 'a000003.mdb', 'a000004.mdb', 'c000001.mdb'];
  for (const name of changing) {
    appendFileSync(path(`arenas/${name}`), Buffer.alloc(FILE_BYTES, 2));
    utimesSync(path(`arenas/${name}`), LONG_AGO, LONG_AGO);
  }
  t.equal(
    files.bytes,
    before + changing.length * each,
    'changed lately; the last two; no arena of packs',
  );
});

await t.test('a sealed arena that has rested is not looked at again', async (t) => {
  const { files, path, write } = opened(t);
  for (const name of ['a000001.mdb', 'a000002.mdb', 'a000003.mdb']) write(`arenas/${name}`);
  await files.lookAhead();
  const before = files.bytes;
  truncateSync(path('arenas/a000001.mdb'));
  t.equal(files.bytes, before);
});
