// What a run has found: one object for the JSON file, from which the tables and the chart are made.

import { judge } from './goals.ts';
import type { Machine } from './machine.ts';
import {
  samplesOf,
  speedOf,
  speedRatio,
  spreadOf,
  type Failure,
  type Sample,
  type Spread,
} from './samples.ts';
import type { SourceTree } from './source-tree.ts';
import type { TargetName } from './target.ts';
import type { Workload } from './workloads.ts';

export interface Report {
  readonly command: string;
  readonly seed: string;
  readonly startedAt: string;
  /** From the first round to the end of the last. */
  readonly seconds: number;
  readonly rounds: number;
  readonly fileBytes: number;
  /** How long overwrite-random wrote. */
  readonly overwriteSeconds: number;
  /** undefined: no workload copies a tree. */
  readonly tree: SourceTree | undefined;
  readonly machine: Machine;
  /** Those that ran, or tried to. */
  readonly targets: readonly TargetName[];
  readonly absent: readonly Absence[];
  readonly workloads: readonly Workload[];
  readonly samples: readonly Sample[];
  readonly failures: readonly Failure[];
}

/** A target that was wanted and cannot run here. */
export interface Absence {
  readonly target: TargetName;
  /** Why, and what to do about it. */
  readonly message: string;
}

/** The report with what follows from its samples, for the JSON file. */
export function summarise(report: Report): object {
  const results = report.workloads.flatMap(({ name, title, unit }) =>
    report.targets.flatMap((target) => {
      const samples = samplesOf(report.samples, { workload: name, target });
      if (samples.length === 0) return [];
      return [{ workload: name, title, unit, target, ...summariseSamples(samples) }];
    }),
  );
  return { ...report, results, ratios: ratiosOf(report), goals: judge(report.samples) };
}

export interface Ratios {
  readonly workload: Workload;
  /** Speed of dedupfs as a multiple of each of the others that was measured at it. */
  readonly to: ReadonlyMap<TargetName, Spread>;
}

export function ratiosOf({ workloads, targets, samples }: Report): Ratios[] {
  return workloads.map((workload) => {
    const { name } = workload;
    const pairs = targets.flatMap((peer): [TargetName, Spread][] => {
      if (peer === 'dedupfs') return [];
      const of = { workload: name, target: 'dedupfs' } as const;
      const spread = speedRatio(samples, { of, to: { workload: name, target: peer } });
      return spread === undefined ? [] : [[peer, spread]];
    });
    return { workload, to: new Map(pairs) };
  });
}

export function summariseSamples(samples: readonly Sample[]) {
  const spread = (valueOf: (sample: Sample) => number | undefined): Spread | undefined =>
    spreadOf(samples.map(valueOf).filter((value) => value !== undefined));
  return {
    rounds: samples.length,
    seconds: spread(({ seconds }) => seconds),
    speed: spread(speedOf),
    clientCpuSeconds: spread(({ clientCpuSeconds }) => clientCpuSeconds),
    daemonCpuSeconds: spread(({ daemonCpuSeconds }) => daemonCpuSeconds),
    daemonResidentBytesPeak: spread((sample) => sample.daemonResidentBytesPeak)?.max,
    diskBytes: spread(({ diskBytes }) => diskBytes),
    diskBytesGrown: spread(({ diskBytes, diskBytesBefore }) =>
      diskBytes === undefined || diskBytesBefore === undefined
        ? undefined
        : diskBytes - diskBytesBefore,
    ),
    deviceBytes: spread(({ deviceBytes }) => deviceBytes),
  };
}
