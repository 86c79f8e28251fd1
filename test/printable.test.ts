// Goal: no name of a file moves the cursor of who reads it, neither by controls of ASCII nor by C1 ones.

import t from 'tap';

import { readableLine } from '../lib/log-line.ts';
import { printable } from '../lib/printable.ts';

t.test('names are printed as text, and what is none as \\xNN', async (t) => {
  const cases = [
    ['plain', 'plain'],
    ['Gr\u00f6\u00dfe \u6f22 \u00a0', 'Gr\u00f6\u00dfe \u6f22 \u00a0'],
    ['red\u001b[31m', 'red\\x1b[31m'],
    ['line\nbreak\u007f', 'line\\x0abreak\\x7f'],
    // CSI in one character: what ESC [ is in two.
    ['red\u009b31m', 'red\\xc2\\x9b31m'],
    ['\u0080 \u009f', '\\xc2\\x80 \\xc2\\x9f'],
  ] as const;
  for (const [name, text] of cases) t.equal(printable(Buffer.from(name)), text);
  t.equal(printable(Buffer.from([0x61, 0xff])), 'a\\xff');
});

t.test('lines of a log hold no controls', async (t) => {
  for (const control of ['\n', '\u001b', '\u007f', '\u0080', '\u009b', '\u009f']) {
    const line = readableLine(JSON.stringify({ level: 30, msg: `a${control}b` }), 'journal');
    t.equal(line, '<6>a b\n');
  }
});
