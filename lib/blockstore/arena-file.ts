// Looks at an arena's file before LMDB does: opening an absent file creates it, and a damaged or short
// one can end the process.

import { CorruptionError, describeError } from '../errors.ts';
import { checkArenaTree } from './arena-tree.ts';

/** Why the arena at `path` is damaged; undefined when every page that LMDB follows is right. */
export function arenaFileDefect(path: string): string | undefined {
  try {
    checkArenaTree(path);
    return undefined;
  } catch (error) {
    if (error instanceof CorruptionError) return describeError(error);
    throw error;
  }
}
