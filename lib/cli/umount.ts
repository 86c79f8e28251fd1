// dedupfs umount DIR: ends a mount and returns when everything is durable and the daemon is gone.
//
// The mount point is never looked at, only /proc/self/mountinfo: a mount whose daemon died or hangs
// can be removed too. How the final commit went is learnt from the daemon's control socket, or, when
// that gave no answer, from what the daemon left in the store.

import { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { ControlClient } from '../control/client.ts';
import { readLastClose } from '../control/last-close.ts';
import { errnoName, Errno } from '../errno.ts';
import { ExitCode, UserError } from '../errors.ts';
import { dedupfsMounts, type Mount } from '../kernel/mountinfo.ts';
import { unmount } from '../kernel/mounting.ts';
import { native } from '../native.ts';
import type { StoreOwner } from '../store/contract.ts';
import { helpEnd } from './exit-codes.ts';
import { findHolders, findNamespaceHolder } from './holders.ts';
import { aborted, Interruption } from './interruption.ts';
import { detachDead, livenessOf } from './liveness.ts';
import { findDedupfsMount, resolveUntouched } from './place.ts';
import { ProgressBar, quietOption, type ProgressFlags } from './progress.ts';

/** A process that has just ended may hold the mount for a moment longer. */
const BUSY_RETRIES = 5;
const BUSY_RETRY_MS = 100;
const OWNER_POLL_MS = 20;
/** A daemon that does not answer for so long hangs: it is unmounted without its consent. */
const CONSENT_MS_MAX = 10_000;
/** How often a person who waits is told of it. */
const PROGRESS_MS = 250;
/** A mount that is still served so long after its end may have copies in other namespaces. */
const NAMESPACES_AFTER_MS = 1500;
/** Holders named in the message; the rest is counted. */
const HOLDERS_MAX = 8;

export function umountCommand(): Command {
  return new Command('umount')
    .summary('unmount a store')
    .description(
      'Unmounts and returns when everything is durable on the host and the daemon is gone.',
    )
    .argument('<dir>', 'the mount point')
    .addOption(quietOption())
    .addHelpText(
      'after',
      helpEnd(
        ['dedupfs umount /backup'],
        ['OK', 'FAILED', 'USAGE', 'NO_PERMISSION', 'BUSY', 'NOT_MOUNTED', 'INTERRUPTED'],
      ),
    )
    .action(endMount);
}

async function endMount(dir: string, flags: ProgressFlags): Promise<void> {
  const mountpoint = resolveUntouched(dir);
  const mount = findDedupfsMount(mountpoint);
  if (mount === undefined) {
    const message = `${mountpoint} is not a dedupfs mount; name the directory it is mounted on`;
    throw new UserError(ExitCode.NOT_MOUNTED, 'DEDUPFS_NOT_MOUNTED', message);
  }
  const liveness = livenessOf(mount);
  switch (liveness.state) {
    case 'dead':
      return clearDead(mountpoint);
    case 'unknown':
      return endUnknown(mount);
    case 'served':
      return endServed(mount, liveness.owner, flags);
  }
}

async function endServed(mount: Mount, owner: StoreOwner, flags: ProgressFlags): Promise<void> {
  const { mountpoint, source } = mount;
  const lastWords = await listenForLastWords(source);
  try {
    await unmountUnlessBusy(mountpoint);
    const elsewhere = dedupfsMounts().find(({ minor }) => minor === mount.minor);
    if (elsewhere !== undefined) {
      const rest = `the store stays mounted on ${elsewhere.mountpoint}`;
      process.stdout.write(`unmounted ${mountpoint}; ${rest}\n`);
      return;
    }
    await waitForEnd({ ...owner, minor: mount.minor }, lastWords, flags);
    checkOutcome(mountpoint, (await lastWords?.outcome) ?? outcomeLeftBy(owner, source));
  } finally {
    lastWords?.client[Symbol.dispose]();
  }
  process.stdout.write(`unmounted ${mountpoint}\n`);
}

async function clearDead(mountpoint: string): Promise<void> {
  const { detached, left } = await detachDead(mountpoint);
  const what = detached > 1 ? ` ${detached} times` : '';
  const remedy = 'the store recovers by itself at its next mount';
  process.stdout.write(`unmounted ${mountpoint}${what}, which had no daemon any more; ${remedy}\n`);
  if (left === undefined) return;
  process.stdout.write(`below it ${left.source} is mounted, and stays so\n`);
}

async function endUnknown({ mountpoint, source }: Mount): Promise<void> {
  await unmountUnlessBusy(mountpoint);
  const what = `its store ${source} does not tell who serves it, so whether a daemon still commits is not known`;
  process.stdout.write(`unmounted ${mountpoint}; ${what}\n`);
}

/** How the final commit went. */
interface Outcome {
  /** Why changes were lost; null: everything is durable. */
  readonly error: string | null;
}

interface LastWords {
  readonly client: ControlClient;
  /** undefined: the connection ended without an answer. Never rejects. */
  readonly outcome: Promise<Outcome | undefined>;
}

/** @returns when the daemon knows that we wait for its end; undefined when it cannot be asked */
async function listenForLastWords(storePath: string): Promise<LastWords | undefined> {
  let client: ControlClient;
  try {
    client = await ControlClient.connect(storePath);
  } catch {
    return undefined; // no socket: what the daemon leaves in the store has to do
  }
  const outcome = client.request('awaitClose', {}).then(
    () => ({ error: null }),
    (error: UserError) =>
      error.code === 'DEDUPFS_NO_DAEMON' ? undefined : { error: error.message },
  );
  // A daemon may be quicker to close than to accept a connection. Once it has answered a ping, it
  // has received what was asked before, and answers that before it closes.
  const deadline = setTimeout(() => client[Symbol.dispose](), CONSENT_MS_MAX);
  await client.request('ping', {}).catch(() => undefined); // without a pong, no outcome either
  clearTimeout(deadline);
  return { client, outcome };
}

function outcomeLeftBy(owner: StoreOwner, storePath: string): Outcome {
  const killed = `process ${owner.pid} was killed; what was not synced may be lost, the rest is safe`;
  return readLastClose(storePath, owner.pid) ?? { error: killed };
}

function checkOutcome(mountpoint: string, { error }: Outcome): void {
  if (error === null) return;
  const message = `${mountpoint} is unmounted, but the final commit failed: ${error}`;
  throw new UserError(ExitCode.FAILED, 'DEDUPFS_COMMIT_FAILED', message);
}

async function unmountUnlessBusy(mountpoint: string): Promise<void> {
  let result = await unmount(native, mountpoint, 0);
  for (let tries = 0; tries < BUSY_RETRIES && result === -Errno.EBUSY; tries += 1) {
    await delay(BUSY_RETRY_MS);
    result = await unmount(native, mountpoint, 0);
  }
  // Somebody else may have unmounted it at the same time.
  if (result === 0 || findDedupfsMount(mountpoint) === undefined) return;
  if (result === -Errno.EBUSY) throw busyError(mountpoint);
  if (result === -Errno.EPERM) {
    const message = `no permission to unmount ${mountpoint}; run as root or as the user who mounted it`;
    throw new UserError(ExitCode.NO_PERMISSION, 'DEDUPFS_NO_PERMISSION', message);
  }
  const message = `cannot unmount ${mountpoint}: ${errnoName(-result)}`;
  throw new UserError(ExitCode.FAILED, 'DEDUPFS_UNMOUNT_FAILED', message);
}

function busyError(mountpoint: string): UserError {
  const holders = findHolders(mountpoint);
  const named = holders
    .slice(0, HOLDERS_MAX)
    .map(({ pid, command, by }) => `process ${pid} (${command}; ${by})`);
  if (holders.length > HOLDERS_MAX) named.push(`${holders.length - HOLDERS_MAX} more`);
  const who =
    holders.length === 0
      ? 'no process that we may see holds it; look for mounts below it or run as root'
      : `held by ${named.join(', ')}; end ${holders.length === 1 ? 'it' : 'them'} and try again`;
  return new UserError(ExitCode.BUSY, 'DEDUPFS_BUSY', `${mountpoint} is busy: ${who}`);
}

/** A daemon may answer a moment before it ends; without an answer its end is all there is. */
async function waitForEnd(
  { pid, minor }: { readonly pid: number; readonly minor: number },
  lastWords: LastWords | undefined,
  flags: ProgressFlags,
): Promise<void> {
  using interruption = new Interruption(
    `it is unmounted, and process ${pid} goes on with the final commit`,
  );
  using bar = new ProgressBar('umount', String, flags);
  const timer = setInterval(() => {
    bar.update(undefined, undefined, `waiting for the final commit of process ${pid}`);
  }, PROGRESS_MS);
  const notice = setTimeout(() => tellOfNamespaces(minor, flags), NAMESPACES_AFTER_MS);
  const end = async (): Promise<void> => {
    await lastWords?.outcome;
    while (isRunning(pid)) await delay(OWNER_POLL_MS);
  };
  try {
    await Promise.race([end(), aborted(interruption.signal)]);
  } finally {
    clearInterval(timer);
    clearTimeout(notice);
  }
}

function tellOfNamespaces(minor: number, { quiet }: ProgressFlags): void {
  const holder = findNamespaceHolder(minor);
  if (holder === undefined || quiet === true) return;
  const { pid, command, path } = holder;
  process.stderr.write(
    `process ${pid} (${command}) has it mounted on ${path} in a mount namespace of its own; ` +
      'waiting until that is gone\n',
  );
}

/** A zombie counts as ended: in a container nobody may ever collect it. */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // "pid (command) state ...": the command may hold anything, also a parenthesis.
    const state = stat.charAt(stat.lastIndexOf(')') + 2);
    return state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}
