// Goal: giving up much of a large file is quick, exact, and gives the space back in turns.
// Method: files grow by copying ranges onto their own end, which costs no data.

import t, { type Test } from 'tap';
import { assertStoreClean, openFresh, type OpenedStore } from '../support/open-store.ts';
import { KEEP_SIZE, PUNCH_HOLE } from '../support/filesystem-driver.ts';
import { randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;
/** Not a multiple of the segment size, so that copies of it lie askew. */
const PART_BYTES = 5 * MIB + 12_345;
const PARTS = 128;
const SIZE = PART_BYTES * PARTS;

interface LargeFile extends OpenedStore {
  readonly fh: Awaited<ReturnType<OpenedStore['driver']['create']>>['fh'];
  /** Whether the file shows the repeated content at some places, or zeros in `hole`. */
  isRight(places: readonly number[], hole?: { from: number; to: number }): Promise<boolean>;
}

async function largeFile(t: Test): Promise<LargeFile> {
  const opened = await openFresh(t);
  const { driver, store } = opened;
  const part = randomBytesOf('large', PART_BYTES);
  const { fh, ino } = await driver.create('large');
  await driver.write(fh, 0, part);
  for (let bytes = PART_BYTES; bytes < SIZE; bytes *= 2) {
    let done = 0;
    while (done < bytes) {
      const from = { ino, offset: done };
      const to = { ino, offset: bytes + done };
      done += await store.filesystem.copyRange({ from, to, bytes: bytes - done });
    }
  }
  const isRight: LargeFile['isRight'] = async (places, hole = { from: 0, to: 0 }) => {
    for (const place of places) {
      const got = await driver.read(fh, place, 10_000);
      for (const [index, byte] of got.entries()) {
        const at = place + index;
        const want = at >= hole.from && at < hole.to ? 0 : part[at % PART_BYTES];
        if (byte !== want) return false;
      }
    }
    return true;
  };
  return { ...opened, fh, isRight };
}

// Moving the segments reads the maps of the smaller part.
const cuts = [
  { what: 'most', size: 9 * MIB + 17 },
  { what: 'less than half', size: SIZE - 300 * MIB - 17 },
];
for (const { what, size } of cuts) {
  t.test(`cutting off ${what} of a large file keeps what is in front, to the byte`, async (t) => {
    const { driver, store, fh, isRight } = await largeFile(t);
    const { ino } = driver.stat('large');
    await driver.change((fs) => fs.setAttributes(ino, { size }, { uid: 0, gid: 0, pid: 1 }));
    t.equal(driver.stat('large').size, size);
    t.ok(await isRight([0, PART_BYTES - 5000, size - 10_000]));
    await driver.change((fs) => fs.setAttributes(ino, { size: SIZE }, { uid: 0, gid: 0, pid: 1 }));
    t.ok(await isRight([size - 5000, SIZE - 10_000, SIZE / 2], { from: size, to: SIZE }));
    driver.release(fh);
    await store.gc();
    await assertStoreClean(t, store);
    t.ok(store.statistics().referencedBytes <= size, 'what was cut off refers to nothing any more');
  });
}

const holes = [
  { what: 'large', hole: { from: 3 * MIB + 1, to: SIZE - 2 * MIB - 3 } },
  { what: 'smaller', hole: { from: 100 * MIB + 1, to: 390 * MIB } },
];
for (const { what, hole } of holes) {
  t.test(`punching a ${what} hole keeps both sides, to the byte`, async (t) => {
    const { driver, store, fh, isRight } = await largeFile(t);
    const range = { offset: hole.from, bytes: hole.to - hole.from };
    await driver.allocate(fh, range, PUNCH_HOLE | KEEP_SIZE);
    const places = [0, hole.from - 5000, hole.from + 5 * MIB, hole.to - 5000, SIZE - 10_000];
    t.ok(await isRight(places, hole));
    await driver.write(fh, hole.to - 20 * MIB, randomBytesOf('again', MIB));
    await store.commit();
    await assertStoreClean(t, store);
    driver.release(fh);
    await driver.remove('large');
    await store.gc();
    await assertStoreClean(t, store);
  });
}
