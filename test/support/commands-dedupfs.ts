// The dedupfs command under test, and where the compiled support files lie.

import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, type RunOptions, type RunResult } from './commands.ts';

const here = dirname(fileURLToPath(import.meta.url));
const CLI_TIMEOUT_MS = 120_000;

/** The compiled command line; DEDUPFS_CLI names another one, such as an installed version. */
export const CLI = process.env['DEDUPFS_CLI'] ?? resolve(here, '../../bin/dedupfs.js');

/** The checkout the tests belong to: the parent of dist. */
export const PROJECT = resolve(here, '../../..');

/** Runs a dedupfs command to its end. */
export async function dedupfs(
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return run(process.execPath, [CLI, ...args], { timeoutMs: CLI_TIMEOUT_MS, ...options });
}

/** The path of a compiled support file that runs as a process of its own. */
export function supportScript(name: string): string {
  return join(here, `${name}.js`);
}
