// What mount(8) wants when it calls /sbin/mount.fuse.dedupfs for a line of fstab(5) or `mount -t
// fuse.dedupfs`: STORE DIR [-sfnv] [-N namespace] [-o options] [-t type], in any order. It becomes the
// arguments of `dedupfs mount`, and the exit codes become those of mount(8).
//
// Unlike `dedupfs mount` it creates no store unless `-o create` says so: at boot the disk of the store
// may be missing. For root it mounts with suid and dev unless told otherwise, as mount(8) does for
// every file system.

import { ExitCode, usageError, type ExitCodeNumber, type UserError } from '../errors.ts';
import { isMountOption } from './settings/given.ts';

/** Name under which mount(8) looks for it, in /sbin. */
export const HELPER_NAME = 'mount.fuse.dedupfs';

export interface HelperCall {
  readonly store: string;
  readonly dir: string;
  /** For `dedupfs mount -o`. */
  readonly options: readonly string[];
  /** -s and not ours. */
  readonly dropped: readonly string[];
  readonly create: boolean;
  /** -f: do everything but mount. */
  readonly isFake: boolean;
  readonly isVerbose: boolean;
  readonly isRemount: boolean;
}

/** Exit codes of mount(8). */
const MountExit = { OK: 0, USAGE: 1, SYSTEM: 2, INTERRUPTED: 8, FAILED: 32 } as const;

const mountExits = new Map<ExitCodeNumber, number>([
  [ExitCode.OK, MountExit.OK],
  [ExitCode.USAGE, MountExit.USAGE],
  [ExitCode.NO_PERMISSION, MountExit.USAGE],
  [ExitCode.NO_FUSE_DEVICE, MountExit.SYSTEM],
  [ExitCode.INTERRUPTED, MountExit.INTERRUPTED],
]);

/** Meant for mount(8) and systemd alone; some are left in what a helper gets. */
const forMountItself = new Set(
  ['defaults', 'auto', 'noauto', 'user', 'nouser', 'users', 'owner', 'group', 'nofail'].concat([
    '_netdev',
    '_rnetdev',
    'silent',
    'loud',
  ]),
);
const forMountItselfValued = /^(x-[^=]*|X-[^=]*|comment|user|uhelper|helper)(=|$)/;

/**
 * What mount(8) asks for, if `args` are a call of it: the hidden command `mount-helper`, or, as the
 * mount.fuse of libfuse calls the program of type `fuse.dedupfs` or source `dedupfs#STORE`, two paths.
 */
export function helperArguments(args: readonly string[]): readonly string[] | undefined {
  if (args[0] === 'mount-helper') return args.slice(1);
  const [source, target] = args;
  const arePaths = source?.startsWith('/') === true && target?.startsWith('-') === false;
  return arePaths ? args : undefined;
}

/** @throws UserError USAGE */
export function parseHelperCall(args: readonly string[], isRoot: boolean): HelperCall {
  const { places, flags, lists } = sortWords(args);
  const [store, dir] = places;
  if (store === undefined || dir === undefined || places.length > 2) {
    throw usage(`expected STORE and DIR, found ${places.length} arguments`);
  }
  return { store: store.replace(/^dedupfs#/, ''), dir, ...readOptions(flags, lists, isRoot) };
}

function sortWords(args: readonly string[]): {
  places: string[];
  flags: Set<string>;
  lists: string[];
} {
  const flags = new Set<string>();
  const places: string[] = [];
  const lists: string[] = [];
  const words = args.values();
  for (const word of words) {
    if (!/^-./.test(word)) {
      places.push(word);
      continue;
    }
    const { switches, valued } = splitSwitches(word);
    for (const name of switches) flags.add(name);
    if (valued === undefined) continue;
    const value = valued.value ?? words.next().value;
    if (value === undefined) throw usage(`option -${valued.name} needs a value`);
    if (valued.name === 'N') throw usage('option -N is not supported; use nsenter(1)');
    if (valued.name === 'o') lists.push(value);
  }
  return { places, flags, lists };
}

/** -fv, -o LIST, -oLIST; of a word the first letter that takes a value ends the switches. */
function splitSwitches(word: string): {
  switches: string[];
  valued: { name: string; value: string | undefined } | undefined;
} {
  const [, switches = '', name, value = ''] = /^-([fnrsvw]*)(?:([oNt])(.*))?$/s.exec(word) ?? [];
  if (switches === '' && name === undefined) throw usage(`unknown option ${word}`);
  return {
    switches: switches.split(''),
    valued: name === undefined ? undefined : { name, value: value === '' ? undefined : value },
  };
}

function readOptions(
  flags: ReadonlySet<string>,
  lists: readonly string[],
  isRoot: boolean,
): Omit<HelperCall, 'store' | 'dir'> {
  const given = lists.flatMap((list) => list.split(',')).filter((option) => option !== '');
  if (flags.has('r')) given.push('ro');
  const wanted = given.filter(
    (option) => !forMountItself.has(option) && !forMountItselfValued.test(option),
  );
  const ours = wanted.filter((option) => option !== 'create' && option !== 'remount');
  const isKept = (option: string): boolean => !flags.has('s') || isMountOption(option);
  return {
    options: [...(isRoot ? ['suid', 'dev'] : []), ...ours.filter(isKept)],
    dropped: ours.filter((option) => !isKept(option)),
    create: wanted.includes('create'),
    isFake: flags.has('f'),
    isVerbose: flags.has('v'),
    isRemount: wanted.includes('remount'),
  };
}

/** The same as a command line of ours. */
export function mountWords(call: HelperCall): string[] {
  const list = call.options.length === 0 ? [] : ['-o', call.options.join(',')];
  const switches = [
    ...(call.create ? [] : ['--no-create']),
    ...(call.isVerbose ? [] : ['--quiet']),
  ];
  return ['mount', ...list, ...switches, '--', call.store, call.dir];
}

/** What mount(8) calls that. */
export function mountExitCode(exitCode: number): number {
  return mountExits.get(exitCode as ExitCodeNumber) ?? MountExit.FAILED;
}

function usage(problem: string): UserError {
  const message = `${HELPER_NAME}: ${problem}; it is called by mount(8), see 'dedupfs install-helper --help'`;
  return usageError(message);
}
