// Where the daemon of a store writes its log when --log does not say. Not into the store: a log
// grows without bound and belongs where the host rotates logs.

import { closeSync, mkdirSync, openSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

import { describeError, ExitCode, UserError } from '../errors.ts';

/** /srv/backup/store -> /var/log/dedupfs/srv-backup-store.log, below $XDG_STATE_HOME unless root. */
export function defaultLogPath(storePath: string): string {
  const name = storePath.replace(/^\/+/, '').replace(/[^A-Za-z0-9._-]+/g, '-') || 'root';
  return join(logFolder(), `${name.slice(-200)}.log`);
}

function logFolder(): string {
  if (process.getuid?.() === 0) return '/var/log/dedupfs';
  const state = process.env['XDG_STATE_HOME'];
  return join(state ?? join(homedir(), '.local', 'state'), 'dedupfs');
}

/**
 * Creates the log and its folder, so that a daemon without a terminal has a place for its last words.
 * @returns a descriptor for appending, owned by the caller
 * @throws UserError NO_PERMISSION or FAILED with the remedy
 */
export function openLogFile(path: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    return openSync(path, 'a', 0o600);
  } catch (cause) {
    const message = `cannot write the log ${path} (${describeError(cause)}); choose another with --log`;
    const isDenied = cause instanceof Error && 'code' in cause && cause.code === 'EACCES';
    const exitCode = isDenied ? ExitCode.NO_PERMISSION : ExitCode.FAILED;
    throw new UserError(exitCode, 'DEDUPFS_NO_LOG', message);
  }
}

/** Whether the log can be written, for the check before a mount. @throws as openLogFile */
export function checkLogFile(path: string): void {
  closeSync(openLogFile(path));
}
