// dedupfs estimate TREE...: what trees would take in a store, before there is one.

import { Command, InvalidArgumentError, Option } from 'commander';
import { lstatSync } from 'node:fs';
import { resolve } from 'node:path';

import { CHUNK_BYTES_PRESETS } from '../dedup/chunking.ts';
import { parseCompression } from '../dedup/codec.ts';
import { describeError, usageError } from '../errors.ts';
import {
  estimate,
  type EstimateReport,
  type Outcome,
  type Prediction,
} from '../estimate/estimate.ts';
import { LINKED_MAX } from '../estimate/linked-files.ts';
import { helpEnd } from './exit-codes.ts';
import { Interruption } from './interruption.ts';
import { ProgressBar, quietOption, type ProgressFlags } from './progress.ts';
import { formatTable } from './tables.ts';
import {
  chunkSizes,
  formatBytes,
  formatCount,
  formatDuration,
  formatRatio,
  formatShare,
  parseBytes,
  parseChunkSize,
  plural,
} from './units.ts';

const CODECS = ['none', 'lz4', 'zstd:3', 'zstd:9', 'zlib:6'] as const;
const SAMPLE_DEFAULT = '4G';
/** A prediction within so much of its range needs none printed. */
const RANGE_SHARE_MIN = 0.02;

interface EstimateFlags extends ProgressFlags {
  readonly chunkSize?: string;
  readonly compression?: string;
  readonly sample: number;
  readonly oneFileSystem?: true;
}

export function estimateCommand(): Command {
  return new Command('estimate')
    .summary('predict what trees would take in a store')
    .description(
      'Reads TREE..., which need not be in a store, and predicts for each chunk size and codec how much\n' +
        'deduplication and compression save, what the store would take on its disk, and how long copying\n' +
        'takes on this machine; recommends one. Nothing is written.\n' +
        'Up to --sample everything is read; of more a share of the files, chosen by chance: then equal\n' +
        'data in files that were not read is not seen, and a range says what that leaves open.\n' +
        'Extended attributes are not counted. Symbolic links are not followed.',
    )
    .argument('<tree...>', 'directories or files')
    .addOption(
      new Option('--chunk-size <size>', 'only this mean chunk size (default: all)').choices(
        chunkSizes,
      ),
    )
    .option(
      '--compression <codec>',
      `only this codec: lz4, zstd[:n], zlib[:n] or none (default: ${CODECS.join(', ')})`,
      checkCompression,
    )
    .addOption(
      new Option('--sample <bytes>', 'read so much at most, such as 20G')
        .argParser(parseSample)
        .default(parseSample(SAMPLE_DEFAULT), SAMPLE_DEFAULT),
    )
    .option('--one-file-system', 'do not enter directories on other file systems')
    .option('--json', 'print the report as JSON')
    .addOption(quietOption())
    .addHelpText(
      'after',
      helpEnd(
        ['dedupfs estimate /home /etc', 'dedupfs estimate --sample 50G --chunk-size 64K /srv/vm'],
        ['OK', 'FAILED', 'USAGE', 'INTERRUPTED'],
      ),
    )
    .action(estimateTrees);
}

async function estimateTrees(trees: readonly string[], flags: EstimateFlags): Promise<void> {
  const paths = trees.map(existingPath);
  const report = await runWithBar(paths, flags);
  const text = flags.json === true ? JSON.stringify(report, undefined, 2) : formatReport(report);
  process.stdout.write(`${text}\n`);
}

/** @throws UserError USAGE */
function existingPath(tree: string): string {
  const path = resolve(tree);
  try {
    lstatSync(path);
    return path;
  } catch (cause) {
    const message = `cannot read ${path}: ${describeError(cause)}`;
    throw usageError(message);
  }
}

async function runWithBar(trees: readonly string[], flags: EstimateFlags): Promise<EstimateReport> {
  using interruption = new Interruption('nothing was written; run it again, or with less --sample');
  using bar = new ProgressBar('estimate', formatBytes, flags);
  const { chunkSize, compression } = flags;
  return await estimate({
    trees,
    chunkSizes: chunkSize === undefined ? CHUNK_BYTES_PRESETS : [parseChunkSize(chunkSize)],
    compressions: (compression === undefined ? CODECS : [compression]).map(parseCompression),
    bytesMax: flags.sample,
    oneFileSystem: flags.oneFileSystem === true,
    signal: interruption.signal,
    onProgress: ({ files, bytesRead, bytesTotal }) => {
      const found = `${plural(files, 'file')} found`;
      if (bytesTotal === undefined) bar.update(undefined, undefined, found);
      else bar.update(bytesRead, bytesTotal);
    },
  });
}

function formatReport(report: EstimateReport): string {
  const { outcomes, recommended } = report;
  const rows = outcomes.map((outcome, index) => [
    `${outcome.chunkBytes / 1024}K`,
    outcome.compression,
    formatPrediction(outcome.storeBytes, formatBytes),
    formatPrediction(outcome.dedupRatio, formatRatio),
    formatPrediction(outcome.compressionRatio, formatRatio),
    formatDuration(outcome.copySeconds),
    index === recommended ? 'recommended' : '',
  ]);
  const head = ['chunk size', 'codec', 'store', 'dedup', 'compression', 'time to copy', ''];
  return [...describeTrees(report), formatTable(head, rows), ...advice(report)].join('\n');
}

function describeTrees(report: EstimateReport): string[] {
  const { counts, readShare, bytesRead, unreadable, unreadableOmitted } = report;
  const { files, directories, symlinks, specials, hardLinks, logicalBytes } = counts;
  const parts = [
    `${plural(files, 'file')}, ${formatBytes(logicalBytes)}`,
    `${formatCount(directories)} ${directories === 1 ? 'directory' : 'directories'}`,
    plural(symlinks, 'symbolic link'),
  ];
  if (hardLinks > 0) parts.push(plural(hardLinks, 'further hard link'));
  const { linksNotRemembered } = counts;
  if (specials > 0) parts.push(plural(specials, 'special file'));
  const share = formatShare(readShare, 1);
  const read =
    readShare >= 1
      ? `all of their data was read, ${formatBytes(bytesRead)}`
      : `${share} of their data was read, chosen by chance, ${formatBytes(bytesRead)}: more with --sample`;
  const lines = [parts.join(', '), read, ...unreadable.map((what) => `not read: ${what}`)];
  if (linksNotRemembered > 0) {
    const reason = `more than ${formatCount(LINKED_MAX)} files with several names`;
    lines.push(
      `counted as files of their own: ${plural(linksNotRemembered, 'name')}, as there are ${reason}`,
    );
  }
  if (unreadableOmitted > 0) lines.push(`and ${formatCount(unreadableOmitted)} more not read`);
  return lines;
}

/** With its range, where that is wide. */
function formatPrediction({ value, min, max }: Prediction, format: (n: number) => string): string {
  if (max - min <= RANGE_SHARE_MIN * value) return format(value);
  return `${format(value)} (${format(min)} to ${format(max)})`;
}

function advice({ outcomes, recommended, counts }: EstimateReport): string[] {
  const best = outcomes[recommended];
  if (best === undefined || counts.dataBytes === 0) return [];
  const { chunkBytes, compression, storeBytes } = best satisfies Outcome;
  const share = formatShare(storeBytes.value, counts.logicalBytes);
  return [
    `recommended: dedupfs mount --chunk-size ${chunkBytes / 1024}K --compression ${compression} ...` +
      ` (a store of ${formatBytes(storeBytes.value)}, ${share} of the trees)`,
  ];
}

/** @throws UserError USAGE */
function checkCompression(text: string): string {
  parseCompression(text);
  return text;
}

function parseSample(text: string): number {
  const bytes = parseBytes(text);
  if (bytes !== undefined && bytes > 0) return bytes;
  throw new InvalidArgumentError('use bytes, such as 20G');
}
