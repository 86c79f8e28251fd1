// Goal: the figures of the benchmark follow from its samples. Method: samples made by hand.

import t from 'tap';

import { parseTimes } from '../../bench/measure.ts';
import { formatMarkdownTable } from '../../bench/report.ts';
import { speedRatio, spreadOf, type Sample } from '../../bench/samples.ts';
import type { TargetName } from '../../bench/targets.ts';

function sample(round: number, target: TargetName, seconds: number): Sample {
  return {
    round,
    workload: 'write',
    target,
    bytes: 1e6,
    seconds,
    clientCpuSeconds: 0,
    daemonCpuSeconds: undefined,
    daemonResidentBytesPeak: undefined,
  };
}

t.test('the spread is median, least and greatest', (t) => {
  t.same(spreadOf([3, 1, 2]), { median: 2, min: 1, max: 3 });
  t.same(spreadOf([10, 9, 1, 2]), { median: 5.5, min: 1, max: 10 });
  t.equal(spreadOf([]), undefined);
  t.end();
});

t.test('a ratio compares the two of the same round', (t) => {
  const samples = [
    sample(1, 'host', 1),
    sample(1, 'dedupfs', 2),
    // The whole machine is ten times slower in this round, which changes no ratio.
    sample(2, 'host', 10),
    sample(2, 'dedupfs', 20),
    sample(3, 'host', 1),
    sample(3, 'dedupfs', 1),
    // The host's side of this round failed.
    sample(4, 'dedupfs', 1000),
  ];
  const which = { workload: 'write', of: 'dedupfs', to: 'host' } as const;
  t.same(speedRatio(samples, which), { median: 0.5, min: 0.5, max: 1 });
  t.equal(speedRatio(samples, { ...which, to: 'null' }), undefined);
  t.equal(speedRatio(samples, { ...which, workload: 'read' }), undefined);
  t.end();
});

t.test('times are read as bash prints them', (t) => {
  const output = '1700000000.250000 1700000001.500000\n0m0.001s 0m0.002s\n1m0.500s 0m1.250s\n';
  t.same(parseTimes(output), { seconds: 1.25, clientCpuSeconds: 61.75 });
  for (const text of ['', '1 2\n', '1 2\n0m0.001s 0m0.002s\n0.5 0.5\n', `x\n${output}`]) {
    t.throws(() => parseTimes(text), /expected times, found/, JSON.stringify(text));
  }
  t.end();
});

t.test('a table is aligned in its source too', (t) => {
  t.same(
    formatMarkdownTable(
      ['workload', 'target', 's'],
      [
        ['read', 'host', '10'],
        ['write-half', 'dedupfs', '1.5'],
      ],
    ),
    [
      '| workload   | target  |   s |',
      '| ---------- | ------- | --: |',
      '| read       | host    |  10 |',
      '| write-half | dedupfs | 1.5 |',
    ],
  );
  t.end();
});
