// Goal: the clock of file times tells the time of day, and does not stand still between two requests.

import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { native } from '../../lib/native.ts';

t.test('whole microseconds of the time of day', (t) => {
  const before = Date.now();
  const us = native.currentMicroseconds();
  t.ok(Number.isSafeInteger(us));
  t.ok(us >= before * 1000 && us < (Date.now() + 1) * 1000);
  t.end();
});

t.test('finer than a millisecond', async (t) => {
  const seen = new Set<number>();
  for (let round = 0; round < 50; round += 1) {
    seen.add(native.currentMicroseconds() % 1000);
    await delay(1);
  }
  t.ok(seen.size > 10, `${seen.size} different fractions`);
});
