// Goal: the figures of the benchmark follow from its samples. Method: samples made by hand.

import t from 'tap';

import { parseTimes } from '../../bench/measure.ts';
import { parseDeviceStat, parseSize } from '../../bench/disk-usage.ts';
import { speedRatio, spreadOf } from '../../bench/samples.ts';
import { formatMarkdownTable, formatRatio, formatTerminalTable } from '../../bench/table.ts';
import type { TargetName } from '../../bench/target.ts';
import { makeSample } from './make-sample.ts';

const sample = (round: number, target: TargetName, seconds: number) =>
  makeSample({ round, workload: 'write', target, seconds });

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
  const of = { workload: 'write', target: 'dedupfs' } as const;
  const to = { workload: 'write', target: 'host' } as const;
  t.same(speedRatio(samples, { of, to }), { median: 0.5, min: 0.5, max: 1 });
  t.equal(speedRatio(samples, { of, to: { ...to, target: 'null' } }), undefined);
  t.equal(speedRatio(samples, { of: { ...of, workload: 'read' }, to }), undefined);
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

t.test('the same table for a terminal has no bars', (t) => {
  t.same(formatTerminalTable(['workload', 'borg'], [['read', '1.5']]), [
    'workload  borg',
    '--------  ----',
    'read       1.5',
  ]);
  t.end();
});

t.test('a ratio has as many digits as mean something', (t) => {
  t.same([0.5234, 5.2349, 17.34, 240.4].map(formatRatio), ['0.52', '5.23', '17.3', '240']);
  t.end();
});

t.test('sizes are read as zpool prints them, sectors as the kernel does', (t) => {
  t.same(['0', '512', '676K', '1.5M', '2G'].map(parseSize), [
    0,
    512,
    676 * 2 ** 10,
    1.5 * 2 ** 20,
    2 ** 31,
  ]);
  t.throws(() => parseSize('-'), /expected a size, found "-"/);
  t.equal(parseDeviceStat('  1 2 3 4 5 6 10 8 9 10 11\n'), 5120);
  t.end();
});
