// STORE/config.toml on the host: read as it is, replaced as a whole. Written by whoever holds the lock of the
// store, so that no two changes and no mount overtake one another. Writing waits for the disk, so a daemon must
// not do it on its one thread.

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { ExitCode, NoSpaceError, UserError } from '../../errors.ts';
import { isFullError } from '../../host-room.ts';
import { checkStoreFile } from '../../store/safe-entries.ts';
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

/**
 * Durable when it resolves; whoever reads meanwhile sees the old text or the new.
 * @throws NoSpaceError  @throws Error  of the host; then the old text stays
 */
export async function writeConfig(storePath: string, text: string): Promise<void> {
  const path = configPath(storePath);
  const draft = `${path}.new`;
  await rm(draft, { force: true }); // of a process that was killed
  try {
    const { O_WRONLY, O_CREAT, O_EXCL } = constants;
    const file = await open(draft, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
    await syncFolder(storePath);
  } catch (error) {
    await rm(draft, { force: true });
    if (!isFullError(error)) throw error;
    const message = `no room to write ${path}; free some space on its file system`;
    throw new NoSpaceError(message, { cause: error });
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
