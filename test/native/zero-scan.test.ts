// Goal: runs of zeros are found exactly as by the slow twin, at every length and border.

import t from 'tap';

import { native } from '../../lib/native.ts';
import { referenceSkipZeros, referenceZeroRun } from '../support/reference-cutter.ts';
import { chooseSeed, KINDS, Random } from './random.ts';

const seed = chooseSeed();
t.comment(`DEDUPFS_TEST_SEED=${seed}`);

function findZeroRun(bytes: Uint8Array, from: number, to: number, bytesMin: number) {
  const run = new Uint32Array(2);
  return native.findZeroRun(bytes, from, to, bytesMin, run) ? [run[0], run[1]] : undefined;
}

t.test('runs are those of the slow twin', (t) => {
  const random = new Random(seed);
  const wrong: unknown[] = [];
  for (let round = 0; round < 5000; round++) {
    const bytes = random.bytes(random.below(2000), KINDS[round % KINDS.length] ?? 'even');
    for (let island = random.below(4); island > 0; island--) {
      const at = random.below(bytes.length);
      bytes.fill(0, at, at + random.below(500));
    }
    const from = random.below(bytes.length + 1);
    const to = from + random.below(bytes.length - from + 1);
    const bytesMin = 1 + random.below(300);
    const want = referenceZeroRun(bytes, from, to, bytesMin);
    const found = findZeroRun(bytes, from, to, bytesMin);
    if (String(found) !== String(want)) wrong.push({ round, from, to, bytesMin, found, want });
    const first = native.skipZeros(bytes, from, to);
    if (first !== referenceSkipZeros(bytes, from, to)) wrong.push({ round, from, to, first });
  }
  t.same(wrong, []);
  t.end();
});

t.test('a run ends where the range ends, and is maximal inside it', (t) => {
  const bytes = new Uint8Array(100).fill(1);
  bytes.fill(0, 20, 60);
  const cases = [
    { from: 0, to: 100, bytesMin: 40, want: [20, 60], why: 'exactly long enough' },
    { from: 0, to: 100, bytesMin: 41, want: undefined, why: 'one too short' },
    { from: 0, to: 50, bytesMin: 10, want: [20, 50], why: 'cut by the end' },
    { from: 30, to: 100, bytesMin: 10, want: [30, 60], why: 'cut by the start' },
    { from: 60, to: 100, bytesMin: 1, want: undefined, why: 'behind it' },
    { from: 20, to: 20, bytesMin: 1, want: undefined, why: 'empty range' },
  ];
  for (const { from, to, bytesMin, want, why } of cases) {
    t.same(findZeroRun(bytes, from, to, bytesMin), want, why);
  }
  t.end();
});

t.test('shared memory is scanned in place', (t) => {
  const shared = Buffer.from(new SharedArrayBuffer(10_000)).fill(9);
  shared.fill(0, 1001, 9001);
  t.same(findZeroRun(shared, 0, shared.length, 4096), [1001, 9001]);
  t.equal(native.skipZeros(shared, 1001, shared.length), 9001);
  t.end();
});
