// Goal: how many distinct bytes a tree has is told right from a part of it, with a range that holds it;
// and shared tables count exactly while there is room, and unbiased when there is not.

import t from 'tap';

import { randomBytesOf, Random, printedSeed } from '../support/random.ts';
import { estimateDistinct } from '../../lib/estimate/distinct.ts';
import {
  createTable,
  FingerprintTable,
  type TableSums,
} from '../../lib/estimate/fingerprint-table.ts';
import {
  addSums,
  chanceAt,
  emptySums,
  noteFrame,
  ratioOf,
} from '../../lib/estimate/frame-sample.ts';

const CHUNK_BYTES = 1000;
const CHUNKS = 20_000;

/** Chunks in so many units each, a share of the units read. */
function sample(random: Random, owners: (chunk: number) => number, readShare: number): TableSums {
  const sums = { share: 1, chunks: 0, bytes: 0, bytesInOne: 0, bytesInTwo: 0, chunksInTwo: 0 };
  for (let chunk = 0; chunk < CHUNKS; chunk += 1) {
    let seen = 0;
    for (let owner = 0; owner < owners(chunk); owner += 1) {
      if (random.below(1e6) < readShare * 1e6) seen += 1;
    }
    if (seen === 0) continue;
    sums.chunks += 1;
    sums.bytes += CHUNK_BYTES;
    if (seen === 1) sums.bytesInOne += CHUNK_BYTES;
    if (seen !== 2) continue;
    sums.bytesInTwo += CHUNK_BYTES;
    sums.chunksInTwo += 1;
  }
  return sums;
}

t.test('distinct bytes are told from a part of the units', async (t) => {
  const random = new Random(printedSeed(t));
  const cases = [
    { name: 'each in one', owners: () => 1, tolerance: 0.05 },
    { name: 'each in two', owners: () => 2, tolerance: 0.1 },
    { name: 'every other in two', owners: (chunk: number) => 1 + (chunk % 2), tolerance: 0.1 },
    { name: 'each in ten', owners: () => 10, tolerance: 0.25 },
  ];
  for (const { name, owners, tolerance } of cases) {
    for (const readShare of [0.2, 0.5]) {
      const sums = sample(random, owners, readShare);
      let references = 0;
      for (let chunk = 0; chunk < CHUNKS; chunk += 1) references += owners(chunk);
      const referencedBytes = references * CHUNK_BYTES;
      const sampling = { readShare, referencedBytes, chunksPerUnit: 1 };
      const { bytes, bytesMin, bytesMax } = estimateDistinct(sums, sampling);
      const told = bytes / (CHUNKS * CHUNK_BYTES);
      t.ok(Math.abs(told - 1) < tolerance, `${name}, ${readShare} read: ${told.toFixed(3)}`);
      t.ok(bytesMin <= bytes && bytes <= bytesMax, `${bytesMin} <= ${bytes} <= ${bytesMax}`);
      t.ok(bytesMin <= 1.02 * CHUNKS * CHUNK_BYTES, 'not more than there is at least');
    }
  }
});

t.test('a table counts exactly while there is room', async (t) => {
  const table = new FingerprintTable(createTable(100));
  const prints = Array.from({ length: 50 }, (_, number) => randomBytesOf(number, 32));
  t.strictSame(
    prints.map((print) => table.note(print, 10, 1)),
    prints.map(() => 'new'),
  );
  for (const print of prints.slice(0, 20)) t.equal(table.note(print, 10, 1), 'known');
  for (const print of prints.slice(0, 5)) t.equal(table.note(print, 10, 2), 'known');
  const want = { chunks: 50, bytes: 500, bytesInOne: 450, bytesInTwo: 50, chunksInTwo: 5 };
  t.match(table.sums(), { share: 1, ...want });
});

t.test('a table without room for all counts a share', async (t) => {
  const table = new FingerprintTable(createTable(30_000_000));
  const all = randomBytesOf('many', 32 * 20_000);
  let tracked = 0;
  for (let at = 0; at < all.length; at += 32) {
    if (table.note(all.subarray(at, at + 32), 10, 1) === 'new') tracked += 1;
  }
  const { share, chunks } = table.sums();
  t.ok(share < 0.1 && chunks === tracked, `${chunks} tracked of 20,000`);
  t.ok(Math.abs(chunks / share / 20_000 - 1) < 0.15, `${chunks / share} told`);
});

t.test(
  'a table with fewer slots than there are chunks thins them out, and stays quick',
  async (t) => {
    const table = new FingerprintTable(createTable(100));
    const count = 60_000;
    const all = randomBytesOf('unexpected', 32 * count);
    const startMs = performance.now();
    for (const unit of [1, 2]) {
      for (let at = 0; at < all.length; at += 32) {
        // Each is met in one unit, every other in two.
        if (unit === 1 || at % 64 === 0) table.note(all.subarray(at, at + 32), 10, unit);
      }
    }
    t.comment(`${(performance.now() - startMs).toFixed(0)} ms`);
    t.ok(performance.now() - startMs < 5000, 'it does not look through all slots for each');
    const { share, chunks, bytes, chunksInTwo } = table.sums();
    t.ok(share < 0.1, `${share} of them tracked`);
    t.equal(bytes, 10 * chunks);
    t.ok(Math.abs(chunks / share / count - 1) < 0.1, `${chunks / share} told of ${count}`);
    t.ok(Math.abs(chunksInTwo / chunks - 0.5) < 0.05, `${chunksInTwo} of ${chunks} in two units`);
  },
);

t.test('a sample of frames gives the ratio of all, and its error', async (t) => {
  const random = new Random(printedSeed(t));
  const [sampled, all] = [emptySums(), emptySums()];
  let bytesBefore = 0;
  for (let frame = 0; frame < 20_000; frame += 1) {
    const plain = 100_000 + random.below(30_000);
    // What comes later compresses better.
    const stored = Math.round(plain * (0.9 - frame / 40_000 + random.below(100) / 1000));
    const chance = chanceAt(bytesBefore, 32 * 2 ** 20);
    noteFrame(all, { plain, stored, milliseconds: 1 }, 1);
    if (random.below(1e6) < chance * 1e6) {
      noteFrame(sampled, { plain, stored, milliseconds: 1 }, 1 / chance);
    }
    bytesBefore += plain;
  }
  const { ratio, error } = ratioOf(sampled);
  const real = ratioOf(all);
  t.equal(real.error, 0, 'who compresses all has no error');
  t.ok(sampled.frames < all.frames / 5, `${sampled.frames} of ${all.frames} compressed`);
  t.ok(Math.abs(ratio - real.ratio) < 4 * error, `${ratio} told, ${real.ratio} is right`);
  t.ok(error / ratio < 0.02, `error ${error}`);
  const twice = emptySums();
  addSums(twice, sampled);
  addSums(twice, sampled);
  t.equal(ratioOf(twice).ratio, ratio);
  t.strictSame(ratioOf(emptySums()), { ratio: 1, error: 0 });
});
