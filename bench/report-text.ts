// The report as Markdown, and its three main tables for a terminal.

import { formatBytes, formatCount, plural } from '../lib/cli/units.ts';
import { judge } from './goals.ts';
import { ratiosOf, summariseSamples, type Report } from './report.ts';
import { samplesOf, spreadOf, type Sample } from './samples.ts';
import { packageNames } from './source-tree.ts';
import {
  formatMarkdownTable,
  formatRatio,
  formatSpread,
  formatTerminalTable,
  none,
} from './table.ts';
import { targetRoundsMax, targetTitles, type TargetName } from './target.ts';
import type { Workload } from './workloads.ts';

interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function formatMarkdown(report: Report): string {
  const table = ({ head, rows }: Table): string[] => formatMarkdownTable(head, rows);
  return [
    ...headLines(report),
    '',
    'Beside one another, each fresh in each round:',
    '',
    ...table(targetTable(report)),
    ...absenceLines(report),
    '',
    'What dedupfs is to reach. Ratios are of speeds, so more is better: the median (min to max) over the',
    'rounds of what the two reached in the same round. Scale and total reduction have programs of their',
    'own: npm run bench:scale, npm run bench:reduction.',
    '',
    ...table(goalTable(report)),
    '',
    'Median of the rounds, until everything is durable: MB/s (10^6 bytes of file contents per second),',
    'seconds for trees, writes per second for overwrite-random. Cold means the page cache of this machine',
    'and that of the daemon: what the disk or a hypervisor below it has cached is out of reach.',
    '',
    ...table(resultTable(report, ({ name, title }) => `${name}: ${title}`)),
    '',
    'Speed of dedupfs as a multiple of that of each of the others.',
    '',
    ...table(ratioTable(report, (spread) => formatSpread(spread))),
    '',
    'Seconds, and what they cost. CPU is that of the programs (client) and of the process that serves',
    'the mount (daemon) until the workload ends; that of the kernel, as for btrfs, is in neither. Memory',
    'is the highest resident peak of any round. Occupied: what the store, pool or repository grew by on',
    "the disk. To the disk: what the host's block device was given to write, by everyone on this machine.",
    '',
    ...table(costTable(report)),
    ...failureLines(report),
    '',
  ].join('\n');
}

/** Without titles and spreads, which are too wide for one. */
export function formatForTerminal(report: Report): string {
  const table = ({ head, rows }: Table): string[] => formatTerminalTable(head, rows);
  return [
    ...headLines(report),
    '',
    ...table(goalTable(report)),
    '',
    ...table(resultTable(report, ({ name }) => name)),
    '',
    'dedupfs as a multiple of',
    '',
    ...table(ratioTable(report, ({ median }) => formatRatio(median))),
    ...absenceLines(report),
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
    ...limitedLines(report),
  ];
  if (tree === undefined) return lines;
  const size = `${formatCount(tree.entries)} entries, ${formatCount(tree.files)} files`;
  const names = packageNames.join(', ');
  return [...lines, `- tree: ${size}, ${formatBytes(tree.bytes)}: node_modules of ${names}`];
}

/** What takes part in the first rounds only. */
function limitedLines({ workloads, targets, rounds, overwriteSeconds }: Report): string[] {
  const limits = [
    ...workloads.map(({ name, roundsMax }) => ({ name, roundsMax })),
    ...targets.map((name) => ({ name, roundsMax: targetRoundsMax[name] })),
  ];
  const lines = limits
    .filter(({ roundsMax = rounds }) => roundsMax < rounds)
    .map(({ name, roundsMax = rounds }) => `${name} in ${plural(roundsMax, 'round')}`);
  const overwrites = workloads.some(({ unit }) => unit === 'writes/s')
    ? [`overwrite-random for ${plural(overwriteSeconds, 'second')}`]
    : [];
  const all = [...lines, ...overwrites];
  return all.length === 0 ? [] : [`- ${all.join('; ')}`];
}

function targetTable({ targets }: Report): Table {
  return {
    head: ['target', 'what it is'],
    rows: targets.map((name) => [name, targetTitles[name]]),
  };
}

function goalTable({ samples, workloads }: Report): Table {
  const results = judge(samples).filter(({ workload }) =>
    workloads.some(({ name }) => name === workload),
  );
  const rows = results.map(({ title, required, measured, isMet }) => [
    title,
    required,
    formatSpread(measured),
    isMet === undefined ? none : isMet ? 'yes' : 'no',
  ]);
  return { head: ['goal', 'required', 'measured', 'met'], rows };
}

function resultTable(report: Report, titleOf: (workload: Workload) => string): Table {
  const rows = report.workloads.map((workload) => {
    const { name, unit = 'MB/s' } = workload;
    const results = report.targets.map((target) => {
      const samples = samplesOf(report.samples, { workload: name, target });
      const spread = spreadOf(samples.map((sample) => resultOf(sample, unit)));
      if (spread === undefined) return none;
      return unit === 's' ? spread.median.toFixed(2) : spread.median.toFixed(0);
    });
    return [titleOf(workload), unit, ...results];
  });
  return { head: ['workload', 'unit', ...report.targets], rows };
}

function resultOf({ seconds, bytes, writes }: Sample, unit: Workload['unit']): number {
  if (unit === 's') return seconds;
  return unit === 'writes/s' ? (writes ?? 0) / seconds : bytes / seconds / 1e6;
}

function ratioTable(
  report: Report,
  format: (spread: NonNullable<ReturnType<typeof spreadOf>>) => string,
): Table {
  const peers = report.targets.filter((target) => target !== 'dedupfs');
  const rows = ratiosOf(report)
    .filter(({ to }) => to.size > 0)
    .map(({ workload, to }) => {
      const cells = peers.map((peer) => {
        const spread = to.get(peer);
        return spread === undefined ? none : format(spread);
      });
      return [workload.name, ...cells];
    });
  return { head: ['workload', ...peers], rows };
}

function costTable(report: Report): Table {
  const rows = report.workloads.flatMap(({ name }) =>
    report.targets.flatMap((target) => {
      const samples = samplesOf(report.samples, { workload: name, target });
      return samples.length === 0 ? [] : [[name, target, ...costCells(samples)]];
    }),
  );
  const costs = ['client CPU s', 'daemon CPU s', 'daemon memory', 'occupied', 'to the disk'];
  return { head: ['workload', 'target', 'seconds', ...costs], rows };
}

function costCells(samples: readonly Sample[]): string[] {
  const summary = summariseSamples(samples);
  const bytes = (value: number | undefined): string =>
    value === undefined ? none : value < 0 ? `-${formatBytes(-value)}` : formatBytes(value);
  return [
    formatSpread(summary.seconds, 3),
    summary.clientCpuSeconds?.median.toFixed(2) ?? none,
    summary.daemonCpuSeconds?.median.toFixed(2) ?? none,
    bytes(summary.daemonResidentBytesPeak),
    bytes(summary.diskBytesGrown?.median),
    bytes(summary.deviceBytes?.median),
  ];
}

function absenceLines({ absent }: Report): string[] {
  if (absent.length === 0) return [];
  const lineOf = ({ target, message }: { target: TargetName; message: string }): string =>
    `- ${target}: ${message}`;
  return ['', 'Not here, and therefore not compared with:', '', ...absent.map(lineOf)];
}

function failureLines({ failures }: Report): string[] {
  if (failures.length === 0) return [];
  const lines = failures.map(({ round, workload, target, message }) => {
    const what = workload === undefined ? `${target} is not available` : `${workload} on ${target}`;
    return `- round ${round}: ${what}: ${message}`;
  });
  return ['', 'Not measured:', '', ...lines];
}
