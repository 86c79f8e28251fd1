// Makes the targets by their names.

import { join } from 'node:path';

import type { Target, TargetName } from './target.ts';
import { ArchiveTarget, borg, bup, restic } from './targets/archive.ts';
import { BindfsTarget } from './targets/bindfs.ts';
import { BtrfsTarget } from './targets/btrfs.ts';
import { DedupfsTarget } from './targets/dedupfs.ts';
import { FuseNativeTarget } from './targets/fuse-native.ts';
import { HostTarget } from './targets/host.ts';
import { NullTarget } from './targets/null.ts';
import { ZfsFuseTarget } from './targets/zfs-fuse.ts';

export interface TargetOptions {
  /** On the host's file system; without symbolic links, as mountinfo shows it. */
  readonly folder: string;
  /** What a target that is a file system of its own gets; more than all that one suite writes. */
  readonly capacityBytes: number;
}

export function makeTarget(name: TargetName, { folder, capacityBytes }: TargetOptions): Target {
  const directory = join(folder, name);
  switch (name) {
    case 'host':
      return new HostTarget(directory);
    case 'null':
      return new NullTarget(directory);
    case 'dedupfs':
      return new DedupfsTarget(directory);
    case 'fuse-native':
      return new FuseNativeTarget(directory);
    case 'bindfs':
      return new BindfsTarget(directory);
    case 'zfs-fuse':
      return new ZfsFuseTarget(directory, capacityBytes);
    case 'btrfs':
      return new BtrfsTarget(directory, capacityBytes);
    case 'borg':
      return new ArchiveTarget(borg, directory);
    case 'restic':
      return new ArchiveTarget(restic, directory);
    case 'bup':
      return new ArchiveTarget(bup, directory);
  }
}
