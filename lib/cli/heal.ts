// dedupfs heal STORE|DIR TREE: repairs damaged data from another copy of the files.

import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command } from 'commander';

import { describeError, ExitCode, usageError } from '../errors.ts';
import type { HealReport } from '../store/contract.ts';
import { reachStore, type StoreAccess } from './access.ts';
import { damageLines } from './damage-lines.ts';
import { dataWorkCodes, helpEnd } from './exit-codes.ts';
import { Interruption } from './interruption.ts';
import { ProgressBar, quietOption, type ProgressFlags } from './progress.ts';
import { formatBytes, formatCount, plural } from './units.ts';

const STAYS = 'what was healed stays; run it again for the rest';

export function healCommand(): Command {
  return new Command('heal')
    .summary('repair damaged data from another copy')
    .description(
      'Looks through the files of TREE for content that the store has lost to damage, and stores\n' +
        'that again: every file that refers to it is right again. Nothing else is stored, and names\n' +
        'in TREE do not matter. Damage must be known: run dedupfs scrub first.\n' +
        'Files that were changed in place may lie in the store cut at other places; what heal does not\n' +
        'find is repaired by copying the file into the mount.\n' +
        'On a mounted store the daemon reads TREE.',
    )
    .argument('<store|dir>', 'directory of the store, or its mount point')
    .argument('<tree>', 'directory with good copies, or one file')
    .option('--json', 'print the report as JSON')
    .addOption(quietOption())
    .addHelpText('after', helpEnd(['dedupfs heal /backup /home'], dataWorkCodes))
    .action(heal);
}

async function heal(path: string, tree: string, flags: ProgressFlags): Promise<void> {
  const treePath = realPathOf(tree);
  await using access = await reachStore(path);
  const report = await runWithBar(access, treePath, flags);
  const text = flags.json === true ? JSON.stringify(report, undefined, 2) : formatReport(report);
  process.stdout.write(`${text}\n`);
  if (!report.isComplete) process.exitCode = ExitCode.INTERRUPTED;
  else if (report.damage.chunks > 0) process.exitCode = ExitCode.DAMAGED;
}

/** The daemon needs an absolute path, and refuses its own mount whatever it is called. */
function realPathOf(tree: string): string {
  const path = resolve(tree);
  try {
    return realpathSync.native(path);
  } catch (cause) {
    const message = `cannot read ${path}: ${describeError(cause)}`;
    throw usageError(message);
  }
}

async function runWithBar(
  access: StoreAccess,
  tree: string,
  flags: ProgressFlags,
): Promise<HealReport> {
  using interruption = new Interruption(STAYS);
  using bar = new ProgressBar('heal', formatBytes, flags);
  // How much there is to read is not known, only how many chunks are wanted.
  return await access.heal({
    tree,
    signal: interruption.signal,
    onProgress: ({ bytes, chunksHealed, chunksWanted }) => {
      const chunks = plural(chunksHealed + chunksWanted, 'chunk');
      bar.update(bytes, undefined, `healed ${formatCount(chunksHealed)} of ${chunks}`);
    },
  });
}

function formatReport(report: HealReport): string {
  const { files, bytes, chunksHealed, bytesHealed, unreadable, unreadableOmitted } = report;
  const lines = unreadable.map((message) => `not read: ${message}`);
  if (unreadableOmitted > 0) lines.push(`and ${plural(unreadableOmitted, 'file')} more not read`);
  const read = `${plural(files, 'file')}, ${formatBytes(bytes)} read`;
  lines.push(`healed ${plural(chunksHealed, 'chunk')}, ${formatBytes(bytesHealed)} (${read})`);
  if (!report.isComplete) lines.push(`interrupted; ${STAYS}`);
  const left = damageLines(report.damage);
  lines.push(...(left.length === 0 ? ['nothing is known to be damaged'] : left));
  return lines.join('\n');
}
