// Goal: numbers read as people expect, and options mean what they say.

import t from 'tap';

import { formatPairs, formatTable } from '../../lib/cli/tables.ts';
import {
  formatBytes,
  formatCount,
  formatRatio,
  formatShare,
  parseChunkSize,
  plural,
} from '../../lib/cli/units.ts';

t.test('bytes are exact when few and rounded when many', (t) => {
  const cases = [
    { bytes: 0, want: '0 B' },
    { bytes: 1, want: '1 B' },
    { bytes: 1023, want: '1023 B' },
    { bytes: 1024, want: '1.00 KiB' },
    { bytes: 1536, want: '1.50 KiB' },
    { bytes: 10 * 1024, want: '10.0 KiB' },
    { bytes: 1024 ** 2, want: '1.00 MiB' },
    { bytes: 5.25 * 1024 ** 3, want: '5.25 GiB' },
    { bytes: 2 ** 53, want: '8.00 PiB' },
    { bytes: -2048, want: '-2.00 KiB' },
  ];
  for (const { bytes, want } of cases) t.equal(formatBytes(bytes), want);
  t.end();
});

t.test('counts, ratios and shares', (t) => {
  t.equal(formatCount(1234567), '1,234,567');
  t.equal(formatRatio(3.784), '3.78 : 1');
  t.equal(formatShare(1, 8), '12.5 %');
  t.equal(formatShare(0, 0), '-', 'nothing to compare with');
  t.equal(plural(1, 'arena'), '1 arena');
  t.equal(plural(0, 'arena'), '0 arenas');
  t.end();
});

t.test('a chunk size is in bytes', (t) => {
  t.equal(parseChunkSize('16K'), 16384);
  t.equal(parseChunkSize('256K'), 262144);
  t.end();
});

t.test('pairs are aligned and tables have their numbers to the right', (t) => {
  t.equal(formatPairs([['a', '1'], undefined, ['long', '2']]), 'a     1\n\nlong  2');
  const rows = [
    ['one', '1'],
    ['two', '12345'],
  ];
  t.equal(formatTable(['what', 'bytes'], rows), 'what  bytes\none       1\ntwo   12345');
  t.end();
});
