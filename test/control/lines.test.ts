// Goal: lines come out whole however the bytes are cut, and an endless line is noticed.

import t from 'tap';

import { LineSplitter } from '../../lib/control/lines.ts';

t.test('lines do not depend on how the bytes arrive', (t) => {
  const text = '{"a":1}\n\n{"b":"\u00fc\u{1f600}"}\nrest\n';
  const bytes = Buffer.from(text);
  for (let size = 1; size <= bytes.length; size += 1) {
    const splitter = new LineSplitter(100);
    const lines: string[] = [];
    for (let from = 0; from < bytes.length; from += size) {
      lines.push(...(splitter.push(bytes.subarray(from, from + size)) ?? ['too long']));
    }
    t.strictSame(lines, ['{"a":1}', '{"b":"\u00fc\u{1f600}"}', 'rest'], `pieces of ${size} bytes`);
  }
  t.end();
});

t.test('a line may have the bound and not more', (t) => {
  t.strictSame(new LineSplitter(5).push(Buffer.from('12345\n')), ['12345']);
  t.equal(new LineSplitter(5).push(Buffer.from('123456\n')), undefined, 'finished');
  t.equal(new LineSplitter(5).push(Buffer.from('123456')), undefined, 'unfinished');
  const splitter = new LineSplitter(5);
  t.strictSame(splitter.push(Buffer.from('123')), []);
  t.equal(splitter.push(Buffer.from('456')), undefined, 'in pieces');
  t.end();
});
