// What to do about a /dev/fuse that cannot be opened.

import { Errno, errnoName } from '../errno.ts';
import { ExitCode, UserError } from '../errors.ts';

/** @param errno of open(2) */
export function deviceFault(errno: number): UserError {
  if (errno === Errno.EACCES || errno === Errno.EPERM) {
    const remedy = "mount as root, or let root open it to users with 'chmod 666 /dev/fuse'";
    const message = `/dev/fuse: permission denied; ${remedy}`;
    return new UserError(ExitCode.NO_PERMISSION, 'DEDUPFS_NO_PERMISSION', message);
  }
  const isMissing = errno === Errno.ENOENT || errno === Errno.ENODEV || errno === Errno.ENXIO;
  const problem = isMissing ? 'not found' : `cannot be opened (${errnoName(errno)})`;
  const message = `/dev/fuse ${problem}; load the module with 'modprobe fuse'`;
  return new UserError(ExitCode.NO_FUSE_DEVICE, 'DEDUPFS_NO_FUSE_DEVICE', message);
}
