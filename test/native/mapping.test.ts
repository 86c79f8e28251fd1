// Goal: the resident pages of a mapped LMDB file are given back, and nothing else is touched.

import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { open } from 'lmdb';
import t from 'tap';

import { native } from '../../lib/native.ts';

/** Resident kilobytes of all mappings of `path`, from /proc/self/smaps. */
function residentKilobytes(path: string): number {
  let isOurs = false;
  let kilobytes = 0;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isOurs = line.endsWith(` ${path}`);
    if (isOurs && line.startsWith('Rss:')) kilobytes += Number(/\d+/.exec(line)?.[0]);
  }
  return kilobytes;
}

t.test('pages read through a mapping stop counting as resident', async (t) => {
  // Spaces, because /proc/self/maps separates its fields with them.
  const folder = t.testdir({ 'two  spaces ': {} });
  const path = join(folder, 'two  spaces ', 'a 1.mdb');
  const store = open<Buffer, number>({ path, noSubdir: true, encoding: 'binary' });
  t.teardown(() => store.close());
  const values = 64;
  for (let key = 0; key < values; key++) void store.put(key, Buffer.alloc(100_000, key));
  await store.flushed;
  const isIntact = () =>
    Array.from({ length: values }, (_, key) => store.getBinary(key)).every((value, key) =>
      value?.equals(Buffer.alloc(100_000, key)),
    );
  t.ok(isIntact());
  t.ok(residentKilobytes(path) > 4000, 'mapped and resident before');
  t.ok(native.releaseMapping(path) > values * 100_000, 'bytes advised');
  t.ok(residentKilobytes(path) < 1000, 'no longer resident');
  t.ok(isIntact(), 'and still readable');

  symlinkSync(path, join(folder, 'link'));
  t.ok(native.releaseMapping(join(folder, 'link')) > 0, 'found behind a symbolic link');
});

t.test('a file that is not mapped, or not there, has nothing to give back', (t) => {
  const path = join(t.testdir({ file: 'contents' }), 'file');
  t.equal(native.releaseMapping(path), 0);
  t.equal(native.releaseMapping(`${path}-missing`), 0);
  t.equal(native.releaseMapping(''), 0);
  t.equal(native.releaseMapping(process.execPath), 0, 'private mappings are left alone');
  t.end();
});
