// Goal: the benchmark writes what it says: data that a seed fixes, new or known or half text. Method:
// small sources, looked at byte by byte and through a compressor.

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import t from 'tap';

import { PIECE_BYTES, sourceNames, writeSources } from '../../bench/sources.ts';

const all = new Set(sourceNames);
/** Not a whole number of pieces. */
const bytes = 2 * PIECE_BYTES + 12_345;

t.test('the same seed makes the same sources, another seed others', (t) => {
  const [one, same, other] = [t.testdir({ one: {}, same: {}, other: {} })].flatMap((folder) =>
    ['one', 'same', 'other'].map((name) => join(folder, name)),
  ) as [string, string, string];
  writeSources(one, all, { seed: 'a', bytes });
  writeSources(same, all, { seed: 'a', bytes });
  writeSources(other, all, { seed: 'b', bytes });
  for (const name of sourceNames) {
    t.ok(readFileSync(join(one, name)).equals(readFileSync(join(same, name))), name);
    t.notOk(readFileSync(join(one, name)).equals(readFileSync(join(other, name))), name);
  }
  t.end();
});

t.test('sources are overwritten in place', (t) => {
  const folder = t.testdir();
  writeSources(folder, all, { seed: 'a', bytes });
  const before = sourceNames.map((name) => statSync(join(folder, name)).ino);
  writeSources(folder, all, { seed: 'b', bytes });
  t.same(
    sourceNames.map((name) => statSync(join(folder, name)).ino),
    before,
  );
  const fresh = t.testdir();
  writeSources(fresh, all, { seed: 'b', bytes });
  t.equal(statSync(join(fresh, 'shifted')).size, bytes + 1);
  t.end();
});

t.test('shifted is unique with one byte in front', (t) => {
  const folder = t.testdir();
  writeSources(folder, new Set(['shifted']), { seed: 'a', bytes });
  const unique = readFileSync(join(folder, 'unique'));
  const shifted = readFileSync(join(folder, 'shifted'));
  t.equal(unique.length, bytes);
  t.equal(shifted.length, bytes + 1);
  t.ok(shifted.subarray(1).equals(unique));
  t.end();
});

t.test('unique does not compress, every second piece of half does', (t) => {
  const folder = t.testdir();
  writeSources(folder, all, { seed: 'a', bytes });
  const compressed = (name: string, piece: number): number => {
    const data = readFileSync(join(folder, name));
    const at = piece * PIECE_BYTES;
    return deflateSync(data.subarray(at, at + PIECE_BYTES)).length / PIECE_BYTES;
  };
  t.ok(compressed('unique', 0) > 0.99);
  t.ok(compressed('unique', 1) > 0.99);
  t.ok(compressed('half', 0) > 0.99);
  const text = compressed('half', 1);
  t.ok(text > 0.2 && text < 0.6, `text shrinks to ${text.toFixed(2)}`);
  const half = readFileSync(join(folder, 'half'));
  const line = half.subarray(PIECE_BYTES, PIECE_BYTES + 100).toString('latin1');
  t.match(line, /^[a-z \n]+$/);
  t.end();
});
