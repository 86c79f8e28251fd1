// dedupfs fsck STORE: checks the invariants of a store; repairs it, or rebuilds it, when asked to.

import { Command } from 'commander';

import { ExitCode } from '../errors.ts';
import type { FsckProgress, FsckReport } from '../store/contract.ts';
import { silentLog } from '../log.ts';
import { checkOffline } from '../store/offline.ts';
import { reachStore } from './access.ts';
import { helpEnd } from './exit-codes.ts';
import { findOwner } from './owner.ts';
import { findPlace } from './place.ts';
import { Interruption } from './interruption.ts';
import { ProgressBar, quietOption } from './progress.ts';
import { rebuildIndexOf } from './rebuild-index.ts';
import { rebuild } from './rebuild.ts';
import { assertRepairFlags, repair, showCheck } from './repair.ts';
import { formatCount, plural } from './units.ts';

/** Findings printed; one cause often shows in thousands of places. --json has more. */
const LINES_MAX = 20;

export function fsckCommand(): Command {
  return new Command('fsck')
    .summary('check a store for damage, and repair it')
    .description(
      'Checks that the store is whole and its parts agree. Nothing is changed without --repair or --rebuild.\n' +
        'A mounted store is checked by its daemon, between commits; to repair it, unmount it first.\n' +
        'A repair works on a copy of the metastore, which takes its place when it is sound.',
    )
    .argument('<store>', 'directory of the store, or its mount point')
    .option('--quick', 'only what can be told without reading all metadata')
    .option('--repair', 'put right what is found; writes a journal into the store')
    .option('--dry-run', 'with --repair: print what would be changed, and change nothing')
    .option('--rebuild', 'make a lost or damaged metastore from its last checkpoint, then check')
    .option(
      '--rebuild-index',
      'make the index of chunks and packs from the arenas alone, then check',
    )
    .option('--json', 'print the report as JSON')
    .addOption(quietOption())
    .addHelpText(
      'after',
      helpEnd(
        ['dedupfs fsck /srv/store', 'dedupfs fsck --repair --dry-run /srv/store'],
        [
          ...(['OK', 'FAILED', 'USAGE', 'DAMAGED', 'REPAIRED', 'NO_STORE', 'LOCKED'] as const),
          ...(['WRONG_FORMAT', 'STORE_INCONSISTENT', 'BAD_CONFIG', 'NO_PERMISSION'] as const),
          ...(['DISK_FULL', 'BUSY', 'INTERRUPTED'] as const),
        ],
      ),
    )
    .action(check);
}

interface FsckFlags {
  quick?: true;
  rebuild?: true;
  rebuildIndex?: true;
  json?: true;
  quiet?: true;
  repair?: true;
  dryRun?: true;
}

async function check(path: string, flags: FsckFlags): Promise<void> {
  assertRepairFlags(flags);
  if (flags.repair === true) {
    await repair(path, flags);
    return;
  }
  const rebuilt = await rebuildBefore(path, flags);
  const report = await runCheck(path, flags);
  const output = rebuilt === undefined ? report : { rebuilt: rebuilt.report, ...report };
  const text = flags.json === true ? JSON.stringify(output, undefined, 2) : formatReport(report);
  process.stdout.write(`${text}\n`);
  if (rebuilt !== undefined) process.exitCode = ExitCode.REPAIRED;
  if (report.findings.length > 0 || report.damagedChunks > 0 || rebuilt?.hasLosses === true)
    process.exitCode = ExitCode.DAMAGED;
}

interface Rebuilt {
  readonly report: object;
  /** Files have content that is found nowhere any more. */
  readonly hasLosses: boolean;
}

/** What is asked to be made anew before the check; undefined: nothing. */
async function rebuildBefore(path: string, flags: FsckFlags): Promise<Rebuilt | undefined> {
  if (flags.rebuild === true) {
    const report = await rebuild(path, flags);
    return { report, hasLosses: report.damage.chunks > 0 };
  }
  if (flags.rebuildIndex !== true) return undefined;
  const report = await rebuildIndexOf(path, flags);
  return { report, hasLosses: report.chunksQuarantined > 0 };
}

async function runCheck(path: string, flags: FsckFlags): Promise<FsckReport> {
  const level = flags.quick === true ? 'quick' : 'full';
  const { storePath } = findPlace(path);
  using interruption = new Interruption('nothing was changed');
  const { signal } = interruption;
  using bar = new ProgressBar('fsck', formatCount, flags);
  const onProgress = (progress: FsckProgress): void => showCheck(bar, progress);
  if (findOwner(storePath) === undefined) {
    return await checkOffline(storePath, { level, log: silentLog(), onProgress, signal });
  }
  await using access = await reachStore(path);
  if (access.daemonPid !== undefined && flags.json !== true) {
    process.stdout.write(`store is mounted: checked by its daemon, process ${access.daemonPid}\n`);
  }
  return await access.fsck({ level, onProgress, signal });
}

/** One line for each finding, the first ones only, and one line at the end. */
function formatReport(report: FsckReport): string {
  const { level, checks, findings, findingsOmitted, damagedChunks } = report;
  const lines = findings
    .slice(0, LINES_MAX)
    .map(({ check, invariant, message }) => `${check} (${invariant}): ${message}`);
  const count = findings.length + findingsOmitted;
  if (count > lines.length) lines.push(`and ${plural(count - lines.length, 'finding')} more`);
  const done = `${level} check, ${plural(checks.length, 'invariant')}`;
  if (damagedChunks > 0) {
    const chunks = plural(damagedChunks, 'chunk');
    lines.push(`${chunks} of data in quarantine: 'dedupfs scrub --list' names the files`);
  }
  lines.push(count === 0 ? `clean (${done})` : `damaged: ${plural(count, 'finding')} (${done})`);
  return lines.join('\n');
}
