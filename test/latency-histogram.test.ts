// Goal: durations land in their classes; what is derived from the classes is right.

import t from 'tap';

import { LATENCY_BOUNDS_SECONDS, LatencyHistogram, quantile } from '../lib/latency-histogram.ts';

t.test('a class holds what is at most its bound and more than the one before', (t) => {
  const histogram = new LatencyHistogram();
  for (const ms of [0, 0.01, 0.0101, 10_000, 10_000.1, 1e9]) histogram.note(ms);
  const { count, seconds, classes } = histogram.counts;
  t.equal(count, 6);
  t.ok(Math.abs(seconds - (1e9 + 20_000.1202) / 1000) < 1e-6, String(seconds));
  t.equal(classes.length, LATENCY_BOUNDS_SECONDS.length + 1);
  t.same([classes[0], classes[1], classes.at(-2), classes.at(-1)], [2, 1, 1, 2]);
  t.equal(LATENCY_BOUNDS_SECONDS[0], 1e-5);
  t.equal(LATENCY_BOUNDS_SECONDS.at(-1), 10);
  t.end();
});

t.test('a quantile is the bound of its class', (t) => {
  const histogram = new LatencyHistogram();
  t.equal(quantile(histogram.counts.classes, 0.99), undefined);
  for (let index = 0; index < 99; index += 1) histogram.note(0.03);
  histogram.note(20_000);
  t.equal(quantile(histogram.counts.classes, 0.5), 5e-5);
  t.equal(quantile(histogram.counts.classes, 0.99), 5e-5);
  t.equal(quantile(histogram.counts.classes, 1), Infinity);
  t.end();
});
