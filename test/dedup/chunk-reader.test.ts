// Goal: a chunk is what was stored or an error, and can be read before its pack is durable. Method:
// a real store without compression, whose arena file is damaged where a chunk's bytes are found.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { failPuts, failureIn, FULL } from '../support/faults.ts';
import { assertStoreClean, openAt, openFresh } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

const BYTES = 300_000;
const DAMAGED_AT = 150_000;

t.test('a flipped byte in an arena reads as EIO, the chunks around it as they are', async (t) => {
  const content = randomBytesOf('a', BYTES);
  const first = await openFresh(t, { compression: 'none' });
  await first.driver.put('a', content);
  await first.driver.put('b', randomBytesOf('b', BYTES));
  await first.store.close();
  const file = join(first.path, 'arenas/a000001.mdb');
  const bytes = readFileSync(file);
  const at = bytes.indexOf(content.subarray(DAMAGED_AT, DAMAGED_AT + 32));
  t.ok(at > 0, 'the bytes lie in the arena as they are');
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);

  const { driver } = await openAt(t, first.path);
  const { fh } = await driver.open('a');
  const damaged = await failureIn(driver.read(fh, DAMAGED_AT, 1));
  t.match(damaged, { errno: 5, cause: { code: 'DEDUPFS_CORRUPT' } });
  t.match(await failureIn(driver.read(fh, 0, BYTES)), { errno: 5 });
  t.match(await failureIn(driver.read(fh, DAMAGED_AT, 1)), { errno: 5 }, 'and again');
  // The largest chunk has 48 KiB.
  const around = [0, DAMAGED_AT - 50_000, DAMAGED_AT + 50_000, BYTES - 1000];
  for (const offset of around) {
    const found = await driver.read(fh, offset, 1000);
    t.ok(found.equals(content.subarray(offset, offset + 1000)), `at ${offset}`);
  }
  t.ok((await driver.get('b')).equals(randomBytesOf('b', BYTES)), 'another file of the pack');
  driver.release(fh);
});

t.test('chunks can be read while their packs are not durable', async (t) => {
  const { store, driver } = await openFresh(t);
  const faults = failPuts(t, FULL);
  const content = randomBytesOf('pending', 3_000_000);
  await driver.put('a', content);
  t.match(await failureIn(store.commit()), { code: 'DEDUPFS_NO_SPACE' });
  t.equal(store.statistics().dirtyBytes, 0, 'no byte is left in slabs');
  t.ok((await driver.get('a')).equals(content));
  faults.stop();
  await store.commit();
  t.ok((await driver.get('a')).equals(content));
  await assertStoreClean(t, store);
});

t.test('more than the cache holds is read right, again and again', async (t) => {
  const { store, driver, path } = await openFresh(t);
  for (let file = 0; file < 8; file += 1) await driver.put(`${file}`, randomBytesOf(file, 5e6));
  await store.close();
  const again = await openAt(t, path);
  for (const file of [0, 1, 2, 3, 4, 5, 6, 7, 0, 3, 7]) {
    t.ok((await again.driver.get(`${file}`)).equals(randomBytesOf(file, 5e6)));
  }
  await assertStoreClean(t, again.store);
});
