// Goal: the picture of `dedupfs top` shows what happened between two looks, in any size of terminal.

import t from 'tap';

import { drawTop, formatSeconds, sortings, type TopLook } from '../../lib/cli/top-view.ts';
import type { Activity } from '../../lib/observability/activity.ts';
import { ratesBetween } from '../../lib/observability/rates.ts';
import { LATENCY_BOUNDS_SECONDS, LatencyHistogram } from '../../lib/latency-histogram.ts';
import { FakeStore, fakeActivity, fakeObserver } from '../control/fake-store.ts';

const base: Activity = { ...fakeObserver(new FakeStore('/store')).take(), monotonicMs: 1000 };
const wide = { sorting: 'time', columns: Infinity, rows: Infinity } as const;

/** So many requests of these milliseconds. */
function times(operation: string, ...durationsMs: readonly number[]) {
  const histogram = new LatencyHistogram();
  for (const ms of durationsMs) histogram.note(ms);
  return { operation, ...histogram.counts };
}

function caller(pid: number, command: string | undefined, requests: number, bytesWritten: number) {
  const lately = { requests, bytesWritten, bytesRead: 0 };
  return { pid, command, ...lately, lately, idleSeconds: 0 };
}

function lookAt(before: Partial<Activity>, after: Partial<Activity>): TopLook {
  const activity = { ...base, monotonicMs: 3000, ...after };
  return { activity, rates: ratesBetween({ ...base, ...before }, activity) };
}

const look = lookAt(
  {
    requests: { ...base.requests, operations: [times('WRITE', 1, 1)], errors: [], bytesWritten: 0 },
    callers: [caller(10, 'cp', 100, 0), caller(11, 'rsync', 500, 5000)],
  },
  {
    requests: {
      ...base.requests,
      operations: [times('WRITE', 1, 1, 3, 3), times('LOOKUP', ...Array<number>(6).fill(0.015))],
      errors: [],
      bytesWritten: 4 * 2 ** 20,
    },
    store: {
      ...fakeActivity,
      ingest: { ...fakeActivity.ingest, bytesKnown: 1100, bytesNew: 600, bytesStored: 300 },
    },
    callers: [
      caller(10, 'cp', 104, 2 * 2 ** 20),
      caller(11, 'rsync', 20, 40),
      caller(12, '\u001b[2Jx', 2, 0),
    ],
  },
);

t.test('rates are differences over the time between', (t) => {
  const { rates } = look;
  t.equal(rates.seconds, 2);
  t.equal(rates.requestsPerSecond, 4);
  t.equal(rates.bytesWrittenPerSecond, 2 * 2 ** 20);
  t.equal(rates.dedupRatio, 3);
  t.equal(rates.compressionRatio, 2);
  const [write, lookup] = rates.operations;
  t.match(write, { operation: 'WRITE', perSecond: 1, p99Seconds: 0.005 });
  t.ok(Math.abs((write?.meanSeconds ?? 0) - 0.003) < 1e-9);
  t.match(lookup, { operation: 'LOOKUP', perSecond: 3, p99Seconds: 0.00002 });
  t.same(
    rates.callers.map(({ pid, requestsPerSecond }) => [pid, requestsPerSecond]),
    [
      [10, 2],
      [11, 10],
      [12, 1],
    ],
    'sums that fell began anew',
  );
  const idle = ratesBetween(base, { ...base, monotonicMs: 2000 });
  t.same([idle.operations, idle.callers, idle.dedupRatio], [[], [], undefined]);
  t.end();
});

t.test('the picture', (t) => {
  const text = drawTop(look, wide);
  t.match(text, /^written\s+2\.00 MiB\/s, read 0 B\/s$/m);
  t.match(text, /^ratio now\s+dedup 3\.00 : 1, compression 2\.00 : 1/m);
  t.match(text, /^ratio in all\s+dedup 2\.50 : 1, compression 2\.00 : 1/m);
  t.match(text, /^WRITE\s+1\/s\s+3\.0 ms\s+5\.0 ms\s+3\.0 ms\/s$/m);
  t.match(text, /^cp\s+10\s+1\.00 MiB\/s/m);
  t.match(text, /^\?\[2Jx/m, 'no escape sequence of a process name');
  t.match(text, /^health\s+ok$/m);
  const sick = {
    ...look,
    activity: { ...look.activity, health: { isHealthy: false, reasons: ['a', 'b'] } },
  };
  t.match(drawTop(sick, wide), /^health\s+a; b$/m);
  t.end();
});

t.test('any size of terminal', (t) => {
  for (const columns of [1, 7, 20, 79, 200]) {
    for (const rows of [1, 3, 15, 23, 60]) {
      const lines = drawTop(look, { sorting: 'p99', columns, rows }).split('\n');
      t.ok(lines.length <= rows, `${lines.length} of ${rows} rows`);
      t.ok(lines.every((line) => line.length <= columns));
    }
  }
  t.end();
});

t.test('sorted as asked', (t) => {
  const first = sortings.map((sorting) => {
    const text = drawTop(look, { ...wide, sorting });
    return text.indexOf('WRITE ') < text.indexOf('LOOKUP ') ? 'WRITE' : 'LOOKUP';
  });
  t.same(first, ['WRITE', 'LOOKUP', 'WRITE', 'WRITE']);
  t.end();
});

t.test('times', (t) => {
  const cases: [number | undefined, string][] = [
    [undefined, '-'],
    [0.00001, '10 us'],
    [0.0012, '1.2 ms'],
    [0.045, '45 ms'],
    [3, '3.0 s'],
    [Infinity, '> 10 s'],
  ];
  for (const [seconds, text] of cases) t.equal(formatSeconds(seconds), text);
  t.equal(LATENCY_BOUNDS_SECONDS.length, 19);
  t.end();
});
