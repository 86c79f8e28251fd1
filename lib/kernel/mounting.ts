// Mounting and unmounting: by mount(2) as root, else through the setuid helper fusermount3.

import { execFile } from 'node:child_process';
import { Errno, errnoName } from '../errno.ts';
import { ExitCode, UserError } from '../errors.ts';
import type { Native } from '../native.ts';
import { deviceFault } from './device-fault.ts';
import { helperRefusal } from './helper-refusal.ts';
import { FILE_SYSTEM_TYPE } from './mountinfo.ts';
import {
  helperMountOptions,
  kernelMountData,
  UnmountFlag,
  type MountOptions,
} from './mount-options.ts';
import { checkMountpoint, resolveMountpoint } from './mountpoint.ts';

/** The part of the addon that mounts; tests bring their own. */
export type Mounter = Pick<
  Native,
  'openFuseDevice' | 'mount' | 'unmount' | 'mountByHelper' | 'close'
>;

export interface MountRequest {
  /** Directory to mount on. */
  readonly target: string;
  /** What mountinfo shows as the source: the store's path. */
  readonly source: string;
  readonly options: MountOptions;
}

export interface Mounted {
  /** The device, non-blocking and close-on-exec; to be served at once. */
  readonly fd: number;
  /** Absolute, without symbolic links. */
  readonly target: string;
}

/** mount(2) copies one page of data and cuts what is longer. */
const MOUNT_DATA_BYTES_MAX = 4095;

/**
 * Mounts; from here on the directory hangs until the descriptor is served.
 * @throws UserError NO_FUSE_DEVICE, NO_PERMISSION, NO_MOUNTPOINT, MOUNTPOINT_NOT_EMPTY, BUSY,
 *   MOUNT_FAILED
 */
export function mountFilesystem(mounter: Mounter, request: MountRequest): Mounted {
  const target = resolveMountpoint(request.target);
  checkMountpoint(target, request.options.allowNonempty);
  const source = request.options.source ?? request.source;
  const resolved = { ...request, target, source };
  const fd = process.geteuid?.() === 0 ? mountDirectly(mounter, resolved) : undefined;
  return { fd: fd ?? mountByHelper(mounter, resolved), target };
}

/** undefined: this root may not mount (a container without CAP_SYS_ADMIN); the helper may. */
function mountDirectly(mounter: Mounter, request: MountRequest): number | undefined {
  const { target, source, options } = request;
  const fd = mounter.openFuseDevice();
  if (fd < 0) throw deviceFault(-fd);
  const data = kernelMountData(options, {
    fd,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
  });
  if (data.length > MOUNT_DATA_BYTES_MAX) throw failed(target, 'the options are too long');
  const result = mounter.mount(source, target, FILE_SYSTEM_TYPE, options.flags, data);
  if (result === 0) return fd;
  mounter.close(fd);
  if (result === -Errno.EPERM) return undefined;
  throw failed(target, `mount(2) says ${errnoName(-result)}`);
}

function mountByHelper(mounter: Mounter, request: MountRequest): number {
  const { target, source, options } = request;
  const subtype = FILE_SYSTEM_TYPE.slice('fuse.'.length);
  const { fd, stderr } = mounter.mountByHelper(
    target,
    helperMountOptions(options, { source, subtype }),
  );
  if (fd >= 0) return fd;
  if (fd === -Errno.ENOENT) {
    throw new UserError(
      ExitCode.NO_PERMISSION,
      'DEDUPFS_NO_PERMISSION',
      `mounting on ${target} needs root or fusermount3, which is not there; install fuse3`,
    );
  }
  throw helperRefusal(target, stderr.trim(), errnoName(-fd));
}

function failed(target: string, why: string): UserError {
  const message = `cannot mount on ${target}: ${why}`;
  return new UserError(ExitCode.MOUNT_FAILED, 'DEDUPFS_MOUNT_FAILED', message);
}

/**
 * umount2(2) off the event loop, which may have to answer requests meanwhile; fusermount3 for those
 * who may not.
 * @param target from resolveMountpoint or mountinfo
 * @returns 0 or negative errno
 */
export async function unmount(
  mounter: Pick<Mounter, 'unmount'>,
  target: string,
  flags: number,
): Promise<number> {
  const result = await mounter.unmount(target, flags | UnmountFlag.NOFOLLOW);
  if (result !== -Errno.EPERM) return result;
  return unmountByHelper(target, (flags & UnmountFlag.DETACH) !== 0);
}

function unmountByHelper(target: string, isLazy: boolean): Promise<number> {
  const args = ['-u', ...(isLazy ? ['-z'] : []), '--', target];
  return new Promise((resolve) => {
    // cwd: a child that starts below the mount would wait for us, and we for its start.
    execFile('fusermount3', args, { cwd: '/' }, (error, _stdout, stderr) => {
      if (error === null) resolve(0);
      else resolve(/busy/i.test(stderr) ? -Errno.EBUSY : -Errno.EPERM);
    });
  });
}

/**
 * Detaches a mount whose daemon is known to be gone, and which must be the topmost at its place. The
 * caller decides that by the store's lock, because asking the mount itself could hang.
 * @throws UserError NO_PERMISSION, MOUNT_FAILED when it cannot be
 */
export async function detachStale(
  mounter: Pick<Mounter, 'unmount'>,
  mountpoint: string,
): Promise<void> {
  const result = await unmount(mounter, mountpoint, UnmountFlag.DETACH);
  if (result >= 0) return;
  if (result !== -Errno.EPERM) {
    throw failed(mountpoint, `a dead mount stays there (${errnoName(-result)})`);
  }
  const message = `${mountpoint} has a dead mount of another user; run 'dedupfs umount ${mountpoint}' as root or as that user`;
  throw new UserError(ExitCode.NO_PERMISSION, 'DEDUPFS_NO_PERMISSION', message);
}
