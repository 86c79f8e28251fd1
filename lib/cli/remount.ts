// mount -o remount: of a mount of ours the kernel can change what it looks after itself, such as `ro`.
// mount(8) hands that to the helper of the type; without one (-i) it does it.

import { execFile } from 'node:child_process';

import { ExitCode, UserError } from '../errors.ts';
import type { HelperCall } from './mount-helper.ts';

/** What mount(2) changes with MS_REMOUNT, whatever the file system. */
const CHANGEABLE = /^(ro|rw|(no)?(suid|dev|exec|atime|diratime|relatime|strictatime)|sync|async)$/;
/** The kernel's own account of a mount; mount(8) repeats what is in mountinfo. */
const SHOWN = /^(user_id|group_id|max_read|default_permissions$|allow_other$)/;

/**
 * @returns the options that wait for the next mount
 * @throws UserError FAILED, with what mount(8) says
 */
export async function remount({ dir, options }: HelperCall): Promise<string[]> {
  const list = ['remount', ...options.filter((option) => CHANGEABLE.test(option))].join(',');
  await new Promise<void>((resolve, reject) => {
    execFile('mount', ['-i', '-o', list, '--', dir], { cwd: '/' }, (error, _stdout, stderr) => {
      if (error === null) {
        resolve();
        return;
      }
      const why = stderr.trim() === '' ? error.message : stderr.trim();
      reject(new UserError(ExitCode.FAILED, 'DEDUPFS_REMOUNT_FAILED', why));
    });
  });
  return options.filter((option) => !CHANGEABLE.test(option) && !SHOWN.test(option));
}
