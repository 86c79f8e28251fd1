// What can be profiled. In the scripts $T is the mount, $S the folder of the sources and "$@" the
// packages of the source tree, with their folder as the working directory.

import type { SourceName } from '../sources.ts';

export interface ProfiledWorkload {
  readonly name: string;
  readonly title: string;
  readonly sources: readonly SourceName[];
  /** Under a daemon that is not profiled. */
  readonly prepare: string;
  readonly script: string;
}

const durable = 'sync -f "$T"; sync "$T"';
const writeHalf = 'dd if="$S/half" of="$T/file" bs=1M conv=fsync status=none';
const copyTree = `mkdir "$T/tree"; cp -a -- "$@" "$T/tree/"; ${durable}`;

export const profiledWorkloads: readonly ProfiledWorkload[] = [
  {
    name: 'write-new',
    title: 'write new data, half of it text-like; fsync',
    sources: ['half'],
    prepare: 'true',
    script: writeHalf,
  },
  {
    name: 'write-known',
    title: 'write data that is stored already; fsync',
    sources: ['half'],
    prepare: writeHalf,
    script: 'dd if="$S/half" of="$T/again" bs=1M conv=fsync status=none',
  },
  {
    name: 'read',
    title: 'read a file after a remount',
    sources: ['half'],
    prepare: writeHalf,
    script: 'dd if="$T/file" of=/dev/null bs=1M status=none',
  },
  {
    name: 'copy-tree',
    title: 'cp -a of the source tree, made durable',
    sources: [],
    prepare: 'true',
    script: copyTree,
  },
  {
    name: 'list-tree',
    title: 'find -ls of the source tree after a remount',
    sources: [],
    prepare: copyTree,
    script: 'find "$T/tree" -ls >/dev/null',
  },
  {
    name: 'remove-tree',
    title: 'rm -r of the source tree, made durable',
    sources: [],
    prepare: copyTree,
    script: `rm -r "$T/tree"; ${durable}`,
  },
];
