// dedupfs checkpoint STORE|DIR: copies the metadata into the block store now.

import { Command } from 'commander';

import type { CheckpointReport } from '../store/contract.ts';
import { reachStore, type StoreAccess } from './access.ts';
import { dataWorkCodes, helpEnd } from './exit-codes.ts';
import { Interruption } from './interruption.ts';
import { ProgressBar, quietOption, type ProgressFlags } from './progress.ts';
import { formatBytes, formatCount } from './units.ts';

export function checkpointCommand(): Command {
  return new Command('checkpoint')
    .summary('copy the metadata into the block store')
    .description(
      'Copies the metadata (names, attributes, file maps) into the block store, from where\n' +
        "'dedupfs fsck --rebuild' restores it when meta.db is lost. Only what changed since the last\n" +
        'copy is written. A mounted store does this by itself, see mount --checkpoint-minutes.',
    )
    .argument('<store|dir>', 'directory of the store, or its mount point')
    .option('--full', 'write everything anew: after fsck has found the last copy damaged')
    .option('--json', 'print the report as JSON')
    .addOption(quietOption())
    .addHelpText('after', helpEnd(['dedupfs checkpoint /backup'], dataWorkCodes))
    .action(takeCheckpoint);
}

interface CheckpointFlags extends ProgressFlags {
  readonly full?: true;
}

async function takeCheckpoint(path: string, flags: CheckpointFlags): Promise<void> {
  await using access = await reachStore(path);
  const report = await runWithBar(access, flags);
  const text = flags.json === true ? JSON.stringify(report, undefined, 2) : formatReport(report);
  process.stdout.write(`${text}\n`);
}

async function runWithBar(access: StoreAccess, flags: CheckpointFlags): Promise<CheckpointReport> {
  using interruption = new Interruption('the checkpoint before stays the newest; run it again');
  using bar = new ProgressBar('checkpoint', formatBytes, flags);
  return await access.checkpoint({
    full: flags.full === true,
    signal: interruption.signal,
    onProgress: ({ bytesDone, bytesTotal }) => bar.update(bytesDone, bytesTotal),
  });
}

function formatReport({ batch, plainBytes, storedBytes, bytesWritten }: CheckpointReport): string {
  const what = `commit ${formatCount(batch)}, ${formatBytes(plainBytes)}`;
  if (bytesWritten === 0) return `the last checkpoint holds everything already (${what})`;
  return `checkpoint of ${what}: wrote ${formatBytes(bytesWritten)}, ${formatBytes(storedBytes)} in all`;
}
