// Goal: the native cutter gives the cuts of its slow twin, however the stream is split. Method:
// random data of every kind under a printed seed, with windows near the borders of the vector code
// (blocks of 1024 candidates, looked through in parts of 128).

import t from 'tap';

import { native, type CutParameters } from '../../lib/native.ts';
import { referenceCut } from '../support/reference-cutter.ts';
import { chooseSeed, KINDS, Random } from './random.ts';

const seed = chooseSeed();
t.comment(`DEDUPFS_TEST_SEED=${seed}, cutter ${native.cutterKind()}`);

function cut(bytes: Uint8Array, parameters: CutParameters, isFinal: boolean, from = 0): number[] {
  const ends = new Uint32Array(Math.ceil(bytes.length / parameters.bytesMin) + 1);
  const count = native.cutChunks(bytes, from, bytes.length, parameters, isFinal, ends);
  return [...ends.subarray(0, count)];
}

function randomParameters(random: Random, bytesMin: number, window: number): CutParameters {
  return {
    bytesMin,
    bytesMax: bytesMin + window,
    multiplier: (random.uint32() | 1) >>> 0,
    addend: random.uint32(),
  };
}

t.test('cuts are those of the slow twin for all kinds of data', (t) => {
  const random = new Random(seed);
  const wrong: unknown[] = [];
  for (const kind of KINDS) {
    for (let round = 0; round < 40; round++) {
      const bytes = random.bytes(random.below(60_000), kind);
      const parameters = randomParameters(random, 64 + random.below(3000), random.below(6000));
      const isFinal = random.below(2) === 0;
      const want = referenceCut(bytes, parameters, { from: 0, to: bytes.length, isFinal });
      const found = cut(bytes, parameters, isFinal);
      if (found.join() !== want.join()) wrong.push({ kind, round, found, want });
    }
  }
  t.same(wrong, []);
  t.end();
});

t.test('cuts are right for every window near a border of the vector code', (t) => {
  const random = new Random(seed);
  const windows = [0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 128, 129];
  for (const block of [1024, 2048, 3072]) {
    for (let near = -40; near <= 70; near++) windows.push(block + near);
  }
  const wrong: string[] = [];
  for (const window of windows) {
    for (const kind of ['even', 'binary'] as const) {
      const bytes = random.bytes(4 * (window + 64) + random.below(100), kind);
      const parameters = randomParameters(random, 64, window);
      const want = referenceCut(bytes, parameters, { from: 0, to: bytes.length, isFinal: true });
      if (cut(bytes, parameters, true).join() !== want.join()) wrong.push(`${kind} ${window}`);
    }
  }
  t.same(wrong, []);
  t.end();
});

t.test('a stream cut in pieces has the cuts of the stream cut at once', (t) => {
  const random = new Random(seed);
  for (let round = 0; round < 60; round++) {
    const kind = KINDS[random.below(KINDS.length)] ?? 'even';
    const bytes = random.bytes(1 + random.below(100_000), kind);
    const parameters = randomParameters(random, 64 + random.below(2000), random.below(5000));
    const inPieces: number[] = [];
    const ends = new Uint32Array(3);
    let from = 0;
    while (from < bytes.length) {
      const to = Math.min(bytes.length, from + random.below(20_000));
      const isFinal = to === bytes.length;
      const count = native.cutChunks(bytes, from, to, parameters, isFinal, ends);
      inPieces.push(...ends.subarray(0, count));
      from = inPieces.at(-1) ?? 0;
    }
    if (!t.same(inPieces, cut(bytes, parameters, true), `${kind} round ${round}`)) break;
  }
  t.end();
});

t.test('a rest of bytesMax waits for more, and is one chunk at the end', (t) => {
  const parameters = { bytesMin: 64, bytesMax: 192, multiplier: 0x9e3779b1, addend: 1 };
  const bytes = new Random(seed).bytes(193, 'even');
  const ends = new Uint32Array(4);
  t.equal(native.cutChunks(bytes, 0, 192, parameters, false, ends), 0);
  t.equal(native.cutChunks(bytes, 0, 192, parameters, true, ends), 1);
  t.equal(ends[0], 192);
  t.equal(native.cutChunks(bytes, 0, 193, parameters, false, ends), 1);
  t.equal(native.cutChunks(bytes, 0, 0, parameters, true, ends), 0, 'nothing makes no chunk');
  t.equal(native.cutChunks(bytes, 0, 193, parameters, true, new Uint32Array(0)), 0, 'no room');
  t.end();
});

t.test('zeros are cut at the smallest size, because the earliest of equals wins', (t) => {
  const parameters = { bytesMin: 100, bytesMax: 5000, multiplier: 3, addend: 7 };
  t.same(cut(new Uint8Array(5200), parameters, true), [100, 200, 5200]);
  t.end();
});

t.test('shared memory is cut in place, at any alignment', (t) => {
  const random = new Random(seed);
  const shared = Buffer.from(new SharedArrayBuffer(40_000));
  shared.set(random.bytes(shared.length, 'even'));
  const parameters = randomParameters(random, 500, 3000);
  for (let shift = 0; shift < 8; shift++) {
    const view = shared.subarray(shift);
    const want = referenceCut(view, parameters, { from: 5, to: view.length, isFinal: true });
    t.same(cut(view, parameters, true, 5), want, `shift ${shift}`);
  }
  t.end();
});
