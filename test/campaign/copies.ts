// Copies of a tree made by rsync inside a mount, with the moment of each file, and what a mount that
// ended meanwhile may show of them.

import { basename } from 'node:path';
import type { MountedStore } from '../support/mounted-store.ts';
import type { ChangingTree, Manifest } from './changing-tree.ts';

/** One run of rsync. */
export interface Copy {
  readonly name: string;
  readonly manifest: Manifest;
  /** What the directory showed before; empty for a new one. */
  readonly before: Manifest;
  /** Files in the order in which rsync finished them, with the time. */
  readonly noted: { readonly path: string; readonly atMs: number }[];
  /** When rsync had succeeded. */
  finishedMs: number | undefined;
  /** An fsync that began after that has returned. */
  isDurable: boolean;
}

/** A copy that was not begun. */
export function planCopy(name: string, source: ChangingTree, before: Manifest = new Map()): Copy {
  const manifest = source.manifest();
  return { name, manifest, before, noted: [], finishedMs: undefined, isDurable: false };
}

/** Runs rsync; notes files while it does. Changes that it missed are found by the caller. */
export async function makeCopy(
  store: MountedStore,
  source: ChangingTree,
  copy: Copy,
  options: readonly string[],
): Promise<void> {
  // Printed when a file is done, because the bytes that were sent are not known before.
  const format = ['--outbuf=L', '--out-format=%b %n'];
  // Sizes and whole seconds do not tell all changes between our rounds.
  const always = ['-a', '--modify-window=-1', '--delete', ...format];
  let rest = '';
  const { code } = await store.run('rsync', [...always, ...options, `${source.root}/`, copy.name], {
    // The mount itself, also when it was detached meanwhile and another directory has its path.
    cwd: store.mountpoint,
    onOutput: (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const path = line.replace(/^\d+ /, '');
        if (copy.manifest.has(path)) copy.noted.push({ path, atMs: Date.now() });
      }
    },
  });
  if (code === 0) copy.finishedMs = Date.now();
}

/** sha256 of every file below a directory of the mount; none when it does not exist. */
export async function manifestOf(store: MountedStore, name: string): Promise<Manifest> {
  const script = 'test -d "$1" || exit 0; cd "$1"; find . -type f -print0 | xargs -0 -r sha256sum';
  const path = store.path(name);
  const { stdout } = await store.mustRun('bash', ['-euo', 'pipefail', '-c', script, 'bash', path]);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return new Map(lines.map((line) => [line.slice(68), line.slice(0, 64)]));
}

/** How two manifests differ, a few lines. */
export function manifestDifferences(want: Manifest, found: Manifest): string[] {
  return [...new Set([...want.keys(), ...found.keys()])]
    .filter((path) => want.get(path) !== found.get(path))
    .slice(0, 5)
    .map((path) => `${path} is ${found.get(path) ?? 'absent'}, not ${want.get(path) ?? 'absent'}`);
}

/**
 * What is wrong with what was found of a copy after the mount had ended.
 * @param promisedMs what was finished by then must be there
 * @param isFollowed something that began after the copy had finished is there
 */
export function problemsOfCopy(
  copy: Copy,
  found: Manifest,
  { promisedMs, isFollowed }: { readonly promisedMs: number; readonly isFollowed: boolean },
): string[] {
  const { name, manifest, before, noted, finishedMs = Infinity, isDurable } = copy;
  const isWhole = isDurable || finishedMs <= promisedMs || (isFollowed && finishedMs !== Infinity);
  if (isWhole) {
    return manifestDifferences(manifest, found).map((line) => `whole ${name}: ${line}`);
  }
  const problems: string[] = [];
  for (const [path, hash] of found) {
    if (isTemporary(path) || hash === manifest.get(path) || hash === before.get(path)) continue;
    problems.push(`${name}/${path} is ${hash}, which it never was`);
  }
  for (const path of before.keys()) {
    if (!found.has(path) && manifest.has(path)) problems.push(`${name}/${path} is gone`);
  }
  const isThere = ({ path }: { path: string }): boolean => found.get(path) === manifest.get(path);
  const last = noted.findLastIndex(
    (note) => isThere(note) && manifest.get(note.path) !== before.get(note.path),
  );
  for (const [index, note] of noted.entries()) {
    if (isThere(note)) continue;
    if (index < last) problems.push(`${name}/${note.path} is older than what came before it`);
    else if (note.atMs <= promisedMs) {
      problems.push(
        `${name}/${note.path}, finished ${promisedMs - note.atMs} ms early, is not there`,
      );
    }
  }
  return problems.slice(0, 5);
}

/** Whether anything of a copy is there that was not before. */
export function hasBegun(copy: Copy, found: Manifest): boolean {
  return [...found].some(([path, hash]) => copy.before.get(path) !== hash);
}

/** rsync's name for a file that it has not finished: `.name.` and six characters. */
function isTemporary(path: string): boolean {
  return /^\..+\.\w{6}$/.test(basename(path));
}
