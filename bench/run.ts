// npm run bench: how fast dedupfs is, beside a plain directory of the host, null filesystems on two
// FUSE transports, other file systems and backup programs. The report goes to standard output, what
// happens meanwhile to standard error.

import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describeError } from '../lib/errors.ts';
import { describeMachine } from './machine.ts';
import { isMounted } from './mounts.ts';
import { commandLine, parseOptions, type Options } from './options.ts';
import { ProgressReport } from './progress-report.ts';
import { formatForTerminal, formatMarkdown } from './report-text.ts';
import { summarise, type Report } from './report.ts';
import { countMeasurements, runRounds, sourcesOf, type Plan } from './rounds.ts';
import { findSourceTree } from './source-tree.ts';
import { makeSourceFolder } from './sources.ts';
import { drawReport } from './svg.ts';
import type { Target } from './target.ts';
import { makeTarget } from './targets.ts';
import { suites } from './workloads.ts';

/** A suite writes at most six files and a few trees: the rest is for what never shrinks again. */
const CAPACITY_FILES = 8;
const CAPACITY_BYTES_MIN = 4 * 2 ** 30;

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interruption.abort());
}

const options = parseOptions();
try {
  const report = await bench(options);
  const markdown = formatMarkdown(report);
  process.stdout.write(process.stdout.isTTY ? formatForTerminal(report) : markdown);
  if (options.markdown !== undefined) writeFileSync(options.markdown, markdown);
  if (options.svg !== undefined) writeFileSync(options.svg, drawReport(report));
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify(summarise(report), null, 2)}\n`);
  }
  process.exitCode = report.failures.length === 0 ? 0 : 1;
} catch (error) {
  const message = interruption.signal.aborted ? 'interrupted' : describeError(error);
  process.stderr.write(`bench: ${message}\n`);
  process.exitCode = interruption.signal.aborted ? 130 : 1;
}

async function bench(options: Options): Promise<Report> {
  const fileBytes = options.megabytes * 2 ** 20;
  const hasTree = options.workloads.some(({ source }) => source === undefined);
  const tree = hasTree ? findSourceTree() : undefined;
  // Mounts are recognised by their path in mountinfo, which has no symbolic links.
  const folder = realpathSync(mkdtempSync(join(options.directory, 'dedupfs-bench-')));
  const capacityBytes = Math.max(CAPACITY_FILES * fileBytes, CAPACITY_BYTES_MIN);
  const { targets, absent } = findTargets(options, { folder, capacityBytes });
  const chosen = suites
    .map((suite) => suite.filter((workload) => options.workloads.includes(workload)))
    .filter((suite) => suite.length > 0);
  const sources = makeSourceFolder(folder, sourcesOf(chosen).size * fileBytes);
  const plan: Plan = {
    rounds: options.rounds,
    seed: options.seed,
    fileBytes,
    treeBytes: tree?.bytes ?? 0,
    suites: chosen,
    targets,
    setting: {
      sources,
      tree: tree?.folder ?? folder,
      scratch: join(folder, 'scratch'),
      duration: options.seconds,
    },
  };
  const machine = describeMachine(folder);
  const startedAt = new Date();
  try {
    const total = countMeasurements(plan);
    process.stderr.write(`bench: seed ${options.seed}, ${total} measurements in ${folder}\n`);
    for (const { target, message } of absent) {
      process.stderr.write(`bench: without ${target}: ${message}\n`);
    }
    using observer = new ProgressReport(total);
    const outcome = await runRounds(plan, observer, interruption.signal);
    return {
      command: commandLine(options),
      seed: options.seed,
      startedAt: startedAt.toISOString(),
      seconds: (Date.now() - startedAt.getTime()) / 1000,
      rounds: options.rounds,
      fileBytes,
      overwriteSeconds: options.seconds,
      tree,
      machine,
      targets: targets.map(({ name }) => name),
      absent,
      workloads: plan.suites.flat(),
      samples: outcome.samples,
      failures: outcome.failures,
    };
  } finally {
    rmSync(sources, { recursive: true, force: true });
    removeFolder(folder, plan);
  }
}

/** Those that can run here, and those that cannot. */
function findTargets(
  { targets: names }: Options,
  options: Parameters<typeof makeTarget>[1],
): { targets: Target[]; absent: Report['absent'] } {
  const all = names.map((name) => makeTarget(name, options));
  return {
    targets: all.filter(({ missing }) => missing === undefined),
    absent: all.flatMap(({ name, missing }) =>
      missing === undefined ? [] : [{ target: name, message: missing }],
    ),
  };
}

/** Never removes files while a mount is there: they would be removed through it. */
function removeFolder(folder: string, { targets }: Plan): void {
  const left = targets.filter(({ directory }) => isMounted(directory));
  if (left.length === 0) rmSync(folder, { recursive: true, force: true });
  else process.stderr.write(`bench: ${left[0]?.directory} is still mounted; left as it is\n`);
}
