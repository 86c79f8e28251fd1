// What can be known before a daemon is started: a mistake is told at once, in one line, with its own
// exit code. The daemon checks again what may change meanwhile (lock, mount point).

import { accessSync, constants, statSync, type Stats } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { Errno } from '../errno.ts';
import { ExitCode, UserError, type ExitCodeNumber } from '../errors.ts';
import type { MountOptions as KernelOptions } from '../kernel/mount-options.ts';
import { deviceFault } from '../kernel/device-fault.ts';
import { dedupfsMounts } from '../kernel/mountinfo.ts';
import { checkMountpoint } from '../kernel/mountpoint.ts';
import { isUnused } from '../store/store.ts';
import { detachDead, livenessOf } from './liveness.ts';
import { findOwner, lockedBy, stillCommitting } from './owner.ts';
import { isWithin } from './place.ts';

/** How long a mount waits for the last one's final commit. */
const COMMIT_WAIT_MS = 60_000;
const COMMIT_POLL_MS = 50;
/** After this, a person who waits is told why. */
const NOTICE_MS = 3000;

export interface Plan {
  readonly storePath: string;
  /** From resolveMountpoint. */
  readonly mountpoint: string;
  readonly logPath: string | undefined;
  readonly options: KernelOptions;
  /** Whether a store that is not there may be made. */
  readonly create: boolean;
}

/** @throws UserError for the first thing that would make the mount fail */
export async function checkBeforeMount(plan: Plan): Promise<void> {
  const { storePath, mountpoint, logPath, options, create } = plan;
  if (options.source !== undefined) {
    // `dedupfs umount DIR` and `stats DIR` find the store of a mount by its source.
    fail('USAGE', 'mount option fsname is not possible: the source of a mount names its store');
  }
  checkFuse();
  checkApart(storePath, mountpoint);
  if (logPath !== undefined && isWithin(logPath, mountpoint)) {
    fail('USAGE', `log ${logPath} would lie inside the mount point; choose another with --log`);
  }
  await detachIfDead(mountpoint);
  checkMountpoint(mountpoint, options.allowNonempty);
  checkSameFolder(storePath, mountpoint);
  await lastOwnerGone(storePath);
  if (!create) checkStoreIsThere(storePath);
}

function checkFuse(): void {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
  } catch (cause) {
    throw deviceFault(isCode(cause, 'ENOENT') ? Errno.ENOENT : Errno.EACCES);
  }
  if (process.geteuid?.() === 0 || isOnPath('fusermount3')) return;
  const remedy = "install it with 'apt-get install fuse3', or mount as root";
  fail('NO_FUSE_DEVICE', `fusermount3 not found; ${remedy}`);
}

function isOnPath(program: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * umount(8) returns before the daemon has committed, and the next mount must not fail for that.
 * @throws UserError LOCKED  somebody has the store open, and no such end to wait for
 */
async function lastOwnerGone(storePath: string): Promise<void> {
  const beganMs = Date.now();
  let isTold = false;
  for (;;) {
    const owner = findOwner(storePath);
    if (owner === undefined) return;
    const isEnding =
      owner.mountpoint !== undefined && dedupfsMounts({ source: storePath }).length === 0;
    const waitedMs = Date.now() - beganMs;
    if (!isEnding) throw lockedBy(storePath, owner);
    if (waitedMs > COMMIT_WAIT_MS) throw stillCommitting(storePath, owner);
    if (waitedMs > NOTICE_MS && !isTold) {
      process.stderr.write(`waiting for the final commit of process ${owner.pid}\n`);
      isTold = true;
    }
    await delay(COMMIT_POLL_MS);
  }
}

/** A daemon whose store lies in its own mount would wait for itself; the other way hides data. */
function checkApart(storePath: string, mountpoint: string): void {
  if (isWithin(storePath, mountpoint)) {
    const remedy = 'choose a mount point outside';
    fail(
      'STORE_INSIDE_MOUNT',
      `store ${storePath} lies inside mount point ${mountpoint}; ${remedy}`,
    );
  }
  if (!isWithin(mountpoint, storePath)) return;
  const remedy = 'choose a mount point elsewhere';
  fail('STORE_INSIDE_MOUNT', `mount point ${mountpoint} lies inside store ${storePath}; ${remedy}`);
}

/**
 * A daemon that was killed leaves its mount, where every access fails, and perhaps more below it.
 * What is alive stays, and checkMountpoint names it.
 */
async function detachIfDead(mountpoint: string): Promise<void> {
  const { left } = await detachDead(mountpoint);
  if (left === undefined || livenessOf(left).state !== 'unknown') return;
  const problem = `${mountpoint} already has ${left.source} mounted, and whether a daemon serves it cannot be told`;
  fail('BUSY', `${problem}; unmount it with 'dedupfs umount ${mountpoint}'`);
}

/**
 * What mount(8) does at boot must not make an empty store where the disk of the real one is not
 * mounted: backups would go there, and be hidden by the disk later.
 */
function checkStoreIsThere(storePath: string): void {
  const found = statSync(storePath, { throwIfNoEntry: false });
  const isEmpty = found?.isDirectory() === true && isUnused(storePath);
  if (found !== undefined && !isEmpty) return; // what it is instead, opening it tells
  const problem = `store ${storePath} ${isEmpty ? 'is empty' : 'does not exist'}`;
  const remedy = `mount the disk it lies on, or create it with 'dedupfs mount ${storePath} DIR'`;
  fail('NO_STORE', `${problem}, and is not created by this mount; ${remedy}`);
}

/** As checkApart, where bind mounts make one folder appear under two paths. */
function checkSameFolder(storePath: string, mountpoint: string): void {
  const target = statSync(mountpoint);
  for (let folder = storePath; folder !== '/'; folder = dirname(folder)) {
    const found: Stats | undefined = statSync(folder, { throwIfNoEntry: false });
    if (found?.dev !== target.dev || found.ino !== target.ino) continue;
    const message = `store ${storePath} lies inside mount point ${mountpoint} (the same as ${folder})`;
    fail('STORE_INSIDE_MOUNT', `${message}; choose a mount point outside`);
  }
}

function fail(name: keyof typeof ExitCode, message: string): never {
  const exitCode: ExitCodeNumber = ExitCode[name];
  throw new UserError(exitCode, `DEDUPFS_${name}`, message);
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
