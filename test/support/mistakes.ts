// What people do wrong at the command line, and what they are told.

import { ExitCode } from '../../lib/errors.ts';
import { CLI } from './commands-dedupfs.ts';

export interface Mistake {
  readonly title: string;
  readonly args: readonly string[];
  readonly code: number;
  /** All of what follows `dedupfs: `. */
  readonly says: RegExp;
  /** What is called: dedupfs, unless another user calls it. */
  readonly prefix?: readonly string[];
}

/** Calls dedupfs as a user without rights. */
const nobody = [
  'setpriv',
  '--reuid=65534',
  '--regid=65534',
  '--clear-groups',
  process.execPath,
  CLI,
];

/** Where they do it. */
export interface Scene {
  /** Mounted on `mountpoint` by process `daemonPid`. */
  readonly store: string;
  readonly mountpoint: string;
  readonly daemonPid: number;
  /** A store of 64 KiB chunks that is not mounted. */
  readonly idle: string;
  /** Paths beside the store: `absent`, `new` (neither is there), `empty`, `full`, `file`. */
  readonly at: (name: string) => string;
  /** Flags that keep logs in this place. */
  readonly log: readonly string[];
}

export function mistakesIn(scene: Scene): Mistake[] {
  return [
    ...withArguments(scene),
    ...withSettings(scene),
    ...withPlaces(scene),
    ...withStores(scene),
  ];
}

/** Arguments and options. */
function withArguments({ store, idle, at }: Scene): Mistake[] {
  return [
    {
      title: 'no command',
      args: [],
      code: ExitCode.USAGE,
      says: /no command given; see 'dedupfs --help'/,
    },
    {
      title: 'a command misspelt',
      args: ['mont', store, at('empty')],
      code: ExitCode.USAGE,
      says: /unknown command 'mont' \(Did you mean mount\?\); see 'dedupfs --help'/,
    },
    {
      title: 'an option misspelt',
      args: ['mount', '--compresion', 'lz4', store, at('empty')],
      code: ExitCode.USAGE,
      says: /unknown option '--compresion' \(Did you mean --compression\?\); see 'dedupfs mount --help'/,
    },
    {
      title: 'an argument forgotten',
      args: ['mount', at('new')],
      code: ExitCode.USAGE,
      says: /missing required argument 'dir'; see 'dedupfs mount --help'/,
    },
    {
      title: 'a codec that there is not',
      args: ['mount', '--compression', 'gzip', at('new'), at('empty')],
      code: ExitCode.USAGE,
      says: /.* argument 'gzip' is invalid; use lz4, zstd\[:1-19\], .*; see 'dedupfs mount --help'/,
    },
    {
      title: 'a level that the codec has not',
      args: ['mount', '--compression', 'zstd:99', at('new'), at('empty')],
      code: ExitCode.USAGE,
      says: /.* argument 'zstd:99' is invalid; use lz4, zstd\[:1-19\], .*/,
    },
    {
      title: 'a mount option misspelt',
      args: ['mount', '-o', 'noatme', at('new'), at('empty')],
      code: ExitCode.USAGE,
      says: /unknown mount option 'noatme'; .*'?noatime'?.*/,
    },
    {
      title: 'options that exclude one another',
      args: ['fsck', '--repair', '--rebuild', idle],
      code: ExitCode.USAGE,
      says: /--repair, --rebuild and --rebuild-index are done one at a time/,
    },
    {
      title: 'a threshold out of range',
      args: ['gc', '--threshold', '50', idle],
      code: ExitCode.USAGE,
      says: /.*'50' is invalid; use a number above 0 and at most 1, such as 0\.5; see 'dedupfs gc --help'/,
    },
  ];
}

/** Settings, whichever way. */
function withSettings({ mountpoint, idle, at, log }: Scene): Mistake[] {
  return [
    {
      title: 'a setting misspelt among the mount options',
      args: ['mount', '-o', 'ro,scrub_days=3', idle, at('empty'), ...log],
      code: ExitCode.USAGE,
      says: /unknown mount option 'scrub_days=3'; did you mean 'scrub-days'\?/,
    },
    {
      title: 'a setting misspelt',
      args: ['config', 'set', mountpoint, 'compresion', 'lz4'],
      code: ExitCode.USAGE,
      says: /unknown setting 'compresion'; did you mean 'compression'\?/,
    },
    {
      title: 'a value that a setting cannot have',
      args: ['config', 'set', mountpoint, 'metrics', '9580'],
      code: ExitCode.USAGE,
      says: /metrics '9580' is invalid; use HOST:PORT, such as '127\.0\.0\.1:9580', or 'off'/,
    },
  ];
}

/** Mount points. */
function withPlaces({ mountpoint, idle, at, log }: Scene): Mistake[] {
  return [
    {
      title: 'the mount point does not exist',
      args: ['mount', at('new'), at('absent'), ...log],
      code: ExitCode.NO_MOUNTPOINT,
      says: /mountpoint \S+\/absent does not exist; create it first/,
    },
    {
      title: 'the mount point is a file',
      args: ['mount', at('new'), at('file'), ...log],
      code: ExitCode.NO_MOUNTPOINT,
      says: /mountpoint \S+\/file is not a directory/,
    },
    {
      title: 'the mount point has contents',
      args: ['mount', at('new'), at('full'), ...log],
      code: ExitCode.MOUNTPOINT_NOT_EMPTY,
      says: /mountpoint \S+\/full is not empty; .*\(-o nonempty allows it\)/,
    },
    {
      title: 'something is mounted there already',
      args: ['mount', at('new'), mountpoint, ...log],
      code: ExitCode.BUSY,
      says: /\S+\/mnt already has \S+\/store mounted; unmount it with 'dedupfs umount \S+\/mnt'/,
    },
    {
      title: 'the store lies in its mount point',
      args: ['mount', at('empty/store'), at('empty'), ...log],
      code: ExitCode.STORE_INSIDE_MOUNT,
      says: /store \S+ lies inside mount point \S+; choose a mount point outside/,
    },
    {
      title: 'the mount point lies in the store',
      args: ['mount', idle, `${idle}/arenas`, ...log],
      code: ExitCode.STORE_INSIDE_MOUNT,
      says: /mount point \S+\/store\/arenas lies inside store \S+\/store; choose a mount point elsewhere/,
    },
    {
      title: 'umount of what is no mount',
      args: ['umount', at('empty')],
      code: ExitCode.NOT_MOUNTED,
      says: /\S+\/empty is not a dedupfs mount; name the directory it is mounted on/,
    },
  ];
}

/** Stores. */
function withStores({ store, mountpoint, daemonPid, idle, at, log }: Scene): Mistake[] {
  const remedy = `unmount it with 'dedupfs umount ${mountpoint}'`;
  const isMounted = new RegExp(
    `store ${store} is mounted at ${mountpoint} by process ${daemonPid}; ${remedy}`,
  );
  return [
    {
      title: 'the folder holds other things',
      args: ['mount', at('full'), at('empty'), ...log],
      code: ExitCode.NO_STORE,
      says: /\S+\/full is not a dedupfs store and not empty \(it has letter\); .*/,
    },
    {
      title: 'the store is mounted elsewhere',
      args: ['mount', store, at('empty'), ...log],
      code: ExitCode.LOCKED,
      says: isMounted,
    },
    {
      title: 'another chunk size than the store has',
      args: ['mount', '--chunk-size', '16K', idle, at('empty'), ...log],
      code: ExitCode.STORE_CONFLICT,
      says: /store \S+\/store was created with chunk size 64K, asked for 16K; leave --chunk-size out or create another store/,
    },
    {
      title: 'a log where nobody may write',
      args: ['mount', at('new'), at('empty'), '--log', at('file/log')],
      code: ExitCode.FAILED,
      says: /cannot write the log \S+\/file\/log \(.*\); choose another with --log/,
    },
    {
      title: "another user's store",
      args: ['stats', store],
      prefix: nobody,
      code: ExitCode.NO_PERMISSION,
      says: /no permission to read store \S+\/store; run as its owner or as root/,
    },
    {
      title: 'stats of what is no store',
      args: ['stats', at('absent')],
      code: ExitCode.NO_STORE,
      says: /\S+\/absent does not exist; name the directory of a store, or its mount point/,
    },
    {
      title: 'repair of a mounted store',
      args: ['fsck', '--repair', store],
      code: ExitCode.LOCKED,
      says: isMounted,
    },
    {
      title: 'heal from a tree that is not there',
      args: ['heal', mountpoint, at('absent')],
      code: ExitCode.USAGE,
      says: /cannot read \S+\/absent: .*/,
    },
  ];
}
