// What a metric is: its name, what it means, and how it is read off an activity. Names are those of
// Prometheus' conventions: base units, `_total` for what only rises.

import { LATENCY_BOUNDS_SECONDS, type LatencyCounts } from '../latency-histogram.ts';
import type { Activity } from './activity.ts';
import type { LoopDelay } from './loop-delay.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  /** Of a histogram: the metric's name with `_bucket`, `_sum` or `_count`. */
  readonly metricName?: string;
  readonly labels: Labels;
  readonly value: number;
}

export interface Definition {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly read: (from: MetricSources) => Sample[];
}

/** What metrics are read off. */
export interface MetricSources {
  readonly activity: Activity;
  readonly loopDelay: LoopDelay;
}

type Read<T> = (activity: Activity) => T;

export function counter(name: string, help: string, read: Read<number>): Definition {
  return single('counter', name, help, read);
}

/** @param read undefined or null: there is no such thing now, so the metric has no sample */
export function gauge(
  name: string,
  help: string,
  read: Read<number | null | undefined>,
): Definition {
  return single('gauge', name, help, read);
}

function single(
  type: Definition['type'],
  name: string,
  help: string,
  read: Read<number | null | undefined>,
): Definition {
  return {
    name,
    type,
    help,
    read({ activity }) {
      const value = read(activity);
      return value === undefined || value === null ? [] : [{ labels: {}, value }];
    },
  };
}

export function labelled(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  read: Read<Sample[]>,
): Definition {
  return { name, type, help, read: ({ activity }) => read(activity) };
}

export function histogram(
  name: string,
  help: string,
  read: (from: MetricSources) => readonly { labels: Labels; counts: LatencyCounts }[],
): Definition {
  const type = 'histogram';
  return {
    name,
    type,
    help,
    read: (from) => read(from).flatMap(({ labels, counts }) => samplesOf(name, labels, counts)),
  };
}

/** Each bucket counts what is at most its bound: they are cumulative, our classes are not. */
function samplesOf(name: string, labels: Labels, counts: LatencyCounts): Sample[] {
  let sum = 0;
  const samples: Sample[] = counts.classes.map((count, index) => {
    sum += count;
    const bound = LATENCY_BOUNDS_SECONDS[index];
    const le = bound === undefined ? '+Inf' : String(bound);
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: sum };
  });
  samples.push({ metricName: `${name}_sum`, labels, value: counts.seconds });
  samples.push({ metricName: `${name}_count`, labels, value: sum });
  return samples;
}
