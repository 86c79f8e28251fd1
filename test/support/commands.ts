// Runs programs for the acceptance tests. Every run has a deadline, because a filesystem under test
// may never answer: a process stuck in such a call cannot even be killed, so whoever started it
// passes `onTimeout`, which takes the mount away.

import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants as access } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment of the test, after what `plainly` takes away. */
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
  /** Called with each piece of standard output when it comes. */
  readonly onOutput?: (text: string) => void;
  /** Called once at the deadline, after the process group was killed. */
  readonly onTimeout?: () => void;
}

export interface RunResult {
  readonly command: string;
  /** Exit code, or 128 + the signal's number as a shell reports it. */
  readonly code: number;
  /** Bytes as latin1, because names in listings need not be UTF-8. */
  readonly stdout: string;
  readonly stderr: string;
}

const RUN_TIMEOUT_MS = 120_000;
const SIGNAL_EXIT_BASE = 128;

/** Children alive now; killed when the test process ends, whatever ends it. */
const children = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of children) killGroup(child);
});
// tap ends a file that takes too long by SIGTERM, which by itself would end it without that.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => process.exit(SIGNAL_EXIT_BASE + constants.signals[signal]));
}

/** Runs a program to its end and gives what it printed. @throws Error at the deadline. */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const command = [program, ...args].join(' ').slice(0, 400);
  const child = spawn(...plainly(program, args, options.env), {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  children.add(child);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => {
    stdout.push(data);
    options.onOutput?.(data.toString('latin1'));
  });
  child.stderr.on('data', (data: Buffer) => stderr.push(data));
  // A program that ends without reading its input closes the pipe; its exit code tells the story.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  try {
    const code = await exitCodeOf(child, command, options);
    return { command, code, stdout: latin1(stdout), stderr: Buffer.concat(stderr).toString() };
  } finally {
    children.delete(child);
  }
}

/**
 * The command in a form that runs without tap: tap adds hooks to the environment of each child, by
 * NODE_OPTIONS and whatever environment is passed, and with them dedupfs would not be the program
 * that users run. env(1) takes them away and becomes the command: the same process, the same signals.
 */
export function plainly(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): [string, string[]] {
  const names = Object.keys(process.env).filter((name) => /^_?TAP/.test(name));
  const removals = ['NODE_OPTIONS', ...names].flatMap((name) => ['-u', name]);
  const additions = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return ['env', [...removals, ...additions, program, ...args]];
}

/** Like run(). @throws Error when the program fails, with all it said. */
export async function mustRun(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const result = await run(program, args, options);
  if (result.code !== 0) throw new Error(failureOf(result));
  return result;
}

/** Runs a bash script that stops at the first failure, also in a pipe. */
export async function mustRunScript(script: string, options: RunOptions = {}): Promise<RunResult> {
  return mustRun('bash', ['-euo', 'pipefail', '-c', script], options);
}

/** What a failed run looks like in a test's output. */
export function failureOf(result: RunResult): string {
  return `${result.command} exited with ${result.code}: ${result.stderr}${result.stdout}`.trim();
}

/**
 * Checks that programs are installed; the table maps each to the Debian package that brings it.
 * @throws Error naming the apt-get command, because a test that cannot run has not passed.
 */
export function requirePrograms(packages: Readonly<Record<string, string>>): void {
  const missing = Object.entries(packages).filter(([program]) => !isInstalled(program));
  if (missing.length === 0) return;
  const names = missing.map(([program]) => program).join(', ');
  const install = [...new Set(missing.map(([, name]) => name))].join(' ');
  throw new Error(`missing ${names}; run: apt-get install ${install}`);
}

/** Whether a program is found on PATH. */
export function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((directory) => {
    try {
      accessSync(join(directory, program), access.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Device nodes, trusted xattrs, foreign owners and mount(2) all need root. */
export function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new Error('the acceptance tests must run as root');
}

/** Polls until `isTrue` holds. @returns the milliseconds it took. @throws Error at the deadline. */
export async function eventually(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  options: { readonly timeoutMs: number; readonly intervalMs?: number },
): Promise<number> {
  const started = Date.now();
  while (!(await isTrue())) {
    const elapsed = Date.now() - started;
    if (elapsed > options.timeoutMs) throw new Error(`after ${elapsed} ms still not: ${what}`);
    await delay(options.intervalMs ?? 20);
  }
  return Date.now() - started;
}

async function exitCodeOf(
  child: ChildProcess,
  command: string,
  options: RunOptions,
): Promise<number> {
  const timeoutMs = options.timeoutMs ?? RUN_TIMEOUT_MS;
  return new Promise<number>((resolve, reject) => {
    const deadline = setTimeout(() => {
      // An ended program whose streams stay open has left a process behind that inherited them.
      const state = child.exitCode === null ? 'did not end' : 'left its output open';
      killGroup(child);
      options.onTimeout?.();
      reject(new Error(`${command} ${state} within ${timeoutMs} ms`));
    }, timeoutMs);
    child.once('error', (error) => {
      clearTimeout(deadline);
      reject(error);
    });
    child.once('close', (code, signal) => {
      clearTimeout(deadline);
      resolve(code ?? SIGNAL_EXIT_BASE + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

function latin1(parts: readonly Buffer[]): string {
  return Buffer.concat(parts).toString('latin1');
}
