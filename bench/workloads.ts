// What is measured. A workload is a line of bash; making its result durable is part of it.
//
// In the scripts $T is the target's directory, $S the folder of the sources and "$@" the packages of
// the source tree, with their folder as the working directory.

import type { SourceName } from './sources.ts';
import type { TargetName } from './targets.ts';

export interface Workload {
  readonly name: string;
  readonly title: string;
  readonly script: string;
  /** What makes the bytes that it moves; undefined: a tree. */
  readonly source: SourceName | undefined;
  /** Run before the clock starts, e.g. to have the source in the page cache. */
  readonly warmUp: string;
  /** Must have run on this target before; done without a clock when it has not. */
  readonly needs?: string;
  /** Its file `unique` is read from the disk. */
  readonly isCold?: boolean;
  readonly targets: readonly TargetName[];
}

/** Workloads that share a fresh target; in this order. */
export type Suite = readonly Workload[];

const everywhere = ['host', 'null', 'dedupfs'] as const;

/** Of host and mounts alike: syncfs(2) for the data, then fsync(2) of the directory, which commits. */
const makeDurable = 'sync -f "$T"; sync "$T"';

function writing(name: string, title: string, source: SourceName, needs?: string): Workload {
  return {
    name,
    title,
    source,
    script: `dd if="$S/${source}" of="$T/${name}" bs=1M conv=fsync status=none`,
    warmUp: `cat "$S/${source}" >/dev/null`,
    ...(needs === undefined ? {} : { needs }),
    targets: everywhere,
  };
}

function copyingTree(program: 'cp' | 'rsync', copy: 'first' | 'second'): Workload {
  const name = `${program}-tree`;
  const isFirst = copy === 'first';
  return {
    name: isFirst ? name : `${name}-again`,
    title: `\`${program} -a\` of the tree${isFirst ? '' : ', second copy'}, made durable`,
    source: undefined,
    script: `mkdir "$T/${copy}"; ${program} -a -- "$@" "$T/${copy}/"; ${makeDurable}`,
    warmUp: `find "$@" -type f -exec cat {} + >/dev/null; ${program} --version >/dev/null`,
    ...(isFirst ? {} : { needs: name }),
    targets: everywhere,
  };
}

const readUnique = 'dd if="$T/write-unique" of=/dev/null bs=1M status=none';

const files: Suite = [
  writing('write-unique', 'dd of new incompressible data, fsync', 'unique'),
  writing('write-half', 'dd of new data, half of it text-like, fsync', 'half'),
  writing('write-known', 'dd of the first data into a new file, fsync', 'unique', 'write-unique'),
  writing('write-shifted', 'the same with one byte in front', 'shifted', 'write-unique'),
  {
    name: 'copy-inside',
    title: 'cp of a file within the target, fsync',
    source: 'unique',
    script: 'cp "$T/write-unique" "$T/copy"; sync "$T/copy"',
    warmUp: 'cat "$T/write-unique" >/dev/null',
    needs: 'write-unique',
    targets: ['host', 'dedupfs'],
  },
  {
    name: 'read-cold',
    title: 'dd of a file to /dev/null; nothing cached (dedupfs: mounted anew)',
    source: 'unique',
    script: readUnique,
    warmUp: 'true',
    needs: 'write-unique',
    isCold: true,
    targets: everywhere,
  },
  {
    name: 'read-warm',
    title: 'the same once more',
    source: 'unique',
    script: readUnique,
    // The one place where the bytes are looked at; the null filesystem has only zeros.
    warmUp:
      'case $T in */null) cat "$T/write-unique" ;; *) cmp "$S/unique" "$T/write-unique" ;; esac >/dev/null',
    needs: 'write-unique',
    targets: everywhere,
  },
];

export const suites: readonly Suite[] = [
  files,
  [copyingTree('cp', 'first'), copyingTree('cp', 'second')],
  [copyingTree('rsync', 'first'), copyingTree('rsync', 'second')],
];

export const workloads: readonly Workload[] = suites.flat();
