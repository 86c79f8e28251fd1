// dedupfs mount STORE DIR, and the hidden command that serves it.

import { Command } from 'commander';
import { resolve } from 'node:path';

import { describeError, DedupfsError, ExitCode } from '../errors.ts';
import { parseMountOptions } from '../kernel/mount-options.ts';
import { resolveMountpoint } from '../kernel/mountpoint.ts';
import { FORMAT_VERSION } from '../metastore/schema.ts';
import { serve, type Mounted } from './daemon.ts';
import { helpEnd } from './exit-codes.ts';
import { launchDaemon, type DaemonMessage } from './launch.ts';
import { defaultLogPath } from './log-path.ts';
import {
  addMountOptions,
  daemonArguments,
  toMountOptions,
  type MountFlags,
} from './mount-options.ts';
import { realpathAsFarAsItExists } from './place.ts';
import { checkBeforeMount } from './preflight.ts';
import { formatBytes } from './units.ts';

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
          ...(['STORE_CONFLICT', 'STORE_INCONSISTENT', 'NO_FUSE_DEVICE', 'NO_PERMISSION'] as const),
          ...(['STORE_INSIDE_MOUNT', 'NO_MOUNTPOINT', 'MOUNTPOINT_NOT_EMPTY'] as const),
          ...(['DISK_FULL', 'BUSY', 'MOUNT_FAILED', 'INTERRUPTED'] as const),
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
  const logPath = logPathOf(flags, storePath);
  const kernelOptions = parseMountOptions([flags.options ?? '']);
  const create = flags.create ?? true;
  await checkBeforeMount({ storePath, mountpoint, logPath, options: kernelOptions, create });
  const options = toMountOptions({ storePath, mountpoint, logPath, flags });
  const tell = (mounted: Mounted): void => {
    if (flags.quiet !== true) announce(options, mounted);
  };
  if (logPath === undefined) {
    process.exitCode = await serve(options, tell);
    return;
  }
  tell(await launchDaemon(daemonArguments(options, flags), logPath));
}

/** undefined: standard error, for a mount in front without --log. */
function logPathOf(flags: MountFlags, storePath: string): string | undefined {
  if (flags.log !== undefined) return resolve(flags.log);
  return flags.foreground === true ? undefined : defaultLogPath(storePath);
}

function announce(
  {
    storePath,
    mountpoint,
    logPath,
  }: { storePath: string; mountpoint: string; logPath?: string | undefined },
  mounted: Mounted,
): void {
  const { created, migratedFrom, pid, chunkBytesMean, compression } = mounted;
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
  process.stdout.write(`mounted ${storePath} on ${mountpoint} (process ${pid}${log})\n`);
}

async function runDaemon(storePath: string, mountpoint: string, flags: MountFlags): Promise<void> {
  const options = toMountOptions({ storePath, mountpoint, logPath: flags.log, flags });
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
