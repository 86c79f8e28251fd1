// dedupfs stats STORE|DIR: what is in a store and what it saved.

import { Command } from 'commander';

import type { StoreStatistics } from '../store/contract.ts';
import { reachStore } from './access.ts';
import { helpEnd } from './exit-codes.ts';
import { formatPairs } from './tables.ts';
import { formatBytes, formatCount, formatRatio, formatShare, formatTime, plural } from './units.ts';

export function statsCommand(): Command {
  return new Command('stats')
    .summary('show what a store holds and saves')
    .description(
      'Shows files, bytes and what deduplication and compression saved.\n' +
        'On a mounted store the daemon is asked.',
    )
    .argument('<store|dir>', 'directory of the store, or its mount point')
    .option('--json', 'print exact numbers as JSON')
    .option('--explain', 'say what each number means')
    .addHelpText(
      'after',
      helpEnd(
        ['dedupfs stats /backup'],
        [
          'OK',
          'FAILED',
          'USAGE',
          'NO_STORE',
          'LOCKED',
          'WRONG_FORMAT',
          'BAD_CONFIG',
          'NO_PERMISSION',
        ],
      ),
    )
    .action(showStatistics);
}

async function showStatistics(path: string, flags: { json?: true; explain?: true }): Promise<void> {
  await using access = await reachStore(path);
  const statistics = await access.statistics();
  if (flags.json === true) {
    const { daemonPid = null } = access;
    const readOnlyReason = statistics.readOnlyReason ?? null;
    const checkpoint = statistics.checkpoint ?? null;
    const lastScrub = statistics.lastScrub ?? null;
    const output = { ...statistics, checkpoint, lastScrub, readOnlyReason, daemonPid };
    process.stdout.write(`${JSON.stringify(output, undefined, 2)}\n`);
    return;
  }
  process.stdout.write(`${formatStatistics(statistics, access.daemonPid)}\n`);
  if (flags.explain === true) process.stdout.write(`\n${explanation}\n`);
}

function formatStatistics(s: StoreStatistics, daemonPid: number | undefined): string {
  const who = daemonPid === undefined ? 'not mounted' : `mounted, process ${daemonPid}`;
  return formatPairs([
    ['store', `${s.store} (${who})`],
    ['settings', `chunks of ${formatBytes(s.chunkBytesMean)}, compression ${s.compression}`],
    ...(s.readOnlyReason === undefined ? [] : [['read-only', s.readOnlyReason] as const]),
    undefined,
    ['files', formatCount(s.files)],
    ['directories', formatCount(s.directories)],
    ['other inodes', formatCount(s.otherInodes)],
    undefined,
    ['logical', formatBytes(s.logicalBytes)],
    ['referenced', formatBytes(s.referencedBytes)],
    ['unique', formatBytes(s.uniqueBytes)],
    ['stored', formatBytes(s.storedBytes)],
    ['not yet stored', formatBytes(s.dirtyBytes)],
    ['dead, for gc', formatBytes(s.deadBytes)],
    ['on the host', formatBytes(s.hostBytes)],
    undefined,
    ['saved by dedup', saving(s.savedByDedupBytes, s.referencedBytes, s.dedupRatio)],
    ['saved by compression', saving(s.savedByCompressionBytes, s.uniqueBytes, s.compressionRatio)],
    undefined,
    ['chunks', formatCount(s.chunks)],
    ['packs', formatCount(s.packs)],
    ['arenas', formatCount(s.arenas)],
    ['commits', formatCount(s.batch)],
    ['checkpoint', formatCheckpoint(s)],
    ['last scrub', formatScrub(s.lastScrub)],
    ...(s.damagedChunks === 0 ? [] : [['damaged', formatDamage(s)] as const]),
    ['memory', `${formatBytes(s.residentBytes)}, at most ${formatBytes(s.residentBytesPeak)}`],
  ]);
}

/** `2026-11-21 07:25:03, commit 12, 1.2 MiB stored` */
export function formatCheckpoint({ checkpoint }: Pick<StoreStatistics, 'checkpoint'>): string {
  if (checkpoint === undefined) return 'none yet';
  const { createdMs, batch, storedBytes } = checkpoint;
  return `${formatTime(createdMs)}, commit ${formatCount(batch)}, ${formatBytes(storedBytes)} stored`;
}

function formatScrub(last: StoreStatistics['lastScrub']): string {
  if (last === undefined) return 'none yet';
  const when = new Date(last.completedMs).toISOString().slice(0, 16).replace('T', ' ');
  const isClean = last.chunksDamaged === 0 && last.findings === 0;
  const found = isClean ? 'clean' : `${plural(last.chunksDamaged + last.findings, 'defect')} found`;
  return `${when} UTC, ${formatBytes(last.bytes)}, ${found}`;
}

function formatDamage({ damagedChunks, damagedBytes }: StoreStatistics): string {
  const what = `${plural(damagedChunks, 'chunk')}, ${formatBytes(damagedBytes)}`;
  return `${what}; 'dedupfs scrub --list' names the files`;
}

/** `1.2 GiB (75.0 %, 4.00 : 1)` */
function saving(bytes: number, of: number, ratio: number): string {
  return `${formatBytes(bytes)} (${formatShare(bytes, of)}, ${formatRatio(ratio)})`;
}

const explanation = formatPairs([
  ['logical', 'sum of the sizes of all regular files'],
  ['referenced', 'logical without holes: the bytes that file contents refer to'],
  ['unique', 'referenced, each distinct chunk counted once'],
  ['stored', 'unique after compression, as it lies in the packs'],
  ['not yet stored', 'written in the last seconds and not yet chunked'],
  ['dead, for gc', 'stored bytes that no file refers to any more; gc gives them back'],
  ['on the host', "what the store's files occupy: stored, dead and metadata"],
  ['saved by dedup', 'referenced - unique, and referenced : unique'],
  ['saved by compression', 'unique - stored, and unique : stored'],
  [
    'checkpoint',
    'the last copy of the metadata in the block store: what fsck --rebuild goes back to',
  ],
  ['last scrub', 'when all data was last read and verified, and what was found bad then'],
  [
    'damaged',
    'data in quarantine: its files give EIO there until the same content is stored again',
  ],
  ['memory', 'resident set of the process that answers, now and at its peak'],
]);
