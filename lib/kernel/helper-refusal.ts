// What fusermount3 means when it refuses, and what to do about it. Its texts are those of libfuse's
// util/fusermount.c, 3.14; what is not known is passed on as it is.

import { Errno } from '../errno.ts';
import { ExitCode, UserError, type ExitCodeNumber } from '../errors.ts';
import { deviceFault } from './device-fault.ts';

interface Refusal {
  readonly says: RegExp;
  readonly exitCode: ExitCodeNumber;
  readonly explain: (target: string, match: RegExpExecArray) => string;
}

const refusals: readonly Refusal[] = [
  {
    says: /option (allow_other|allow_root) only allowed/,
    exitCode: ExitCode.NO_PERMISSION,
    explain: (_, [, option]) =>
      `mount option ${option} needs the line 'user_allow_other' in /etc/fuse.conf; add it as root, or leave the option out`,
  },
  {
    says: /user has no write access to mountpoint/,
    exitCode: ExitCode.NO_PERMISSION,
    explain: (target) =>
      `you may not write mount point ${target}; use a directory of your own, or have root give it to you with chown`,
  },
  {
    says: /mountpoint .* not owned by user/,
    exitCode: ExitCode.NO_PERMISSION,
    explain: (target) =>
      `mount point ${target} has the sticky bit and another owner; use a directory of your own`,
  },
  {
    says: /too many FUSE filesystems mounted/,
    exitCode: ExitCode.MOUNT_FAILED,
    explain: () =>
      `too many FUSE mounts; unmount some, or raise mount_max in /etc/fuse.conf as root`,
  },
  {
    says: /mounting over filesystem type (\S+) is forbidden/,
    exitCode: ExitCode.NO_PERMISSION,
    explain: (target, [, type]) =>
      `users may not mount on ${target}, whose file system has type ${type}; use a directory on a local disk`,
  },
  {
    says: /mount failed: Operation not permitted/,
    exitCode: ExitCode.NO_PERMISSION,
    explain: (target) =>
      `fusermount3 may not mount on ${target}; it must be set-uid root ('apt-get install --reinstall fuse3'), and a container needs CAP_SYS_ADMIN`,
  },
];

/** @param said on standard error  @param errno why there is no descriptor, when it said nothing */
export function helperRefusal(target: string, said: string, why: string): UserError {
  if (/device not found|modprobe/i.test(said)) return deviceFault(Errno.ENOENT);
  if (/failed to open \S*fuse: Permission denied/.test(said)) return deviceFault(Errno.EACCES);
  for (const { says, exitCode, explain } of refusals) {
    const match = says.exec(said);
    if (match === null) continue;
    return refused(exitCode, explain(target, match));
  }
  const message = said === '' ? why : said;
  if (/permi|not allowed|not owned/i.test(message)) {
    return refused(ExitCode.NO_PERMISSION, `no permission to mount on ${target}: ${message}`);
  }
  return refused(ExitCode.MOUNT_FAILED, `cannot mount on ${target}: fusermount3 says: ${message}`);
}

function refused(exitCode: ExitCodeNumber, message: string): UserError {
  const isPermission = exitCode === ExitCode.NO_PERMISSION;
  return new UserError(
    exitCode,
    isPermission ? 'DEDUPFS_NO_PERMISSION' : 'DEDUPFS_MOUNT_FAILED',
    message,
  );
}
