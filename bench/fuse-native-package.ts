// Where bench/setup puts the npm package fuse-native: it is no dependency of this project, and would
// bring a libfuse of its own.

import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** As in bench/setup. */
const cacheFolder = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');

/** @returns the path to load it from; undefined: bench/setup did not run here */
export function findFuseNative(): string | undefined {
  const path = join(cacheFolder, 'dedupfs-bench', 'node_modules', 'fuse-native');
  return existsSync(path) ? path : undefined;
}
