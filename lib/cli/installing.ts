// What install-helper and install-service have in common: files of the system that name this program
// by absolute paths, because mount(8) and systemd start it with an environment of their own.

import { accessSync, closeSync, constants, existsSync, fchmodSync, fsyncSync } from 'node:fs';
import { openSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describeError, ExitCode, UserError } from '../errors.ts';
import { isWithin } from './place.ts';

export interface ProgramPaths {
  /** Of node. */
  readonly interpreter: string;
  /** dist/bin/dedupfs.js. */
  readonly program: string;
}

/** Folders that are emptied now and then, at boot at the latest. */
const TRANSIENT = ['/tmp', '/var/tmp', '/run', '/dev/shm'];

/**
 * Where this program will be found.
 * @param force accept a place that does not last
 * @throws UserError FAILED  it lies where it will vanish
 */
export function lastingPaths(force: boolean): ProgramPaths {
  const program = realpathSync(fileURLToPath(new URL('../../bin/dedupfs.js', import.meta.url)));
  const interpreter = stablePathOf(process.execPath);
  for (const path of [program, interpreter]) {
    const isTransient =
      [...TRANSIENT, tmpdir()].some((folder) => isWithin(path, folder)) || path.includes('/_npx/');
    if (!isTransient || force) continue;
    const remedy = "install dedupfs with 'npm install -g', or insist with --force";
    throw new UserError(
      ExitCode.FAILED,
      'DEDUPFS_TRANSIENT_PROGRAM',
      `${path} lies in a folder for temporary files and will vanish; ${remedy}`,
    );
  }
  return { interpreter, program };
}

/** /usr/bin/node rather than what it leads to today, which may have a version in its name. */
function stablePathOf(interpreter: string): string {
  for (const folder of ['/usr/bin', '/usr/local/bin']) {
    const path = join(folder, 'node');
    if (existsSync(path) && realpathSync(path) === realpathSync(interpreter)) return path;
  }
  return interpreter;
}

/**
 * Writes a file of ours, or a new version of it. Never over one that others wrote: ours have `mark`.
 * @throws UserError FAILED  there is another  @throws UserError NO_PERMISSION, NO_FOLDER
 */
export function installFile(
  path: string,
  content: { readonly text: string; readonly mode: number; readonly mark: string },
): void {
  refuseForeign(path, content.mark);
  attempt(path, () => {
    accessSync(dirname(path), constants.W_OK);
    const draft = `${path}.new`;
    rmSync(draft, { force: true });
    writeNew(draft, content.text, content.mode);
    renameSync(draft, path);
  });
}

/** Never through a link that somebody put there, and with this mode whatever the umask is. */
function writeNew(path: string, text: string, mode: number): void {
  const descriptor = openSync(path, 'wx', mode);
  try {
    writeFileSync(descriptor, text);
    fchmodSync(descriptor, mode);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** @returns whether it was there  @throws as installFile */
export function removeFile(path: string, mark: string): boolean {
  if (!existsSync(path)) return false;
  refuseForeign(path, mark);
  attempt(path, () => rmSync(path));
  return true;
}

/** Also a link that leads nowhere. */
function refuseForeign(path: string, mark: string): void {
  let found: string;
  try {
    found = readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return;
    throw explained(path, error);
  }
  if (found.includes(mark)) return;
  throw new UserError(
    ExitCode.FAILED,
    'DEDUPFS_FOREIGN_FILE',
    `${path} is there and was not written by dedupfs; look at it and remove it first`,
  );
}

function attempt(path: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw explained(path, error);
  }
}

function explained(path: string, cause: unknown): UserError {
  if (isCode(cause, 'EACCES') || isCode(cause, 'EPERM')) {
    const message = `no permission to write ${path}; run as root`;
    return new UserError(ExitCode.NO_PERMISSION, 'DEDUPFS_NO_PERMISSION', message);
  }
  const why = isCode(cause, 'ENOENT')
    ? `${dirname(path)} does not exist; name another with --directory`
    : describeError(cause);
  return new UserError(ExitCode.FAILED, 'DEDUPFS_INSTALL_FAILED', `cannot write ${path}: ${why}`);
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
