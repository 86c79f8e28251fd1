// Where a measurement was made.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

import { readVersion } from '../lib/cli/version.ts';
import { readMounts } from '../lib/kernel/mountinfo.ts';
import { isWithin } from '../lib/cli/place.ts';
import { coldMethod } from './page-cache.ts';

export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly dedupfs: string;
  readonly hostFileSystem: string;
  readonly coldMethod: string;
  /** Of one, five and fifteen minutes, before the first round: a busy machine measures itself. */
  readonly loadAverage: string;
}

/** @param folder where the host's directory and the store lie */
export function describeMachine(folder: string): Machine {
  const processors = cpus();
  return {
    cores: processors.length,
    processor: processors[0]?.model.trim() ?? 'unknown',
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    dedupfs: [readVersion(), commit()].filter((part) => part !== '').join(' '),
    hostFileSystem: fileSystemOf(folder),
    coldMethod,
    loadAverage: readFileSync('/proc/loadavg', 'utf8').split(' ').slice(0, 3).join(' '),
  };
}

/** `ext4 on /dev/vda` */
function fileSystemOf(folder: string): string {
  const mount = readMounts()
    .filter(({ mountpoint }) => isWithin(folder, mountpoint))
    .toSorted((a, b) => a.mountpoint.length - b.mountpoint.length)
    .at(-1);
  return mount === undefined ? 'unknown' : `${mount.type} on ${mount.source}`;
}

/** Empty outside a repository; `+` when its tree has changed since. */
function commit(): string {
  const args = ['describe', '--always', '--dirty=+', '--exclude=*'];
  const { status, stdout } = spawnSync('git', args, {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim() : '';
}
