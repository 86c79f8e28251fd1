// The -o options of a mount: a table from names to what mount(2) or fusermount3 is told.

import { usageError } from '../errors.ts';
import type { Semantics } from '../filesystem/contract.ts';

/** include/uapi/linux/mount.h */
export const MountFlag = {
  RDONLY: 1 << 0,
  NOSUID: 1 << 1,
  NODEV: 1 << 2,
  NOEXEC: 1 << 3,
  SYNCHRONOUS: 1 << 4,
  NOATIME: 1 << 10,
  NODIRATIME: 1 << 11,
  RELATIME: 1 << 21,
  STRICTATIME: 1 << 24,
} as const;

/** include/linux/fs.h, for umount2(2) */
export const UnmountFlag = { FORCE: 1, DETACH: 2, NOFOLLOW: 8 } as const;

export interface MountOptions {
  /** MountFlag bits. */
  readonly flags: number;
  /** undefined: the default, which is yes for root and no for others. */
  readonly allowOther: boolean | undefined;
  /** Largest READ the kernel sends; undefined: its own limit. */
  readonly maxReadBytes: number | undefined;
  /** Shown as the source of the mount instead of the store's path. */
  readonly source: string | undefined;
  /** Whether the mountpoint may have contents, which the mount then hides. */
  readonly allowNonempty: boolean;
  readonly acls: boolean;
}

/** What the options mean to the filesystem behind the mount. */
export function semanticsOf({ flags, acls }: MountOptions): Semantics {
  const isSilent = (flags & (MountFlag.NOATIME | MountFlag.RDONLY)) !== 0;
  const isStrict = (flags & MountFlag.STRICTATIME) !== 0;
  return {
    acls,
    accessTimes: isSilent ? 'never' : isStrict ? 'always' : 'relative',
    directoryAccessTimes: (flags & MountFlag.NODIRATIME) === 0,
  };
}

type Mutable = { -readonly [K in keyof MountOptions]: MountOptions[K] };
type Effect = (options: Mutable, value: string) => void;

const set =
  (flag: number): Effect =>
  (options) => {
    options.flags |= flag;
  };
const clear =
  (flag: number): Effect =>
  (options) => {
    options.flags &= ~flag;
  };
/** Of flags that exclude one another the last one counts, as with mount(8). */
const only =
  (flag: number, group: number): Effect =>
  (options) => {
    options.flags = (options.flags & ~group) | flag;
  };
const ACCESS_TIMES = MountFlag.NOATIME | MountFlag.RELATIME | MountFlag.STRICTATIME;
const nothing: Effect = () => undefined;

const plain: Record<string, Effect> = {
  ro: set(MountFlag.RDONLY),
  rw: clear(MountFlag.RDONLY),
  nosuid: set(MountFlag.NOSUID),
  suid: clear(MountFlag.NOSUID),
  nodev: set(MountFlag.NODEV),
  dev: clear(MountFlag.NODEV),
  noexec: set(MountFlag.NOEXEC),
  exec: clear(MountFlag.NOEXEC),
  sync: set(MountFlag.SYNCHRONOUS),
  async: clear(MountFlag.SYNCHRONOUS),
  noatime: only(MountFlag.NOATIME, ACCESS_TIMES),
  atime: clear(MountFlag.NOATIME),
  nodiratime: set(MountFlag.NODIRATIME),
  diratime: clear(MountFlag.NODIRATIME),
  relatime: only(MountFlag.RELATIME, ACCESS_TIMES),
  norelatime: clear(MountFlag.RELATIME),
  strictatime: only(MountFlag.STRICTATIME, ACCESS_TIMES),
  allow_other: (options) => {
    options.allowOther = true;
  },
  nonempty: (options) => {
    options.allowNonempty = true;
  },
  acl: (options) => {
    options.acls = true;
  },
  noacl: (options) => {
    options.acls = false;
  },
  // Always on: nobody else checks permissions.
  default_permissions: nothing,
  // For mount(8) and fstab(5), which leave some of them in what they pass on.
  defaults: nothing,
  auto: nothing,
  noauto: nothing,
  user: nothing,
  nouser: nothing,
  users: nothing,
  nofail: nothing,
  _netdev: nothing,
};

const valued: Record<string, Effect> = {
  max_read: (options, value) => {
    options.maxReadBytes = parseMaxRead(value);
  },
  fsname: (options, value) => {
    options.source = value;
  },
};

/** Every option by name, whether it takes a value or not. */
export const mountOptionNames: readonly string[] = [...Object.keys(plain), ...Object.keys(valued)];

/** Data lines of mount(2) are cut at a page, and a smaller READ than a page makes no sense. */
const MAX_READ_BYTES_MIN = 4096;

/**
 * @param list each item one or more options separated by commas, as -o may be given repeatedly
 * @throws UserError (exit 2) naming an option that is unknown or has a bad value
 */
export function parseMountOptions(list: readonly string[]): MountOptions {
  const options: Mutable = {
    flags: MountFlag.NOSUID | MountFlag.NODEV,
    allowOther: undefined,
    maxReadBytes: undefined,
    source: undefined,
    allowNonempty: false,
    acls: true,
  };
  for (const option of list.flatMap((item) => item.split(','))) {
    if (option !== '') effectOf(option)(options, option.slice(option.indexOf('=') + 1));
  }
  return options;
}

function effectOf(option: string): Effect {
  const equals = option.indexOf('=');
  const name = equals === -1 ? option : option.slice(0, equals);
  // Comments for user-space tools, by mount(8).
  if (name.startsWith('x-')) return nothing;
  const effects = equals === -1 ? plain : valued;
  const effect = Object.hasOwn(effects, name) ? effects[name] : undefined;
  if (effect === undefined)
    throw usageError(`unknown mount option '${option}'; see dedupfs mount --help`);
  return effect;
}

function parseMaxRead(value: string): number {
  const bytes = Number(value);
  if (Number.isInteger(bytes) && bytes >= MAX_READ_BYTES_MIN) return bytes;
  throw usageError(
    `mount option max_read=${value} is not a number of at least ${MAX_READ_BYTES_MIN}`,
  );
}

/** The data argument of mount(2); the first four are mandatory (fs/fuse/inode.c). */
export function kernelMountData(
  options: MountOptions,
  device: { readonly fd: number; readonly uid: number; readonly gid: number },
): string {
  const rootMode = '40000';
  const data = [
    `fd=${device.fd}`,
    `rootmode=${rootMode}`,
    `user_id=${device.uid}`,
    `group_id=${device.gid}`,
    'default_permissions',
  ];
  if (options.allowOther ?? true) data.push('allow_other');
  if (options.maxReadBytes !== undefined) data.push(`max_read=${options.maxReadBytes}`);
  return data.join(',');
}

const helperFlags: readonly [flag: number, name: string][] = [
  [MountFlag.RDONLY, 'ro'],
  [MountFlag.NOSUID, 'nosuid'],
  [MountFlag.NODEV, 'nodev'],
  [MountFlag.NOEXEC, 'noexec'],
  [MountFlag.SYNCHRONOUS, 'sync'],
  [MountFlag.NOATIME, 'noatime'],
];

/** The -o argument of fusermount3. It knows fewer options and unescapes only fsname and subtype. */
export function helperMountOptions(
  options: MountOptions,
  names: { readonly source: string; readonly subtype: string },
): string {
  const list = [`fsname=${escapeComma(names.source)}`, `subtype=${names.subtype}`];
  list.push('default_permissions');
  for (const [flag, name] of helperFlags) if (options.flags & flag) list.push(name);
  if (options.allowOther === true) list.push('allow_other');
  if (options.maxReadBytes !== undefined) list.push(`max_read=${options.maxReadBytes}`);
  return list.join(',');
}

function escapeComma(text: string): string {
  return text.replace(/[\\,]/g, '\\$&');
}
