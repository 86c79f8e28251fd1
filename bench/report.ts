// The report: one object for the JSON file, and its Markdown.

import { formatBytes, formatCount, plural } from '../lib/cli/units.ts';
import type { Machine } from './machine.ts';
import { speedRatio, spreadOf, type Failure, type Sample, type Spread } from './samples.ts';
import { packageNames, type SourceTree } from './source-tree.ts';
import type { TargetName } from './targets.ts';
import type { Workload } from './workloads.ts';

export interface Report {
  readonly command: string;
  readonly seed: string;
  readonly startedAt: string;
  /** From the first round to the end of the last. */
  readonly seconds: number;
  readonly rounds: number;
  readonly fileBytes: number;
  /** undefined: no workload copies a tree. */
  readonly tree: SourceTree | undefined;
  readonly machine: Machine;
  readonly targets: readonly TargetName[];
  readonly workloads: readonly Workload[];
  readonly samples: readonly Sample[];
  readonly failures: readonly Failure[];
}

const none = '-';

/** The report with what follows from its samples, for the JSON file. */
export function summarise(report: Report): object {
  const results = report.workloads.flatMap(({ name, title }) =>
    report.targets.flatMap((target) => {
      const samples = samplesOf(report, name, target);
      if (samples.length === 0) return [];
      return [{ workload: name, title, target, ...summariseSamples(samples) }];
    }),
  );
  const ratios = report.workloads.map(({ name }) => ({
    workload: name,
    toHost: speedRatio(report.samples, { workload: name, of: 'dedupfs', to: 'host' }),
    toNull: speedRatio(report.samples, { workload: name, of: 'dedupfs', to: 'null' }),
  }));
  return { ...report, results, ratios };
}

export function formatMarkdown(report: Report): string {
  return [
    ...headLines(report),
    '',
    'Speed in MB/s (10^6 bytes of file contents per second, median of the rounds), until everything is',
    'durable. Ratios are of speeds, so more is better: the median (min to max) over the rounds of what',
    'dedupfs and the other reached in the same round. Cold means the page cache of this machine: what',
    'the disk or a hypervisor below it has cached is out of reach.',
    '',
    ...speedTable(report),
    '',
    'Seconds, and what they cost. CPU is that of the programs (client) and of the process that serves',
    'the mount (daemon) until the workload ends; memory is the highest resident peak of any round.',
    '',
    ...costTable(report),
    ...failureLines(report),
    '',
  ].join('\n');
}

function headLines(report: Report): string[] {
  const { machine, tree, rounds, seed } = report;
  const files = `files of ${formatBytes(report.fileBytes)}`;
  const lines = [
    `- command: \`${report.command}\``,
    `- seed: ${seed}; ${plural(rounds, 'round')} of ${files}; ` +
      `${report.startedAt}, took ${report.seconds.toFixed(0)} s`,
    `- machine: ${machine.cores} cores (${machine.processor}), ` +
      `${formatBytes(machine.memoryBytes)} of memory, Linux ${machine.kernel}, ` +
      `Node ${machine.node}; load before ${machine.loadAverage}`,
    `- dedupfs ${machine.dedupfs}; host: ${machine.hostFileSystem}; cold: ${machine.coldMethod}`,
  ];
  if (tree === undefined) return lines;
  const size = `${formatCount(tree.entries)} entries, ${formatCount(tree.files)} files`;
  const names = packageNames.join(', ');
  return [...lines, `- tree: ${size}, ${formatBytes(tree.bytes)}: node_modules of ${names}`];
}

function speedTable(report: Report): string[] {
  const head = ['workload', ...report.targets, 'dedupfs / host', 'dedupfs / null'];
  const rows = report.workloads.map(({ name, title }) => {
    const speeds = report.targets.map((target) => {
      const rates = samplesOf(report, name, target).map(({ bytes, seconds }) => bytes / seconds);
      const spread = spreadOf(rates);
      return spread === undefined ? none : (spread.median / 1e6).toFixed(0);
    });
    const ratios = (['host', 'null'] as const).map((to) =>
      formatSpread(speedRatio(report.samples, { workload: name, of: 'dedupfs', to })),
    );
    return [`${name}: ${title}`, ...speeds, ...ratios];
  });
  return formatMarkdownTable(head, rows);
}

function costTable(report: Report): string[] {
  const head = ['workload', 'target', 'seconds', 'client CPU s', 'daemon CPU s', 'daemon memory'];
  const rows = report.workloads.flatMap(({ name }) =>
    report.targets.flatMap((target) => {
      const samples = samplesOf(report, name, target);
      if (samples.length === 0) return [];
      const summary = summariseSamples(samples);
      const memory = summary.daemonResidentBytesPeak;
      return [
        [
          name,
          target,
          formatSpread(summary.seconds, 3),
          summary.clientCpuSeconds?.median.toFixed(2) ?? none,
          summary.daemonCpuSeconds?.median.toFixed(2) ?? none,
          memory === undefined ? none : formatBytes(memory),
        ],
      ];
    }),
  );
  return formatMarkdownTable(head, rows);
}

function failureLines({ failures }: Report): string[] {
  if (failures.length === 0) return [];
  const lines = failures.map(({ round, workload, target, message }) => {
    const what = workload === undefined ? `${target} is not available` : `${workload} on ${target}`;
    return `- round ${round}: ${what}: ${message}`;
  });
  return ['', 'Not measured:', '', ...lines];
}

function summariseSamples(samples: readonly Sample[]) {
  const defined = (values: readonly (number | undefined)[]): number[] =>
    values.filter((value) => value !== undefined);
  return {
    seconds: spreadOf(samples.map(({ seconds }) => seconds)),
    bytesPerSecond: spreadOf(samples.map(({ bytes, seconds }) => bytes / seconds)),
    clientCpuSeconds: spreadOf(samples.map(({ clientCpuSeconds }) => clientCpuSeconds)),
    daemonCpuSeconds: spreadOf(defined(samples.map((sample) => sample.daemonCpuSeconds))),
    daemonResidentBytesPeak: spreadOf(
      defined(samples.map((sample) => sample.daemonResidentBytesPeak)),
    )?.max,
  };
}

function samplesOf({ samples }: Report, name: string, target: TargetName): Sample[] {
  return samples.filter((sample) => sample.workload === name && sample.target === target);
}

/** `0.52 (0.48 to 0.55)`; the median alone when there was one round. */
function formatSpread(spread: Spread | undefined, digits = 2): string {
  if (spread === undefined) return none;
  const [median, min, max] = [spread.median, spread.min, spread.max].map((value) =>
    value.toFixed(digits),
  );
  return min === max ? `${median}` : `${median} (${min} to ${max})`;
}

/** All columns but the first are numbers, aligned right, unless they hold the target's name. */
export function formatMarkdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const isLeft = (column: number): boolean => column === 0 || head[column] === 'target';
  const pad = (text: string, column: number): string =>
    isLeft(column) ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
  const formatRow = (cells: readonly string[]): string => `| ${cells.map(pad).join(' | ')} |`;
  const rule = widths.map((width, column) =>
    isLeft(column) ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [formatRow(head), `| ${rule.join(' | ')} |`, ...rows.map(formatRow)];
}
