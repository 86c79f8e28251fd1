// The options that `mount` and the daemon it starts have in common, and their way through argv.

import { InvalidArgumentError, Option, type Command } from 'commander';

import { parseCompression } from '../dedup/codec.ts';
import { chunkSizes, parseChunkSize } from './units.ts';

/** A week. */
const MINUTES_MAX = 7 * 24 * 60;
/** Long enough to disturb nobody, short enough to find rot while another copy still exists. */
const SCRUB_DAYS = 30;

export interface MountOptions {
  readonly storePath: string;
  readonly mountpoint: string;
  /** Comma-separated, as for mount(8). */
  readonly options: string;
  readonly compression: string | undefined;
  readonly chunkBytes: number | undefined;
  /** 0: no metadata checkpoints by time. */
  readonly checkpointMinutes: number | undefined;
  /** Days from one scrub to the next; 0: never by itself. */
  readonly scrubDays: number;
  /** undefined: standard error. */
  readonly logPath: string | undefined;
  /** Whether a store that is absent or an empty directory is made. */
  readonly create: boolean;
}

/** What commander hands to the action. */
export interface MountFlags {
  foreground?: true;
  options?: string;
  compression?: string;
  chunkSize?: string;
  checkpointMinutes?: string;
  scrubDays?: string;
  log?: string;
  /** false: --no-create */
  create?: boolean;
  quiet?: true;
}

export function addMountOptions(command: Command): Command {
  return command
    .option('-o, --options <list>', 'mount options, e.g. ro,noatime', joinLists)
    .option(
      '--compression <codec>',
      'for data stored from now on: lz4, zstd[:n], zlib[:n] or none (default: lz4)',
      checkCompression,
    )
    .addOption(
      new Option(
        '--chunk-size <size>',
        'mean chunk size, fixed when the store is created (default: 32K)',
      ).choices(chunkSizes),
    )
    .option(
      '--checkpoint-minutes <n>',
      'copy the metadata into the block store so often, for fsck --rebuild; 0: never (default: 60)',
      checkMinutes,
    )
    .option(
      '--scrub-days <days>',
      `verify all data so many days after the last time; 0: never (default: ${SCRUB_DAYS})`,
      checkDays,
    )
    .option('--log <file>', "the daemon's log (default: in /var/log/dedupfs)")
    .option('--no-create', 'refuse a store that is absent or empty instead of creating it');
}

export function toMountOptions(paths: {
  storePath: string;
  mountpoint: string;
  logPath: string | undefined;
  flags: MountFlags;
}): MountOptions {
  const { storePath, mountpoint, logPath, flags } = paths;
  return {
    storePath,
    mountpoint,
    logPath,
    options: flags.options ?? '',
    create: flags.create ?? true,
    compression: flags.compression,
    scrubDays: Number(flags.scrubDays ?? SCRUB_DAYS),
    chunkBytes: flags.chunkSize === undefined ? undefined : parseChunkSize(flags.chunkSize),
    checkpointMinutes:
      flags.checkpointMinutes === undefined ? undefined : Number(flags.checkpointMinutes),
  };
}

/** The arguments that make `dedupfs daemon` arrive at the same MountOptions. */
export function daemonArguments(options: MountOptions, flags: MountFlags): string[] {
  const pairs: (readonly [string, string | undefined])[] = [
    ['--options', flags.options],
    ['--compression', flags.compression],
    ['--chunk-size', flags.chunkSize],
    ['--checkpoint-minutes', flags.checkpointMinutes],
    ['--scrub-days', flags.scrubDays],
    ['--log', options.logPath],
  ];
  const given = pairs.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  if (!options.create) given.push('--no-create');
  return ['daemon', ...given, '--', options.storePath, options.mountpoint];
}

/** @throws UserError USAGE before anything is started */
function checkCompression(text: string): string {
  parseCompression(text);
  return text;
}

/** As text, as it goes on to the daemon. */
function checkMinutes(text: string): string {
  const minutes = Number(text);
  if (text.trim() !== '' && minutes >= 0 && minutes <= MINUTES_MAX) return text;
  throw new InvalidArgumentError(`use minutes from 0 to ${MINUTES_MAX}, such as 60`);
}

/** Kept as text, so that it can be handed on as it was given. */
function checkDays(text: string): string {
  if (/^\d{1,5}(\.\d+)?$/.test(text)) return text;
  throw new InvalidArgumentError('use a number of days, such as 30 or 0.5');
}

/** -o a -o b,c is the same as -o a,b,c. */
function joinLists(list: string, previous: string | undefined): string {
  return previous === undefined ? list : `${previous},${list}`;
}
