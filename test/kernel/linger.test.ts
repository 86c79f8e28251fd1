// Goal: waiting for a next request is given up by and by where it is in vain, and taken up again.

import t from 'tap';
import { Linger } from '../../lib/kernel/linger.ts';

/** How many of the next chances are taken, when each wait ends so. */
function waits(linger: Linger, chances: number, isFound: boolean): number {
  let count = 0;
  for (let chance = 0; chance < chances; chance += 1) {
    if (!linger.isDue()) continue;
    count += 1;
    linger.note(isFound);
  }
  return count;
}

t.test('while each wait finds something, all chances are taken', (t) => {
  t.equal(waits(new Linger(), 100, true), 100);
  t.end();
});

t.test('vain waits become rare, and never stop', (t) => {
  const linger = new Linger();
  const vain = waits(linger, 1000, false);
  t.ok(vain < 1000 / 12, `${vain} of 1000`);
  t.ok(vain > 1000 / 24, `${vain} of 1000`);
  t.end();
});

t.test('one that finds something restores them', (t) => {
  const linger = new Linger();
  waits(linger, 1000, false);
  let skipped = 0;
  while (!linger.isDue()) skipped += 1;
  t.ok(skipped <= 16);
  linger.note(true);
  t.equal(waits(linger, 100, true), 100);
  t.end();
});
