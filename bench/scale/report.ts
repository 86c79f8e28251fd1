// The table of npm run bench:scale: each operation on the large and the small store, and their ratio.

import { formatBytes, formatCount } from '../../lib/cli/units.ts';
import { formatMarkdownTable } from '../table.ts';
import { spreadOf, type Spread } from '../samples.ts';
import type { Measured, Pass } from './measurements.ts';
import type { Shape } from './shape.ts';

export interface StoreResult {
  readonly name: 'small' | 'large';
  readonly shape: Shape;
  readonly metastoreBytes: number;
  /** 0: the store was there already. */
  readonly buildSeconds: number;
  /** One for each round. */
  readonly passes: readonly Pass[];
}

export interface ScaleReport {
  readonly command: string;
  readonly seed: string;
  readonly small: StoreResult;
  readonly large: StoreResult;
}

const none = '-';

export function formatScale({ command, seed, small, large }: ScaleReport): string {
  return [
    `- command: \`${command}\``,
    `- seed: ${seed}; ${large.passes.length} rounds, the stores in turns`,
    ...[small, large].map(describeStore),
    '',
    'Milliseconds of wall time, and of processor time of the daemon; median of the rounds. Ratios are',
    'large / small: the median (min to max) of the rounds. Disk reads are those of the large store.',
    '',
    ...formatMarkdownTable(
      ['operation', 'small', 'large', 'ratio', 'CPU small', 'CPU large', 'read'],
      namesOf(large).map((name) => formatRow(name, small, large)),
    ),
    '',
  ].join('\n');
}

function describeStore({ name, shape, metastoreBytes, buildSeconds, passes }: StoreResult): string {
  const mounted = Math.max(...passes.map((pass) => pass.residentBytesMounted));
  const peak = Math.max(...passes.map((pass) => pass.residentBytesPeak));
  const built = buildSeconds === 0 ? 'was there' : `built in ${buildSeconds.toFixed(0)} s`;
  return (
    `- ${name}: ${formatCount(shape.inodes)} inodes, ${formatCount(shape.chunks)} chunks, ` +
    `${formatCount(shape.packs)} packs; meta.db ${formatBytes(metastoreBytes)}, ${built}; ` +
    `resident ${formatBytes(mounted)} after mount, at most ${formatBytes(peak)}`
  );
}

/** In the order in which they were first measured. */
function namesOf({ passes }: StoreResult): string[] {
  return [...new Set(passes.flatMap((pass) => pass.measured.map(({ name }) => name)))];
}

function formatRow(name: string, small: StoreResult, large: StoreResult): string[] {
  const pick = (store: StoreResult, value: (measured: Measured) => number | undefined): number[] =>
    store.passes.flatMap(({ measured }) =>
      measured.filter((one) => one.name === name).flatMap((one) => value(one) ?? []),
    );
  const [ours, theirs] = [small, large].map((store) => pick(store, ({ seconds }) => seconds));
  const cpu = [small, large].map((store) => pick(store, (one) => one.daemonCpuSeconds));
  const ratios = (theirs ?? []).flatMap((seconds, index) => {
    const other = ours?.[index];
    return other === undefined ? [] : [seconds / other];
  });
  const bytes = (values: readonly number[]): string => {
    const spread = spreadOf(values);
    return spread === undefined ? none : formatBytes(spread.median);
  };
  return [
    name,
    ...[ours, theirs].map((seconds) => milliseconds(seconds ?? [])),
    formatRatio(spreadOf(ratios)),
    ...cpu.map(milliseconds),
    bytes(pick(large, (one) => one.diskReadBytes)),
  ];
}

function milliseconds(seconds: readonly number[]): string {
  const spread = spreadOf(seconds);
  return spread === undefined ? none : (spread.median * 1000).toFixed(spread.median < 0.1 ? 1 : 0);
}

function formatRatio(spread: Spread | undefined): string {
  if (spread === undefined) return none;
  const [median, min, max] = [spread.median, spread.min, spread.max].map((one) => one.toFixed(2));
  return min === max ? `${median}` : `${median} (${min} to ${max})`;
}
