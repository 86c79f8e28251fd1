// Measured values and what is computed from them.

import type { TargetName } from './target.ts';

/** One workload on one target, once. */
export interface Sample {
  readonly round: number;
  readonly workload: string;
  readonly target: TargetName;
  /** File bytes that it moved. */
  readonly bytes: number;
  readonly seconds: number;
  /** Processor time of the programs that the workload ran. */
  readonly clientCpuSeconds: number;
  /** Processor time of the daemon in the same interval; undefined: there is none. */
  readonly daemonCpuSeconds: number | undefined;
  readonly daemonResidentBytesPeak: number | undefined;
  /** How many writes it made, where that is the question. */
  readonly writes: number | undefined;
  /** What the target occupied on the disk before and after; undefined: it stores nothing. */
  readonly diskBytesBefore: number | undefined;
  readonly diskBytes: number | undefined;
  /** What the host's disk was given to write, by everyone on the machine; undefined: unknown. */
  readonly deviceBytes: number | undefined;
}

/** A workload that could not be measured, or a target that could not be started. */
export interface Failure {
  readonly round: number;
  /** undefined: the target did not start. */
  readonly workload: string | undefined;
  readonly target: TargetName;
  readonly message: string;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** undefined: no values */
export function spreadOf(values: readonly number[]): Spread | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const min = sorted[0];
  const max = sorted.at(-1);
  const low = sorted[Math.floor((sorted.length - 1) / 2)];
  const high = sorted[Math.ceil((sorted.length - 1) / 2)];
  if (min === undefined || max === undefined || low === undefined || high === undefined) {
    return undefined;
  }
  return { median: (low + high) / 2, min, max };
}

/** Samples of one workload on one target. */
export interface Which {
  readonly workload: string;
  readonly target: TargetName;
}

export function samplesOf(samples: readonly Sample[], { workload, target }: Which): Sample[] {
  return samples.filter((sample) => sample.workload === workload && sample.target === target);
}

/**
 * The speed of one as a multiple of another's: the two of each round are compared with one another,
 * and the spread is that of the rounds' ratios. Rounds in which one is missing do not count.
 */
export function speedRatio(
  samples: readonly Sample[],
  { of, to }: { readonly of: Which; readonly to: Which },
): Spread | undefined {
  const others = samplesOf(samples, to);
  const ratios = samplesOf(samples, of).flatMap((sample) => {
    const other = others.find(({ round }) => round === sample.round);
    return other === undefined ? [] : [speedOf(sample) / speedOf(other)];
  });
  return spreadOf(ratios);
}

/** Writes or bytes per second; the two of a comparison are of one kind. */
export function speedOf({ writes, bytes, seconds }: Sample): number {
  return (writes ?? bytes) / seconds;
}
