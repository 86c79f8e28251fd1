// What each exit code means, in one place: every command's --help prints the ones it can end with.

import { ExitCode, type ExitCodeNumber } from '../errors.ts';

const meanings: Record<keyof typeof ExitCode, string> = {
  OK: 'done',
  FAILED: 'failed; the message says why',
  USAGE: 'wrong arguments or options',
  DAMAGED: 'damage found',
  REPAIRED: 'damage found and repaired',
  NO_STORE: 'not a store',
  LOCKED: 'the store is in use by another process',
  WRONG_FORMAT: 'the store has a format this version cannot read',
  STORE_CONFLICT: 'an option contradicts what was fixed when the store was created',
  STORE_INCONSISTENT: 'the parts of the store do not belong together',
  BAD_CONFIG: "the store's config.toml has a mistake",
  NO_FUSE_DEVICE: '/dev/fuse or fusermount3 is missing',
  NO_PERMISSION: 'no permission',
  STORE_INSIDE_MOUNT: 'the store and the mount point contain one another',
  NO_MOUNTPOINT: 'the mount point is missing or not a directory',
  MOUNTPOINT_NOT_EMPTY: 'the mount point is not empty',
  DISK_FULL: "the host's file system is full",
  BUSY: 'in use: open files in the mount, or the same work already under way',
  NOT_MOUNTED: 'not a dedupfs mount',
  MOUNT_FAILED: 'the kernel refused the mount, or the daemon died before it answered',
  INTERRUPTED: 'interrupted (Ctrl-C)',
};

export type ExitCodeName = keyof typeof ExitCode;

/** Of commands that read or write the data of a store for long. */
export const dataWorkCodes = [
  ...(['OK', 'FAILED', 'USAGE', 'DAMAGED', 'NO_STORE', 'LOCKED', 'WRONG_FORMAT'] as const),
  ...(['STORE_INCONSISTENT', 'BAD_CONFIG', 'NO_PERMISSION', 'DISK_FULL', 'BUSY'] as const),
  'INTERRUPTED',
] as const satisfies readonly ExitCodeName[];

/** The end of a help text: an example and the exit codes of the command. */
export function helpEnd(examples: readonly string[], names: readonly ExitCodeName[]): string {
  const exampleLines = examples.map((example) => `  ${example}`);
  const exitLines = names.map((name) => `  ${exitNumber(name)}  ${meanings[name]}`);
  const title = examples.length === 1 ? 'Example:' : 'Examples:';
  return ['', title, ...exampleLines, '', 'Exit codes:', ...exitLines].join('\n');
}

/** [code, meaning] of all, for the manual. */
export function exitMeanings(): [code: number, meaning: string][] {
  return Object.entries(ExitCode).map(([name, code]) => [code, meanings[name as ExitCodeName]]);
}

function exitNumber(name: ExitCodeName): string {
  const code: ExitCodeNumber = ExitCode[name];
  return String(code).padStart(3);
}
