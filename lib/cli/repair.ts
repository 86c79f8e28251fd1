// dedupfs fsck --repair: repairs a store that is not mounted, and says what was done.

import { ExitCode, usageError } from '../errors.ts';
import { silentLog } from '../log.ts';
import { describeChange, type RepairChange } from '../maintenance/repair-journal.ts';
import type { FsckProgress } from '../store/contract.ts';
import { repairStore, type RepairReport } from '../store/repair-store.ts';
import { findOwner, lockedBy } from './owner.ts';
import { findPlace } from './place.ts';
import { Interruption } from './interruption.ts';
import { ProgressBar, type ProgressFlags } from './progress.ts';
import { formatCount, plural } from './units.ts';

/** Changes and findings printed by a repair; its journal has all changes. */
const LINES_MAX = 20;

export interface RepairFlags extends ProgressFlags {
  readonly dryRun?: true;
}

/** @throws UserError LOCKED  the store is mounted, and what repairing throws */
export async function repair(path: string, flags: RepairFlags): Promise<void> {
  const { storePath } = findPlace(path);
  const owner = findOwner(storePath);
  if (owner !== undefined) throw lockedBy(storePath, owner);
  const report = await runWithBar(storePath, flags);
  const text =
    flags.json === true ? JSON.stringify(report, undefined, 2) : formatReport(storePath, report);
  process.stdout.write(`${text}\n`);
  if (report.result === 'repaired') process.exitCode = ExitCode.REPAIRED;
  else if (report.result !== 'clean') process.exitCode = ExitCode.DAMAGED;
}

async function runWithBar(storePath: string, flags: RepairFlags): Promise<RepairReport> {
  const dryRun = flags.dryRun === true;
  using interruption = new Interruption('nothing was changed; run it again');
  using bar = new ProgressBar('repair', formatCount, flags);
  return await repairStore(storePath, {
    dryRun,
    log: silentLog(),
    signal: interruption.signal,
    onProgress: (progress) => showCheck(bar, progress),
    onPlan: async (changes) => {
      bar[Symbol.dispose]();
      if (flags.json !== true)
        await printPlan(changes, dryRun ? Number.POSITIVE_INFINITY : LINES_MAX);
    },
  });
}

/** How far a check or a repair is. */
export function showCheck(bar: ProgressBar, progress: FsckProgress): void {
  const { check, number, checks, done, total } = progress;
  bar.part = `${check}, ${number} of ${checks}`;
  bar.update(done, total);
}

async function printPlan(changes: AsyncIterable<RepairChange>, linesMax: number): Promise<void> {
  let count = 0;
  for await (const change of changes) {
    count += 1;
    if (count <= linesMax) process.stdout.write(`${change.check}: ${describeChange(change)}\n`);
  }
  if (count > linesMax) process.stdout.write(`and ${plural(count - linesMax, 'change')} more\n`);
}

function formatReport(storePath: string, report: RepairReport): string {
  const { findings, findingsOmitted, changesTotal, left, journal, before } = report;
  const found = plural(findings.length + findingsOmitted, 'finding');
  const changes = plural(changesTotal, 'change');
  switch (report.result) {
    case 'clean':
      return 'clean: nothing to repair';
    case 'repairable':
      return `damaged: ${found}; ${changes} would repair it (dry run: nothing was changed)`;
    case 'damaged': {
      const lines = left.slice(0, LINES_MAX).map(({ check, message }) => `${check}: ${message}`);
      lines.push(
        `damaged: ${found}; ${plural(left.length, 'finding')} would be left after ${changes}, nothing was changed`,
      );
      if (left.some(({ check }) => check === 'metastore-pages')) {
        lines.push(
          `pages of the metastore are damaged: 'dedupfs fsck --rebuild ${storePath}' makes it anew from its last checkpoint`,
        );
      }
      return lines.join('\n');
    }
    case 'repaired': {
      const aside = report.filesPutAside.map((path) => `${path} cannot be read and was put aside`);
      const done = [...aside, `repaired: ${found}, ${changes}`];
      if (journal === undefined || before === undefined) return done.join('\n');
      return [
        ...done,
        `what was changed: ${journal}`,
        `the metastore as it was: ${before}`,
        `  to go back, before the next mount: mv ${before} ${storePath}/meta.db; when all is well: rm ${before}`,
      ].join('\n');
    }
  }
}

/** @throws UserError USAGE */
export function assertRepairFlags(flags: {
  readonly repair?: true;
  readonly dryRun?: true;
  readonly quick?: true;
  readonly rebuild?: true;
  readonly rebuildIndex?: true;
}): void {
  const { repair: isRepair, rebuild, rebuildIndex } = flags;
  if ([isRepair, rebuild, rebuildIndex].filter((flag) => flag === true).length > 1) {
    throw usageError('--repair, --rebuild and --rebuild-index are done one at a time');
  }
  if (flags.dryRun === true && flags.repair !== true)
    throw usageError('--dry-run goes with --repair');
  if (flags.quick === true && flags.repair === true) {
    throw usageError('--repair checks everything; leave --quick out');
  }
}
