// npm run bench: how fast dedupfs is, beside a plain directory of the host and a null FUSE filesystem
// on the same transport. The report goes to standard output, what happens meanwhile to standard error.

import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describeError } from '../lib/errors.ts';
import { describeMachine } from './machine.ts';
import { commandLine, parseOptions, type Options } from './options.ts';
import { ProgressReport } from './progress-report.ts';
import { formatMarkdown, summarise, type Report } from './report.ts';
import { countMeasurements, runRounds, type Plan } from './rounds.ts';
import { findSourceTree } from './source-tree.ts';
import { makeSourceFolder, sourceNames } from './sources.ts';
import { isMounted, makeTarget } from './targets.ts';
import { suites } from './workloads.ts';

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interruption.abort());
}

const options = parseOptions();
try {
  const report = await bench(options);
  const markdown = formatMarkdown(report);
  process.stdout.write(markdown);
  if (options.markdown !== undefined) writeFileSync(options.markdown, markdown);
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
  const sources = makeSourceFolder(folder, sourceNames.length * fileBytes);
  const plan: Plan = {
    rounds: options.rounds,
    seed: options.seed,
    fileBytes,
    treeBytes: tree?.bytes ?? 0,
    suites: suites
      .map((suite) => suite.filter((workload) => options.workloads.includes(workload)))
      .filter((suite) => suite.length > 0),
    targets: options.targets.map((name) => makeTarget(name, folder)),
    folders: {
      sources,
      tree: tree?.folder ?? folder,
      scratch: join(folder, 'scratch'),
      // A mount has a file in the page cache twice: as its own and as the store's.
      memoryBytes: 2 * fileBytes,
    },
  };
  const machine = describeMachine(folder);
  const startedAt = new Date();
  try {
    const total = countMeasurements(plan);
    process.stderr.write(`bench: seed ${options.seed}, ${total} measurements in ${folder}\n`);
    using observer = new ProgressReport(total);
    const outcome = await runRounds(plan, observer, interruption.signal);
    return {
      command: commandLine(options),
      seed: options.seed,
      startedAt: startedAt.toISOString(),
      seconds: (Date.now() - startedAt.getTime()) / 1000,
      rounds: options.rounds,
      fileBytes,
      tree,
      machine,
      targets: options.targets,
      workloads: plan.suites.flat(),
      samples: outcome.samples,
      failures: outcome.failures,
    };
  } finally {
    rmSync(sources, { recursive: true, force: true });
    removeFolder(folder, plan);
  }
}

/** Never removes files while a mount is there: they would be removed through it. */
function removeFolder(folder: string, { targets }: Plan): void {
  const left = targets.filter(({ directory }) => isMounted(directory));
  if (left.length === 0) rmSync(folder, { recursive: true, force: true });
  else process.stderr.write(`bench: ${left[0]?.directory} is still mounted; left as it is\n`);
}
