// dedupfs mount STORE DIR, and the hidden command that serves it.

import { Command } from 'commander';
import { resolve } from 'node:path';

import { describeError, DedupfsError, ExitCode } from '../errors.ts';
import { parseMountOptions } from '../kernel/mount-options.ts';
import { resolveMountpoint } from '../kernel/mountpoint.ts';
import { FORMAT_VERSION } from '../metastore/schema.ts';
import { migrationProgress } from '../store/migrations/migrate.ts';
import { serve, type Mounted } from './daemon.ts';
import { helpEnd } from './exit-codes.ts';
import { launchDaemon, type DaemonMessage } from './launch.ts';
import {
  addMountOptions,
  daemonArguments,
  givenBy,
  logPathOf,
  type MountFlags,
  type MountOptions,
} from './mount-options.ts';
import { realpathAsFarAsItExists } from './place.ts';
import { checkBeforeMount } from './preflight.ts';
import { ProgressBar } from './progress.ts';
import { readConfig } from './settings/config-file.ts';
import { mergeSettings } from './settings/merge.ts';
import { formatBytes } from './units.ts';

/** How often a person who waits is told of it. */
const PROGRESS_MS = 250;

export function mountCommand(): Command {
  const command = new Command('mount')
    .summary('mount a store on a directory')
    .description(
      'Mounts the store on an empty directory and returns when the mount answers.\n' +
        'A STORE that is absent or an empty directory is created, unless --no-create says otherwise.',
    )
    .argument('<store>', 'directory of the store')
    .argument('<dir>', 'mount point: an empty directory')
    .option('-f, --foreground', 'serve in this process, log to standard error')
    .option('-q, --quiet', 'print nothing but errors');
  return addMountOptions(command)
    .addHelpText(
      'after',
      helpEnd(
        [
          'dedupfs mount /srv/store /backup',
          'dedupfs mount --compression zstd:3 --chunk-size 64K /srv/archive /archive',
        ],
        [
          ...(['OK', 'FAILED', 'USAGE', 'NO_STORE', 'LOCKED', 'WRONG_FORMAT'] as const),
          ...(['STORE_CONFLICT', 'STORE_INCONSISTENT', 'BAD_CONFIG', 'NO_FUSE_DEVICE'] as const),
          ...(['NO_PERMISSION', 'STORE_INSIDE_MOUNT', 'NO_MOUNTPOINT'] as const),
          ...([
            'MOUNTPOINT_NOT_EMPTY',
            'DISK_FULL',
            'BUSY',
            'MOUNT_FAILED',
            'INTERRUPTED',
          ] as const),
        ],
      ),
    )
    .action(mount);
}

/** Run by `mount` in a session of its own; the arguments are absolute paths that were checked. */
export function daemonCommand(): Command {
  const command = new Command('daemon').argument('<store>').argument('<dir>');
  return addMountOptions(command).action(runDaemon);
}

async function mount(store: string, dir: string, flags: MountFlags): Promise<void> {
  const storePath = realpathAsFarAsItExists(resolve(store));
  const mountpoint = resolveMountpoint(dir);
  const given = givenBy(flags);
  const isForeground = flags.foreground === true;
  const create = flags.create !== false;
  const options: MountOptions = { storePath, mountpoint, given, isForeground, create };
  const settings = mergeSettings(readConfig(storePath).values, given);
  const logPath = logPathOf(settings, options);
  const kernelOptions = parseMountOptions([settings.options]);
  await checkBeforeMount({ storePath, mountpoint, logPath, options: kernelOptions, create });
  const mounted = (it: Mounted): void => {
    if (flags.quiet !== true) announce({ storePath, mountpoint, logPath }, it);
  };
  // Only a mount in front has no log of its own.
  if (isForeground || logPath === undefined) {
    process.exitCode = await serve(options, mounted);
    return;
  }
  mounted(await launchWithBar(options, flags, logPath));
}

async function launchWithBar(
  options: MountOptions,
  flags: MountFlags,
  logPath: string,
): Promise<Mounted> {
  using bar = new ProgressBar('mount', formatBytes, {
    quiet: flags.quiet === true ? true : undefined,
  });
  // A migration keeps the daemon too busy to tell; how far it is, its copy tells.
  const timer = setInterval(() => {
    const progress = migrationProgress(options.storePath);
    bar.part = progress === undefined ? '' : 'bringing the store to the present format';
    if (progress === undefined) bar.update(undefined, undefined, 'the daemon opens the store');
    else bar.update(progress.bytesDone, progress.bytesTotal);
  }, PROGRESS_MS);
  try {
    return await launchDaemon(daemonArguments(options), logPath);
  } finally {
    clearInterval(timer);
  }
}

function announce(
  {
    storePath,
    mountpoint,
    logPath,
  }: { storePath: string; mountpoint: string; logPath: string | undefined },
  mounted: Mounted,
): void {
  const { created, migratedFrom, pid, chunkBytesMean, compression, metricsUrl } = mounted;
  if (created) {
    const how = `chunks of ${formatBytes(chunkBytesMean)}, compression ${compression}`;
    process.stdout.write(`created store ${storePath} (${how})\n`);
  }
  if (migratedFrom !== undefined) {
    const change = `from format ${migratedFrom} to ${FORMAT_VERSION}`;
    process.stdout.write(
      `brought store ${storePath} ${change}; earlier versions cannot use it now\n`,
    );
  }
  const log = logPath === undefined ? '' : `, log ${logPath}`;
  const metrics = metricsUrl === undefined ? '' : `, metrics ${metricsUrl}/metrics`;
  process.stdout.write(`mounted ${storePath} on ${mountpoint} (process ${pid}${log}${metrics})\n`);
}

async function runDaemon(storePath: string, mountpoint: string, flags: MountFlags): Promise<void> {
  const options = {
    storePath,
    mountpoint,
    given: givenBy(flags),
    isForeground: false,
    create: flags.create !== false,
  };
  const state = { isMounted: false };
  try {
    process.exitCode = await serve(options, (mounted) => {
      state.isMounted = true;
      void report({ type: 'mounted', mounted });
    });
  } catch (error) {
    if (state.isMounted) throw error;
    await report(failureOf(error));
    process.exitCode = error instanceof DedupfsError ? error.exitCode : ExitCode.FAILED;
  }
}

/** Tells the waiting `mount`, if it is still there, and lets go of it. */
function report(message: DaemonMessage): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected) {
      resolve();
      return;
    }
    process.send?.(message, () => {
      if (process.connected) process.disconnect();
      resolve();
    });
  });
}

function failureOf(error: unknown): DaemonMessage {
  const message = describeError(error);
  if (error instanceof DedupfsError) {
    return { type: 'failed', code: error.code, message, exitCode: error.exitCode };
  }
  return { type: 'failed', code: 'DEDUPFS_FAILED', message, exitCode: ExitCode.FAILED };
}
