// Larger trees for the tests that measure: real source trees, and sets of random files with hashes.

import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from './commands-dedupfs.ts';
import { mustRun } from './commands.ts';
import { Random, writeRandomFile } from './random.ts';
import { isFullRun } from './sizes.ts';

/** A file with incompressible contents. */
export interface RandomFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Copies real packages of the project's node_modules until there are enough files; all of them in
 * a full run. DEDUPFS_TEST_TREE names another directory whose children are taken instead.
 * @returns the number of regular files.
 */
export async function copySourceTree(
  target: string,
  options: { readonly filesMin: number },
): Promise<number> {
  const source = process.env['DEDUPFS_TEST_TREE'] ?? join(PROJECT, 'node_modules');
  mkdirSync(target, { recursive: true });
  let files = 0;
  for (const name of readdirSync(source).sort()) {
    if (files >= options.filesMin && !isFullRun) break;
    await mustRun('cp', ['-a', '--', join(source, name), target]);
    files += countFiles(join(source, name));
  }
  if (files >= options.filesMin) return files;
  throw new Error(`${source} has ${files} files, the test needs ${options.filesMin}`);
}

/** Writes files of sizes from a few KB to a few MB whose bytes add up to a total. */
export function writeRandomFiles(
  directory: string,
  options: { readonly seed: number; readonly bytesTotal: number },
): RandomFile[] {
  const random = new Random(options.seed);
  const files: RandomFile[] = [];
  mkdirSync(directory, { recursive: true });
  for (let total = 0; total < options.bytesTotal;) {
    const bytes = 4000 + random.size(4_000_000);
    const name = `file-${String(files.length).padStart(6, '0')}`;
    const sha256 = writeRandomFile(join(directory, name), `${options.seed}/${name}`, bytes);
    files.push({ name, bytes, sha256 });
    total += bytes;
  }
  return files;
}

/** The input of `sha256sum --check` for files. */
export function checksumList(files: readonly RandomFile[]): string {
  return files.map((file) => `${file.sha256}  ${file.name}\n`).join('');
}

/** Sum of the sizes of files. */
export function totalBytesOf(files: readonly RandomFile[]): number {
  return files.reduce((total, file) => total + file.bytes, 0);
}

function countFiles(path: string): number {
  try {
    return readdirSync(path, { recursive: true, withFileTypes: true }).filter((e) => e.isFile())
      .length;
  } catch {
    return 1;
  }
}
