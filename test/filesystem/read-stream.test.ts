// Goal: reading ahead never shows: a read gives what the file holds at one moment between its beginning
// and its end, whatever is written, cut off, punched, removed or collected meanwhile, and damage is met as
// without it. Method: a real store, reads of 1 MiB in order, changes between the request and its answer.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { failureIn } from '../support/faults.ts';
import { KEEP_SIZE, PUNCH_HOLE } from '../support/filesystem-driver.ts';
import { assertStoreClean, openAt, openFresh, type OpenedStore } from '../support/open-store.ts';
import { Random, printedSeed, randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;
const BYTES = 12 * MIB + 12_345;

/** A store that holds `count` files and has nothing of them in memory. */
async function reopened(t: Test, count = 1, compression = 'lz4'): Promise<OpenedStore> {
  const first = await openFresh(t, { compression });
  for (let file = 0; file < count; file += 1) {
    await first.driver.put(`${file}`, randomBytesOf(`${file}`, BYTES));
  }
  await first.store.close();
  return openAt(t, first.path, { compression });
}

/** Begins a read; the answer may come later. */
function begin({ driver }: OpenedStore, fh: Parameters<OpenedStore['driver']['release']>[0]) {
  return async (offset: number, bytes = MIB): Promise<Buffer> => {
    const into = Buffer.alloc(bytes, 0xee);
    return into.subarray(0, await driver.fs.read(fh, offset, into, false));
  };
}

t.test('many streams at once read what was stored', async (t) => {
  const opened = await reopened(t, 6);
  const { driver, store } = opened;
  const streams = Array.from({ length: 12 }, async (_, stream) => {
    const content = randomBytesOf(`${stream % 6}`, BYTES);
    const { fh } = await driver.open(`${stream % 6}`);
    const read = begin(opened, fh);
    const bytes = stream % 2 === 0 ? MIB : 100_000;
    for (let offset = 0; offset < BYTES; offset += bytes) {
      const found = await read(offset, bytes);
      if (!found.equals(content.subarray(offset, offset + bytes))) return `at ${offset}`;
    }
    driver.release(fh);
    return 'right';
  });
  for (const found of await Promise.all(streams)) t.equal(found, 'right');
  await assertStoreClean(t, store);
});

t.test(
  'a read sees what was acknowledged before it, and never a mix of before and after',
  async (t) => {
    const seed = printedSeed(t);
    const random = new Random(seed);
    const opened = await reopened(t);
    const { driver, store } = opened;
    const { fh } = await driver.open('0', 2);
    const read = begin(opened, fh);
    let content = randomBytesOf('0', BYTES);
    for (let offset = 0; offset + MIB < BYTES; offset += MIB) {
      const answers = [read(offset), read(offset + MIB / 2)];
      const before = content;
      content = Buffer.from(content);
      const at = Math.min(BYTES - MIB, offset + random.below(2 * MIB));
      if (random.oneIn(3)) {
        await driver.allocate(fh, { offset: at, bytes: MIB }, PUNCH_HOLE | KEEP_SIZE);
        content.fill(0, at, at + MIB);
      } else {
        const bytes = randomBytesOf(`${seed} ${offset}`, MIB);
        await driver.write(fh, at, bytes);
        bytes.copy(content, at);
      }
      for (const [index, answer] of answers.entries()) {
        const from = offset + (index * MIB) / 2;
        const found = await answer;
        const isOne = [before, content].some((state) =>
          found.equals(state.subarray(from, from + MIB)),
        );
        if (!isOne) t.fail(`the read at ${from} is neither before nor after`);
      }
      const after = await read(offset);
      if (!after.equals(content.subarray(offset, offset + MIB))) t.fail(`old bytes at ${offset}`);
    }
    driver.release(fh);
    t.ok((await driver.get('0')).equals(content));
    await assertStoreClean(t, store);
  },
);

t.test('a file that is cut off under its reader ends there', async (t) => {
  const opened = await reopened(t);
  const { driver } = opened;
  const { fh, ino } = await driver.open('0', 2);
  const read = begin(opened, fh);
  for (let offset = 0; offset < 4 * MIB; offset += MIB) await read(offset);
  await driver.truncate(ino, 5 * MIB + 10);
  t.equal((await read(4 * MIB)).length, MIB);
  t.equal((await read(5 * MIB)).length, 10);
  t.equal((await read(6 * MIB)).length, 0);
  await driver.truncate(ino, BYTES);
  t.ok((await read(6 * MIB)).equals(Buffer.alloc(MIB)), 'what was cut off does not come back');
  driver.release(fh);
});

t.test('an unlinked file is read to its end while gc moves and removes arenas', async (t) => {
  const opened = await reopened(t, 2);
  const { driver, store } = opened;
  const content = randomBytesOf('0', BYTES);
  const { fh } = await driver.open('0');
  const read = begin(opened, fh);
  await driver.change((fs) => fs.unlink(1 as never, Buffer.from('1')));
  const collected = store.gc({ threshold: 1 });
  for (let offset = 0; offset < BYTES; offset += MIB) {
    const found = await read(offset);
    if (!found.equals(content.subarray(offset, offset + MIB))) t.fail(`wrong at ${offset}`);
    // Its space is given back while it is still read.
    if (offset === 3 * MIB) await driver.change((fs) => fs.unlink(1 as never, Buffer.from('0')));
  }
  await collected;
  driver.release(fh);
  await store.gc();
  await assertStoreClean(t, store);
});

t.test('damage ahead of a reader is EIO where it lies, and nowhere else', async (t) => {
  const first = await openFresh(t, { compression: 'none' });
  const content = randomBytesOf('damaged', BYTES);
  await first.driver.put('0', content);
  await first.store.close();
  const file = join(first.path, 'arenas/a000001.mdb');
  const arena = readFileSync(file);
  const damagedAt = 7 * MIB + 500_000;
  const at = arena.indexOf(content.subarray(damagedAt, damagedAt + 32));
  arena[at] = (arena[at] ?? 0) ^ 1;
  writeFileSync(file, arena);

  const opened = await openAt(t, first.path, { compression: 'none' });
  const { driver, store } = opened;
  const { fh } = await driver.open('0');
  const read = begin(opened, fh);
  const offsets = Array.from({ length: Math.ceil(BYTES / MIB) }, (_, part) => part * MIB);
  // Again, when it is in quarantine.
  for (const offset of [...offsets, ...offsets]) {
    if (offset === 7 * MIB) {
      t.match(await failureIn(read(offset)), { errno: 5 });
      continue;
    }
    const found = await read(offset);
    if (!found.equals(content.subarray(offset, offset + MIB))) t.fail(`wrong at ${offset}`);
  }
  t.equal((await store.listDamage()).files.length, 1, 'it is told');
  driver.release(fh);
});
