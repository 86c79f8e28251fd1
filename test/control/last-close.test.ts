// Goal: what one daemon left is never taken for the word of another, nor half a file for a whole one.

import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { readLastClose, removeLastClose, writeLastClose } from '../../lib/control/last-close.ts';

t.test('the outcome is read for the process that left it', (t) => {
  const folder = t.testdir();
  t.equal(readLastClose(folder, 7), undefined, 'none yet');
  removeLastClose(folder);
  for (const error of [null, 'changes after commit 3 are lost']) {
    writeLastClose(folder, { pid: 7, error });
    t.strictSame(readLastClose(folder, 7), { pid: 7, error });
    t.equal(readLastClose(folder, 8), undefined, 'another process');
  }
  t.equal(statSync(join(folder, 'last-close')).mode & 0o777, 0o600);
  removeLastClose(folder);
  t.equal(readLastClose(folder, 7), undefined, 'removed');
  t.end();
});

t.test('a damaged file says nothing', (t) => {
  const folder = t.testdir();
  for (const text of ['', '{"pid":7', '{"pid":7}', '[]', 'null', '{"error":null}']) {
    writeFileSync(join(folder, 'last-close'), text);
    t.equal(readLastClose(folder, 7), undefined, text);
  }
  t.end();
});
