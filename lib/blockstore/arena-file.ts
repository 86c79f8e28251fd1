// Looks at an arena's file before LMDB does: opening an absent file creates it, and a damaged or short
// one can end the process.

import { statSync } from 'node:fs';
import { CorruptionError, describeError } from '../errors.ts';
import { checkArenaSpine, checkArenaTree } from './arena-tree.ts';

/** LMDB's two meta pages: all that an arena holds until its creation is synced (arena.ts). */
const CREATED_BYTES_MAX = 8192;

/** Whether a crash has cut off the creation of the arena at `path`: it never held anything. */
export function isCreationCutOff(path: string): boolean {
  return statSync(path).size <= CREATED_BYTES_MAX && arenaFileDefect(path) !== undefined;
}

/** Why the arena at `path` is damaged; undefined when every page that LMDB follows is right. */
export function arenaFileDefect(path: string): string | undefined {
  return defectFoundBy(() => checkArenaTree(path));
}

/** Why nothing can be put behind the arena's last pack; much less is looked at. */
export function arenaSpineDefect(path: string): string | undefined {
  return defectFoundBy(() => checkArenaSpine(path));
}

function defectFoundBy(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof CorruptionError) return describeError(error);
    throw error;
  }
}
