// Runs other programs for the demo: the dedupfs command line, and the tools that copy and compare.

import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface RunOptions {
  /** Ends the program. */
  readonly signal?: AbortSignal;
  /** A non-zero exit code is an answer, not a failure. */
  readonly mayFail?: boolean;
}

export interface RunResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** dist/bin/dedupfs.js, seen from dist/examples. */
const program = fileURLToPath(new URL('../bin/dedupfs.js', import.meta.url));

/** Debian package of each program the demo needs. */
const packages: Record<string, string> = { rsync: 'rsync', tar: 'tar', cmp: 'diffutils' };

/** @throws Error naming what is missing and the command that installs it */
export function requirePrograms(): void {
  const needed = { ...packages, ...(process.geteuid?.() === 0 ? {} : { fusermount3: 'fuse3' }) };
  const missing = Object.entries(needed).filter(([name]) => !isOnPath(name));
  if (missing.length === 0) return;
  const names = missing.map(([name]) => name).join(', ');
  const install = missing.map(([, debianPackage]) => debianPackage).join(' ');
  throw new Error(`missing ${names}; run: apt-get install ${install}`);
}

/** The dedupfs command line; its exit code is for the caller to judge. */
export function dedupfs(args: readonly string[], options: RunOptions): Promise<RunResult> {
  return runProgram(process.execPath, [program, ...args], { ...options, mayFail: true });
}

/** A script for bash; `args` are its $0, $1, ... @throws as runProgram */
export function runShell(
  script: string,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  return runProgram('bash', ['-euo', 'pipefail', '-c', script, ...args], options);
}

/** @throws Error with what the program said when it fails */
export async function runProgram(
  name: string,
  args: readonly string[],
  { signal, mayFail = false }: RunOptions,
): Promise<RunResult> {
  signal?.throwIfAborted();
  const result = await new Promise<RunResult>((resolve, reject) => {
    // A process group of its own, so that the end of a script ends what it started.
    const child = spawn(name, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const end = (): void => endGroup(child.pid);
    signal?.addEventListener('abort', end, { once: true });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (piece: Buffer) => stdout.push(piece));
    child.stderr.on('data', (piece: Buffer) => stderr.push(piece));
    child.once('error', reject);
    child.once('close', (code) => {
      signal?.removeEventListener('abort', end);
      const text = (pieces: Buffer[]): string => Buffer.concat(pieces).toString();
      resolve({ code, stdout: text(stdout), stderr: text(stderr) });
    });
  });
  signal?.throwIfAborted();
  if (result.code === 0 || mayFail) return result;
  const said = result.stderr.trim().split('\n').slice(-3).join('; ');
  throw new Error(`${name} failed with exit code ${result.code}: ${said}`);
}

function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGTERM');
  } catch {
    // The group has ended by itself.
  }
}

export function isOnPath(name: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
