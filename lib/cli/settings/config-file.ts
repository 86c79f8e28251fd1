// STORE/config.toml on the host: read as it is, replaced as a whole. Written by whoever holds the lock of the
// store, so that no two changes and no mount overtake one another.

import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { ExitCode, UserError } from '../../errors.ts';
import { checkStoreFile } from '../../store/safe-entries.ts';
import { syncFolder } from '../../sync-folder.ts';
import { badConfig, parseConfigText } from './config-text.ts';
import type { Settings } from './table.ts';

/** The sample file with all settings has 2 KiB. */
const BYTES_MAX = 64 * 1024;

export interface ConfigFile {
  readonly path: string;
  /** '': there is none. */
  readonly text: string;
  readonly values: Partial<Settings>;
}

export function configPath(storePath: string): string {
  return join(storePath, 'config.toml');
}

/**
 * @throws UserError BAD_CONFIG  @throws UserError NO_PERMISSION  it is not the store's owner's own file
 * @throws Error  of the host
 */
export function readConfig(storePath: string): ConfigFile {
  const path = configPath(storePath);
  const text = readOwnFile(path);
  return { path, text, values: parseConfigText(text, path) };
}

/** What it says may make us write elsewhere (`log`): it must be a file that nobody else has put there. */
function readOwnFile(path: string): string {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let descriptor: number;
  try {
    descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return '';
    if (code === 'ELOOP') checkStoreFile(path);
    if (code === 'EACCES') throw mayNot(path);
    throw error;
  }
  try {
    const stats = fstatSync(descriptor);
    checkStoreFile(path, stats);
    if (stats.size > BYTES_MAX) {
      throw badConfig(path, undefined, `has ${stats.size} bytes, expected at most ${BYTES_MAX}`);
    }
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

function mayNot(path: string): UserError {
  const message = `no permission to read ${path}; run as its owner or as root`;
  return new UserError(ExitCode.NO_PERMISSION, 'DEDUPFS_NO_PERMISSION', message);
}

/** Durable on return; whoever reads meanwhile sees the old text or the new. @throws Error  of the host */
export function writeConfig(storePath: string, text: string): void {
  const path = configPath(storePath);
  const draft = `${path}.new`;
  rmSync(draft, { force: true }); // of a process that was killed
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  const descriptor = openSync(draft, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
  renameSync(draft, path);
  syncFolder(storePath);
}
