// dedupfs gc STORE|DIR: gives the space of deleted data back to the host.

import { Command, InvalidArgumentError } from 'commander';

import { ExitCode } from '../errors.ts';
import type { GcPlan, GcReport } from '../store/contract.ts';
import { reachStore, type StoreAccess } from './access.ts';
import { helpEnd } from './exit-codes.ts';
import { Interruption } from './interruption.ts';
import { ProgressBar, quietOption } from './progress.ts';
import { formatTable } from './tables.ts';
import { formatBytes, formatShare, plural } from './units.ts';

const GOES_ON = 'what was moved stays moved, the next gc goes on';

interface GcFlags {
  dryRun?: true;
  threshold?: number;
  json?: true;
  quiet?: true;
}

export function gcCommand(): Command {
  return new Command('gc')
    .summary('give the space of deleted data back')
    .description(
      'Moves what is still used out of arenas that are mostly dead and removes those.\n' +
        'The daemon of a mounted store does the same by itself, in the background.',
    )
    .argument('<store|dir>', 'directory of the store, or its mount point')
    .option('--dry-run', 'print what would be done, and do nothing')
    .option('--threshold <ratio>', 'evacuate arenas with a smaller live share', parseThreshold)
    .option('--json', 'print the plan or the report as JSON')
    .addOption(quietOption())
    .addHelpText(
      'after',
      helpEnd(
        ['dedupfs gc --dry-run /backup'],
        [
          ...(['OK', 'FAILED', 'USAGE', 'NO_STORE', 'LOCKED', 'WRONG_FORMAT'] as const),
          ...(['BAD_CONFIG', 'NO_PERMISSION', 'DISK_FULL', 'BUSY', 'INTERRUPTED'] as const),
        ],
      ),
    )
    .action(collect);
}

async function collect(path: string, flags: GcFlags): Promise<void> {
  await using access = await reachStore(path);
  if (flags.dryRun === true) {
    const plan = await access.planGc(flags.threshold);
    print(flags, plan, () => formatPlan(plan));
    return;
  }
  const report = await runWithBar(access, flags);
  print(flags, report, () => formatReport(report));
  if (!report.isComplete) process.exitCode = ExitCode.INTERRUPTED;
}

async function runWithBar(access: StoreAccess, flags: GcFlags): Promise<GcReport> {
  using interruption = new Interruption(GOES_ON);
  using bar = new ProgressBar('gc', formatBytes, flags);
  return await access.gc({
    ...(flags.threshold === undefined ? {} : { threshold: flags.threshold }),
    signal: interruption.signal,
    onProgress: ({ bytesDone, bytesTotal }) => bar.update(bytesDone, bytesTotal),
  });
}

function print(flags: GcFlags, value: GcPlan | GcReport, format: () => string): void {
  const text = flags.json === true ? JSON.stringify(value, undefined, 2) : format();
  process.stdout.write(`${text}\n`);
}

function formatPlan(plan: GcPlan): string {
  const summary = `would move ${formatBytes(plan.bytesToMove)} and free ${formatBytes(plan.bytesToFree)}`;
  const rows = plan.arenas
    .filter(({ action }) => action !== 'keep')
    .map(({ arena, action, hostBytes, liveBytes }) => [
      String(arena),
      action,
      formatBytes(hostBytes),
      formatShare(liveBytes, hostBytes),
    ]);
  const kept = plan.arenas.length - rows.length;
  if (rows.length === 0) return `nothing to do: ${plural(kept, 'arena')} to keep`;
  const table = formatTable(['arena', 'action', 'on the host', 'live'], rows);
  return `${table}\n${summary}; ${plural(kept, 'arena')} to keep`;
}

function formatReport({ isComplete, arenasRemoved, bytesMoved, bytesFreed }: GcReport): string {
  const moved = `moved ${formatBytes(bytesMoved)}`;
  const done = `removed ${plural(arenasRemoved, 'arena')}: freed ${formatBytes(bytesFreed)}, ${moved}`;
  if (!isComplete) return `interrupted; ${GOES_ON} (${done})`;
  return arenasRemoved === 0 ? 'nothing to do' : done;
}

function parseThreshold(text: string): number {
  const threshold = Number(text);
  if (threshold > 0 && threshold <= 1) return threshold;
  throw new InvalidArgumentError('use a number above 0 and at most 1, such as 0.5');
}
