// The kernel caps readahead of a FUSE mount at 128 KiB whatever INIT says; root may raise it through
// the mount's backing-device-info. Sequential READs then come as 1 MiB instead of 256 KiB.

import { readFileSync, writeFileSync } from 'node:fs';
import { describeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { dedupfsMounts } from './mountinfo.ts';

const READAHEAD_KIB = 4096;

/** Best effort: without it reads are slower, not wrong. Touches /proc and /sys only. */
export function raiseReadahead(mounted: { fd: number; target: string }, log: Logger): void {
  try {
    const connection = connectionNumber(mounted);
    writeFileSync(`/sys/class/bdi/0:${connection}/read_ahead_kb`, `${READAHEAD_KIB}`);
  } catch (error) {
    log.debug(`readahead stays at the kernel's default: ${describeError(error)}`);
  }
}

/** fdinfo has it since 6.18 or so; else it is the minor of the mount's device number. */
function connectionNumber({ fd, target }: { fd: number; target: string }): number {
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
  const stated = /^fuse_connection:\s*(\d+)/m.exec(info)?.[1];
  if (stated !== undefined) return Number(stated);
  const mount = dedupfsMounts({ mountpoint: target }).at(-1);
  if (mount === undefined) throw new Error(`${target} is not in /proc/self/mountinfo`);
  return mount.minor;
}
