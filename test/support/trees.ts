// Compares trees independently of the programs that copied them: each is described entry by entry
// (in a child process, because one of them is on the mount), and the descriptions are compared.

import { supportScript } from './commands-dedupfs.ts';
import { mustRun, type RunOptions } from './commands.ts';

/** One name of a tree; everything a copy must preserve. Absent fields do not apply to the type. */
export interface TreeEntry {
  /** Path below the root, bytes as latin1. */
  readonly path: string;
  readonly type: string;
  /** Permission bits with set-uid, set-gid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: string;
  /** Values in hex, by name. */
  readonly xattrs: Readonly<Record<string, string>>;
  readonly bytes?: number;
  readonly sha256?: string;
  readonly device?: number;
  readonly target?: string;
  /** Names of the object; for a directory it is the filesystem's business. */
  readonly linkCount?: number;
  /** Smallest path of the same object: equal for exactly the names that are hard links. */
  readonly sameAs?: string;
}

export type Tree = ReadonlyMap<string, TreeEntry>;

export interface Comparison {
  /** Paths not compared, with all below them. */
  readonly without?: readonly string[];
  /** Fields not compared. */
  readonly ignoring?: readonly (keyof TreeEntry)[];
}

const DESCRIBE_TIMEOUT_MS = 600_000;
const DIFFERENCES_MAX = 20;

/** Reads a whole tree, contents included. */
export async function describeTree(root: string, options: RunOptions = {}): Promise<Tree> {
  const result = await mustRun(process.execPath, [supportScript('trees-describe'), root], {
    timeoutMs: DESCRIBE_TIMEOUT_MS,
    ...options,
  });
  // run() gives bytes as latin1; the child prints UTF-8.
  const entries = Buffer.from(result.stdout, 'latin1')
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TreeEntry);
  return new Map(entries.map((entry) => [entry.path, entry]));
}

/** What differs, one line each with both values; none when the trees are equal. */
export function differencesOf(want: Tree, got: Tree, comparison: Comparison = {}): string[] {
  const isCompared = (path: string): boolean =>
    !(comparison.without ?? []).some((left) => path === left || path.startsWith(`${left}/`));
  const paths = [...new Set([...want.keys(), ...got.keys()])].filter(isCompared).sort();
  const differences = paths.flatMap((path) =>
    differencesOfEntry(path, want.get(path), got.get(path), comparison.ignoring ?? []),
  );
  const excess = differences.length - DIFFERENCES_MAX;
  if (excess <= 0) return differences;
  return [...differences.slice(0, DIFFERENCES_MAX), `and ${excess} more`];
}

function differencesOfEntry(
  path: string,
  want: TreeEntry | undefined,
  got: TreeEntry | undefined,
  ignoring: readonly string[],
): string[] {
  const name = JSON.stringify(path);
  if (want === undefined) return [`${name} is there, but should not`];
  if (got === undefined) return [`${name} is missing`];
  const fields = [...new Set([...Object.keys(want), ...Object.keys(got)])] as (keyof TreeEntry)[];
  return fields
    .filter((field) => !ignoring.includes(field))
    .map((field) => ({ field, want: textOf(want[field]), got: textOf(got[field]) }))
    .filter((difference) => difference.want !== difference.got)
    .map((difference) => `${name} ${difference.field}: ${difference.got}, not ${difference.want}`);
}

function textOf(value: unknown): string {
  if (value === undefined) return 'absent';
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
