// The command line: dispatch to the commands, and the one place where errors become exit codes.
//
// An error that a person can act on is one line on standard error, `dedupfs: what; remedy`; with
// --json it is one JSON object. A stack trace is never shown unless DEDUPFS_DEBUG is set.

import { CommanderError } from 'commander';

import { describeError, DedupfsError, ExitCode, UserError, usageError } from '../errors.ts';
import { isFullError } from '../host-room.ts';
import { endOnInterrupt } from './interruption.ts';
import { helperArguments, mountExitCode, mountWords, parseHelperCall } from './mount-helper.ts';
import { createProgram } from './program.ts';
import { remount } from './remount.ts';

/** @param args without the interpreter and the program: process.argv.slice(2) */
export async function main(args: readonly string[]): Promise<void> {
  endOnBrokenPipe();
  const helper = helperArguments(args);
  if (helper === undefined) await run(args);
  else await helpMount(helper);
  if (helper !== undefined || args[0] === 'mount' || args[0] === 'daemon') endProcess();
}

async function run(args: readonly string[]): Promise<void> {
  // These two serve until they are told to unmount.
  if (!['mount', 'daemon'].includes(args[0] ?? '')) endOnInterrupt();
  try {
    await createProgram().parseAsync([...args], { from: 'user' });
  } catch (error) {
    report(error, args);
  }
}

/** For mount(8), which has exit codes of its own. */
async function helpMount(args: readonly string[]): Promise<void> {
  await callMount(args);
  process.exitCode = mountExitCode(Number(process.exitCode ?? ExitCode.OK));
}

async function callMount(args: readonly string[]): Promise<void> {
  try {
    const call = parseHelperCall(args, process.geteuid?.() === 0);
    if (call.dropped.length > 0) warn(`unknown options are left out: ${call.dropped.join(', ')}`);
    if (call.isFake) return;
    if (!call.isRemount) {
      await run(mountWords(call));
      return;
    }
    const later = await remount(call);
    if (later.length > 0) warn(`these options wait for the next mount: ${later.join(', ')}`);
  } catch (error) {
    report(error, args);
  }
}

function warn(text: string): void {
  process.stderr.write(`dedupfs: ${text}\n`);
}

function report(thrown: unknown, args: readonly string[]): void {
  const cause = firstOf(thrown);
  const error = cause instanceof CommanderError ? commandLineError(cause, args) : orDiskFull(cause);
  if (error === undefined) return;
  const isExpected = error instanceof DedupfsError;
  const exitCode = isExpected ? error.exitCode : ExitCode.FAILED;
  const code = isExpected ? error.code : 'DEDUPFS_FAILED';
  const message = oneLine(isExpected ? describeError(error) : describeBug(error));
  process.exitCode = exitCode;
  if (args.includes('--json')) {
    process.stderr.write(`${JSON.stringify({ error: { code, message, exitCode } })}\n`);
  } else {
    process.stderr.write(`dedupfs: ${message}\n`);
  }
  if (process.env['DEDUPFS_DEBUG'] !== undefined && error instanceof Error) {
    process.stderr.write(`${error.stack ?? ''}\n`);
  }
}

/** What failed first, when closing what was open failed too: `using` hides it behind an error of its own. */
function firstOf(thrown: unknown): unknown {
  let error = thrown;
  while (error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error) {
    error = error.suppressed;
  }
  return error;
}

/** A full host is no bug of ours, whoever meets it first. */
function orDiskFull(error: unknown): unknown {
  if (error instanceof DedupfsError || !(error instanceof Error) || !isFullError(error))
    return error;
  return new UserError(
    ExitCode.DISK_FULL,
    'DEDUPFS_DISK_FULL',
    "the host's file system is full; free some space and try again",
    { cause: error },
  );
}

/** undefined: help or version was asked for and printed, which is no error. */
function commandLineError(error: CommanderError, args: readonly string[]): UserError | undefined {
  if (error.exitCode === 0) return undefined;
  const command = args[0] !== undefined && /^[a-z][a-z-]*$/.test(args[0]) ? args[0] : undefined;
  const isKnown = command !== undefined && !error.message.includes(`unknown command '${command}'`);
  const help = `see 'dedupfs ${isKnown ? `${command} ` : ''}--help'`;
  // Without a command, commander prints the whole help as if it were an error.
  const what =
    error.code === 'commander.help'
      ? 'no command given'
      : error.message
          .replace(/^error: /, '')
          .replace('is invalid. Allowed choices are', 'is invalid; use one of')
          .replace(/ is invalid\. /, ' is invalid; ')
          .replace(/\.$/, '');
  return usageError(`${what}; ${help}`);
}

/** Anything not thrown on purpose. The user cannot do much, but can tell us. */
function describeBug(error: unknown): string {
  return `${describeError(error)} (unexpected; set DEDUPFS_DEBUG=1 to see where, and report it)`;
}

function oneLine(message: string): string {
  return message.trim().replaceAll(/\s*\n\s*/g, ' ');
}

/** `dedupfs stats | head` ends quietly, as other programs do. */
function endOnBrokenPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? ExitCode.OK : ExitCode.FAILED);
  });
}

/**
 * After a mount nothing may keep the process: a worker or timer left over would hide that the daemon
 * is done. All that matters is durable by now.
 */
function endProcess(): void {
  process.exit();
}
