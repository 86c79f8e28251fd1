// dedupfs fsck STORE: checks the invariants of a store; --rebuild makes a lost metastore first.

import { Command } from 'commander';

import { ExitCode } from '../errors.ts';
import type { FsckReport } from '../store/contract.ts';
import { reachStore } from './access.ts';
import { helpEnd } from './exit-codes.ts';
import { ProgressBar } from './progress.ts';
import { rebuild } from './rebuild.ts';
import { formatCount, plural } from './units.ts';

/** Findings printed; one cause often shows in thousands of places. --json has more. */
const LINES_MAX = 20;

export function fsckCommand(): Command {
  return new Command('fsck')
    .summary('check a store for damage')
    .description(
      'Checks that the store is whole and its parts agree. Nothing is changed without --rebuild.\n' +
        'A mounted store is checked by its daemon, between commits.',
    )
    .argument('<store>', 'directory of the store, or its mount point')
    .option('--quick', 'only what can be told without reading all metadata')
    .option('--rebuild', 'make a lost or damaged metastore from its last checkpoint, then check')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      helpEnd(
        ['dedupfs fsck /srv/store'],
        [
          ...(['OK', 'FAILED', 'USAGE', 'DAMAGED', 'REPAIRED', 'NO_STORE', 'LOCKED'] as const),
          ...(['WRONG_FORMAT', 'STORE_INCONSISTENT', 'NO_PERMISSION'] as const),
          ...(['DISK_FULL', 'BUSY', 'INTERRUPTED'] as const),
        ],
      ),
    )
    .action(check);
}

interface FsckFlags {
  quick?: true;
  rebuild?: true;
  json?: true;
}

async function check(path: string, flags: FsckFlags): Promise<void> {
  const rebuilt = flags.rebuild === true ? await rebuild(path, flags) : undefined;
  await using access = await reachStore(path);
  const level = flags.quick === true ? 'quick' : 'full';
  if (access.daemonPid !== undefined && flags.json !== true) {
    process.stdout.write(`store is mounted: checked by its daemon, process ${access.daemonPid}\n`);
  }
  const report = await runWithBar((onProgress) => access.fsck(level, onProgress));
  const output = rebuilt === undefined ? report : { rebuilt, ...report };
  const text = flags.json === true ? JSON.stringify(output, undefined, 2) : formatReport(report);
  process.stdout.write(`${text}\n`);
  if (rebuilt !== undefined) process.exitCode = ExitCode.REPAIRED;
  if (report.findings.length > 0) process.exitCode = ExitCode.DAMAGED;
}

async function runWithBar(
  run: (
    onProgress: Parameters<Awaited<ReturnType<typeof reachStore>>['fsck']>[1],
  ) => Promise<FsckReport>,
): Promise<FsckReport> {
  using bar = new ProgressBar('fsck', formatCount);
  return await run(({ check, done, total }) => bar.update(done, total, check));
}

/** One line for each finding, the first ones only, and one line at the end. */
function formatReport({ level, checks, findings, findingsOmitted }: FsckReport): string {
  const lines = findings
    .slice(0, LINES_MAX)
    .map(({ check, invariant, message }) => `${check} (${invariant}): ${message}`);
  const count = findings.length + findingsOmitted;
  if (count > lines.length) lines.push(`and ${plural(count - lines.length, 'finding')} more`);
  const done = `${level} check, ${plural(checks.length, 'invariant')}`;
  lines.push(count === 0 ? `clean (${done})` : `damaged: ${plural(count, 'finding')} (${done})`);
  return lines.join('\n');
}
