// The picture that `dedupfs top` draws of a mount: text, as wide and high as it may be.

import type { Activity } from '../observability/activity.ts';
import type { ActivityRates, OperationRates, Timing } from '../observability/rates.ts';
import { formatPairs, formatTable } from './tables.ts';
import { formatBytes, formatCount, formatRatio, formatTime, plural } from './units.ts';

export const sortings = ['time', 'rate', 'mean', 'p99'] as const;
export type Sorting = (typeof sortings)[number];

export interface TopLook {
  readonly activity: Activity;
  readonly rates: ActivityRates;
}

export interface TopFrame {
  readonly sorting: Sorting;
  /** Longer lines are cut. */
  readonly columns: number;
  /** What does not fit is left out: first of the operations and callers, then from the end. */
  readonly rows: number;
}

/** Rows of each table where there is room. */
const TABLE_ROWS_MAX = 10;
/** Heads of two tables and the empty lines around. */
const TABLE_FRAME_ROWS = 4;

export function drawTop(look: TopLook, frame: TopFrame): string {
  const head = [titleOf(look), '', ...formatPairs(pairsOf(look)).split('\n')];
  const room = Math.floor((frame.rows - head.length - TABLE_FRAME_ROWS) / 2);
  const tableRows = Math.max(1, Math.min(TABLE_ROWS_MAX, room));
  const lines = [
    ...head,
    '',
    ...operationTable(look.rates, frame.sorting, tableRows),
    '',
    ...callerTable(look.rates, tableRows),
  ];
  return lines
    .slice(0, Math.max(1, frame.rows))
    .map((line) => line.slice(0, Math.max(1, frame.columns)).trimEnd())
    .join('\n');
}

function titleOf({ activity, rates }: TopLook): string {
  const { mountpoint, process, takenMs } = activity;
  const over = `over ${rates.seconds.toFixed(1)} s`;
  return `${formatTime(takenMs)}  ${mountpoint}  process ${process.pid}  ${over}`;
}

function pairsOf(look: TopLook): (readonly [string, string])[] {
  const { activity, rates } = look;
  const { health, store, process, requests } = activity;
  const { host } = store;
  return [
    ['health', health.isHealthy ? 'ok' : health.reasons.join('; ')],
    ['written', `${rateOf(rates.bytesWrittenPerSecond)}, read ${rateOf(rates.bytesReadPerSecond)}`],
    ['ratio now', ratiosOf(rates)],
    ['ratio in all', totalRatiosOf(store.content)],
    [
      'requests',
      `${perSecond(rates.requestsPerSecond)}, ${perSecond(rates.errorsPerSecond)} failed, ` +
        `${formatCount(requests.inFlight)} waiting`,
    ],
    ['backlog', backlogOf(store.backlog)],
    ['commits', commitsOf(look)],
    ['gc, scrub', `${gcOf(store)}; ${scrubOf(store)}`],
    [
      'host',
      `${formatBytes(host.bytesAvailable)} free of ${formatBytes(host.bytesTotal)}, ` +
        `store ${formatBytes(host.bytesUsed)}`,
    ],
    [
      'daemon',
      `CPU ${share(rates.cpuShare)}, event loop ${share(rates.busyShare)} busy, ` +
        `memory ${formatBytes(process.residentBytes)}`,
    ],
  ];
}

function ratiosOf(rates: ActivityRates): string {
  const { dedupRatio, compressionRatio, bytesNewPerSecond, bytesStoredPerSecond } = rates;
  const [dedup, compression] = [dedupRatio, compressionRatio].map((ratio) => {
    return ratio === undefined ? '-' : formatRatio(ratio);
  });
  const stored = `new ${rateOf(bytesNewPerSecond)}, stored ${rateOf(bytesStoredPerSecond)}`;
  return `dedup ${dedup}, compression ${compression}; ${stored}`;
}

function totalRatiosOf(content: Activity['store']['content']): string {
  const { referencedBytes, uniqueBytes, storedBytes } = content;
  const [dedup, compression] = [
    [referencedBytes, uniqueBytes],
    [uniqueBytes, storedBytes],
  ].map(([more = 0, less = 0]) => (less === 0 ? '-' : formatRatio(more / less)));
  return `dedup ${dedup}, compression ${compression}; stored ${formatBytes(storedBytes)}`;
}

function backlogOf(backlog: Activity['store']['backlog']): string {
  const { dirtyBytes, slabsUsed, slabs, ingestJobs, packBytes, walBytes } = backlog;
  return (
    `${formatBytes(dirtyBytes)} not chunked, ${slabsUsed} of ${slabs} slabs, ` +
    `${plural(ingestJobs, 'job')}, packs ${formatBytes(packBytes)}, WAL ${formatBytes(walBytes)}`
  );
}

function commitsOf({ activity, rates }: TopLook): string {
  const { lastSuccessMs, error } = activity.store.commits;
  const { commits, syncs } = rates;
  const parts = [`${perSecond(commits.perSecond)}`];
  if (commits.meanSeconds !== undefined) {
    parts.push(`${timesOf(commits)}, disk ${formatSeconds(syncs.meanSeconds)}`);
  }
  if (lastSuccessMs !== null) {
    const ageSeconds = Math.max(0, (activity.takenMs - lastSuccessMs) / 1000);
    parts.push(`last ${formatAge(ageSeconds)} ago`);
  }
  if (error !== null) parts.push(`failing: ${error}`);
  return parts.join(', ');
}

function timesOf({ meanSeconds, p99Seconds }: Timing): string {
  return `mean ${formatSeconds(meanSeconds)}, p99 ${formatSeconds(p99Seconds)}`;
}

function gcOf({ gc, content }: Activity['store']): string {
  if (gc.progress === null) return `gc rests, ${formatBytes(content.deadBytes)} dead`;
  const { bytesDone, bytesTotal } = gc.progress;
  return `gc has moved ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`;
}

function scrubOf({ scrub, lastCleanScrubMs }: Activity['store']): string {
  if (scrub !== null) {
    const { bytesDone, bytesTotal, chunksDamaged } = scrub;
    const found = chunksDamaged === 0 ? '' : `, ${plural(chunksDamaged, 'chunk')} bad`;
    return `scrub has verified ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}${found}`;
  }
  return `last clean scrub ${lastCleanScrubMs === null ? 'none yet' : formatTime(lastCleanScrubMs)}`;
}

const sortKeys: Record<Sorting, (one: OperationRates) => number> = {
  time: ({ waitingPerSecond }) => waitingPerSecond,
  rate: (one) => one.perSecond,
  mean: ({ meanSeconds = 0 }) => meanSeconds,
  p99: ({ p99Seconds = 0 }) => p99Seconds,
};

function operationTable(rates: ActivityRates, sorting: Sorting, rows: number): string[] {
  const key = sortKeys[sorting];
  const sorted = rates.operations
    .toSorted((left, right) => compare(key(right), key(left)))
    .slice(0, rows);
  const cells = sorted.map((one) => [
    one.operation,
    perSecond(one.perSecond),
    formatSeconds(one.meanSeconds),
    formatSeconds(one.p99Seconds),
    `${formatSeconds(one.waitingPerSecond)}/s`,
  ]);
  return formatTable(['operation', 'rate', 'mean', 'p99', 'waited'], cells).split('\n');
}

/** Infinity - Infinity is no number. */
function compare(left: number, right: number): number {
  return left === right ? 0 : left - right;
}

function callerTable({ callers }: ActivityRates, rows: number): string[] {
  const cells = callers
    .slice(0, rows)
    .map((one) => [
      one.command === undefined ? nameOf(one.pid) : plainName(one.command),
      String(one.pid),
      rateOf(one.bytesWrittenPerSecond),
      rateOf(one.bytesReadPerSecond),
      perSecond(one.requestsPerSecond),
    ]);
  return formatTable(['who', 'process', 'written', 'read', 'requests'], cells).split('\n');
}

function nameOf(pid: number): string {
  return pid === 0 ? '(kernel)' : '(gone)';
}

/** A process may call itself anything, escape sequences of terminals included. */
function plainName(command: string): string {
  return command.replaceAll(/[^\x20-\x7e]/g, '?');
}

function rateOf(bytesPerSecond: number): string {
  return `${formatBytes(Math.round(bytesPerSecond))}/s`;
}

function perSecond(rate: number): string {
  return `${rate < 10 ? Number(rate.toFixed(1)) : formatCount(Math.round(rate))}/s`;
}

function share(part: number): string {
  return `${Math.max(0, Math.round(100 * part))} %`;
}

/** `45 us`, `1.2 ms`, `3.0 s` */
export function formatSeconds(seconds: number | undefined): string {
  if (seconds === undefined) return '-';
  if (seconds === Infinity) return '> 10 s';
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  if (seconds >= 1e-3) return `${(seconds * 1e3).toFixed(seconds < 1e-2 ? 1 : 0)} ms`;
  return `${Math.round(seconds * 1e6)} us`;
}

function formatAge(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}
