// The tree that the tree workloads copy: packages of the installed node_modules, always the same.

import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Many small sources, types and maps; some large sources; a compiled addon. */
export const packageNames = [
  '@tapjs',
  'better-sqlite3',
  'es-toolkit',
  'prismjs',
  'typescript',
] as const;

const ENTRIES_MIN = 5000;

export interface SourceTree {
  /** The folder that holds the packages. */
  readonly folder: string;
  readonly entries: number;
  readonly files: number;
  /** Sum of the sizes of its regular files. */
  readonly bytes: number;
}

/** @throws Error when it is not installed, or too small to tell anything */
export function findSourceTree(): SourceTree {
  // dist/bench lies two folders below the project.
  const folder = fileURLToPath(new URL('../../node_modules', import.meta.url));
  let entries = 0;
  let files = 0;
  let bytes = 0;
  for (const packageName of packageNames) {
    const root = join(folder, packageName);
    entries += 1;
    for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      const found = lstatSync(join(root, name));
      entries += 1;
      if (!found.isFile()) continue;
      files += 1;
      bytes += found.size;
    }
  }
  if (entries >= ENTRIES_MIN) return { folder, entries, files, bytes };
  throw new Error(`${folder} has ${entries} entries to copy, expected ${ENTRIES_MIN}; run npm ci`);
}
