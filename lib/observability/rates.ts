// What a mount did between two looks at it: rates, times and ratios from the sums of two activities.

import { quantile, type LatencyCounts } from '../latency-histogram.ts';
import type { Activity } from './activity.ts';
import type { NamedCaller } from './process-name.ts';

/** Times in seconds; undefined: nothing of it happened. */
export interface Timing {
  readonly perSecond: number;
  readonly meanSeconds: number | undefined;
  /** Upper bound of the class that 99 of 100 do not exceed; Infinity: beyond 10 s. */
  readonly p99Seconds: number | undefined;
}

export interface OperationRates extends Timing {
  readonly operation: string;
  /** Seconds that requests waited in each second; more than 1 when many waited at once. */
  readonly waitingPerSecond: number;
}

export interface CallerRates {
  readonly pid: number;
  readonly command: string | undefined;
  readonly requestsPerSecond: number;
  readonly bytesWrittenPerSecond: number;
  readonly bytesReadPerSecond: number;
}

export interface ActivityRates {
  /** Between the two looks. */
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly errorsPerSecond: number;
  readonly bytesWrittenPerSecond: number;
  readonly bytesReadPerSecond: number;
  /** Cut into chunks that were known, and that were new; what the new ones take as stored. */
  readonly bytesKnownPerSecond: number;
  readonly bytesNewPerSecond: number;
  readonly bytesStoredPerSecond: number;
  /** Of what was cut between the looks; undefined: nothing was, or nothing of it was new. */
  readonly dedupRatio: number | undefined;
  readonly compressionRatio: number | undefined;
  /** Those that requests waited for longest come first. */
  readonly operations: readonly OperationRates[];
  /** Those that moved most bytes, then those that asked most. */
  readonly callers: readonly CallerRates[];
  readonly commits: Timing;
  readonly syncs: Timing;
  /** Share of the time in which the event loop did not wait, and CPU of all threads; 1: one processor. */
  readonly busyShare: number;
  readonly cpuShare: number;
}

/** @param before an earlier activity of the same daemon */
export function ratesBetween(before: Activity, after: Activity): ActivityRates {
  const seconds = Math.max(1e-3, (after.monotonicMs - before.monotonicMs) / 1000);
  const per = (read: (activity: Activity) => number): number =>
    (read(after) - read(before)) / seconds;
  const bytesKnownPerSecond = per(({ store }) => store.ingest.bytesKnown);
  const bytesNewPerSecond = per(({ store }) => store.ingest.bytesNew);
  const bytesStoredPerSecond = per(({ store }) => store.ingest.bytesStored);
  return {
    seconds,
    requestsPerSecond: per(({ requests }) => sumOf(requests.operations)),
    errorsPerSecond: per(({ requests }) => sumOf(requests.errors)),
    bytesWrittenPerSecond: per(({ requests }) => requests.bytesWritten),
    bytesReadPerSecond: per(({ requests }) => requests.bytesRead),
    bytesKnownPerSecond,
    bytesNewPerSecond,
    bytesStoredPerSecond,
    dedupRatio: ratio(bytesKnownPerSecond + bytesNewPerSecond, bytesNewPerSecond),
    compressionRatio: ratio(bytesNewPerSecond, bytesStoredPerSecond),
    operations: operationRates(before, after, seconds),
    callers: callerRates(before.callers, after.callers, seconds),
    commits: timing(before.store.commits.commits, after.store.commits.commits, seconds),
    syncs: timing(before.store.commits.syncs, after.store.commits.syncs, seconds),
    busyShare: per(({ process }) => process.busySeconds),
    cpuShare: per(({ process }) => process.cpuSeconds),
  };
}

function sumOf(counts: readonly { readonly count: number }[]): number {
  return counts.reduce((sum, { count }) => sum + count, 0);
}

function ratio(more: number, less: number): number | undefined {
  return less === 0 ? undefined : more / less;
}

const NOTHING: LatencyCounts = { count: 0, seconds: 0, classes: [] };

function timing(before: LatencyCounts, after: LatencyCounts, seconds: number): Timing {
  const count = after.count - before.count;
  const classes = after.classes.map((value, index) => value - (before.classes[index] ?? 0));
  return {
    perSecond: count / seconds,
    meanSeconds: count === 0 ? undefined : (after.seconds - before.seconds) / count,
    p99Seconds: quantile(classes, 0.99),
  };
}

function operationRates(before: Activity, after: Activity, seconds: number): OperationRates[] {
  const earlier = new Map(before.requests.operations.map((one) => [one.operation, one]));
  return after.requests.operations
    .map((one) => {
      const { operation } = one;
      const known = earlier.get(operation) ?? NOTHING;
      const waitingPerSecond = (one.seconds - known.seconds) / seconds;
      return { operation, waitingPerSecond, ...timing(known, one, seconds) };
    })
    .filter(({ perSecond }) => perSecond > 0)
    .sort((left, right) => right.waitingPerSecond - left.waitingPerSecond);
}

function callerRates(
  before: readonly NamedCaller[],
  after: readonly NamedCaller[],
  seconds: number,
): CallerRates[] {
  const earlier = new Map(before.map((caller) => [caller.pid, caller]));
  return after
    .map((caller) => {
      const known = earlier.get(caller.pid);
      // Sums begin anew for who had given way to others.
      const isSame = known !== undefined && known.requests <= caller.requests;
      const per = (read: (from: NamedCaller) => number): number =>
        Math.max(0, read(caller) - (isSame ? read(known) : 0)) / seconds;
      return {
        pid: caller.pid,
        command: caller.command,
        requestsPerSecond: per(({ requests }) => requests),
        bytesWrittenPerSecond: per(({ bytesWritten }) => bytesWritten),
        bytesReadPerSecond: per(({ bytesRead }) => bytesRead),
      };
    })
    .filter(({ requestsPerSecond }) => requestsPerSecond > 0)
    .sort((left, right) => compareCallers(left, right));
}

function compareCallers(left: CallerRates, right: CallerRates): number {
  const bytes = (one: CallerRates): number => one.bytesWrittenPerSecond + one.bytesReadPerSecond;
  return bytes(right) - bytes(left) || right.requestsPerSecond - left.requestsPerSecond;
}
