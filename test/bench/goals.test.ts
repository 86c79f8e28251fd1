// Goal: whether a goal is met follows from the samples. Method: samples made by hand.

import t from 'tap';

import { goals, judge, type GoalResult } from '../../bench/goals.ts';
import type { Sample } from '../../bench/samples.ts';
import { workloadNamed } from '../../bench/workloads.ts';
import { makeSample } from './make-sample.ts';

function resultOf(samples: readonly Sample[], title: RegExp, required: string): GoalResult {
  const found = judge(samples).find((goal) => title.test(goal.title) && goal.required === required);
  if (found === undefined) throw new Error(`no goal ${title} ${required}`);
  return found;
}

t.test('a speed that is a multiple of a peer meets its goal by the median', (t) => {
  const samples = [1, 2, 3].flatMap((round) => [
    makeSample({ round, target: 'dedupfs', seconds: 1 }),
    // Once it is far too slow, which is not the median.
    makeSample({ round, target: 'borg', seconds: round === 1 ? 1 : 2.5 }),
    makeSample({ round, target: 'zfs-fuse', seconds: 9 }),
  ]);
  const borg = resultOf(samples, /^write-known:/, 'at least 2 x borg');
  t.same([borg.measured, borg.isMet], [{ median: 2.5, min: 1, max: 2.5 }, true]);
  t.equal(resultOf(samples, /^write-known:/, 'at least 10 x zfs-fuse').isMet, false);
  const missing = resultOf(samples, /^write-known:/, 'at least 0.5 x null');
  t.same([missing.measured, missing.isMet], [undefined, undefined]);
  t.end();
});

t.test('one workload is compared with another of dedupfs itself', (t) => {
  const samples = [
    makeSample({ workload: 'read-fresh', seconds: 1 }),
    makeSample({ workload: 'read-interleaved', seconds: 2 }),
  ];
  const result = resultOf(samples, /^read-interleaved:/, 'at least 0.6 x read-fresh');
  t.same([result.measured?.median, result.isMet], [0.5, false]);
  t.end();
});

t.test('growth has an upper bound, a plain figure none', (t) => {
  const workload = 'write-shifted';
  const grown = (diskBytes: number): GoalResult =>
    resultOf(
      [makeSample({ workload, bytes: 1000, diskBytesBefore: 5000, diskBytes })],
      /the store grows/,
      'under 1 %',
    );
  t.same([grown(5009).measured?.median, grown(5009).isMet], [0.9, true]);
  t.equal(grown(5011).isMet, false);
  const cpu = resultOf(
    [makeSample({ bytes: 2 ** 29, daemonCpuSeconds: 1.5 })],
    /^write-known: CPU s/,
    'figure',
  );
  t.same([cpu.measured?.median, cpu.isMet], [3, undefined]);
  t.end();
});

t.test('random overwrites are compared by their number', (t) => {
  const workload = 'overwrite-random';
  const samples = [
    makeSample({ workload, seconds: 10, writes: 4000, bytes: 4096, deviceBytes: 8192 }),
    makeSample({ workload, seconds: 5, writes: 500, bytes: 4096, target: 'zfs-fuse' }),
  ];
  const result = resultOf(samples, /^overwrite-random:/, 'at least 3 x zfs-fuse');
  t.same([result.measured?.median, result.isMet], [4, true]);
  t.equal(resultOf(samples, /bytes on the disk/, 'figure').measured?.median, 2);
  t.end();
});

t.test('every goal is of a workload that there is', (t) => {
  for (const { workload, title } of goals) t.ok(workloadNamed(workload), title);
  t.end();
});
