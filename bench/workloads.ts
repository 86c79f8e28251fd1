// What is measured. A workload is a script of bash; making its result durable is part of it.
//
// In the scripts
//   $T         is the target's directory
//   $S         the folder of the sources
//   "$@"       the packages of the source tree, with their folder as the working directory
//   durable    the target's way to have everything on the disk
//   bench X    runs the client dist/bench/X.js
//   $SEED, $DURATION, $RESULT   of the round's data; seconds for what goes by time; a file for a count

import type { SourceName } from './sources.ts';
import type { TargetName } from './target.ts';

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
  /** Nothing is cached: the file system is mounted anew, the host's page cache dropped. */
  readonly isCold?: boolean;
  /** What a backup program does instead; undefined: it takes no part. */
  readonly archive?: ArchiveStep;
  /** How its result is told; MB/s when not given. */
  readonly unit?: Unit;
  /** Fewer rounds than the others, of what takes long. */
  readonly roundsMax?: number;
  readonly targets: readonly TargetName[];
}

/** `s`: the bytes of a tree say little. `writes/s`: the script writes their number to $RESULT. */
export type Unit = 'MB/s' | 's' | 'writes/s';

export type ArchiveStep =
  | { readonly verb: 'store' | 'store-tree' }
  /** What that workload has stored. */
  | { readonly verb: 'retrieve'; readonly workload: string };

/** Workloads that share a fresh target; in this order. */
export type Suite = readonly Workload[];

const fileSystems = ['dedupfs', 'host', 'bindfs', 'zfs-fuse', 'btrfs'] as const;
const archives = ['borg', 'restic', 'bup'] as const;
const everyone = [...fileSystems, 'null', 'fuse-native', ...archives] as const;

function writing(name: string, title: string, source: SourceName, needs?: string): Workload {
  return {
    name,
    title,
    source,
    script: `dd if="$S/${source}" of="$T/${name}" bs=1M conv=fsync status=none`,
    warmUp: `cat "$S/${source}" >/dev/null`,
    archive: { verb: 'store' },
    ...(needs === undefined ? {} : { needs }),
    targets: everyone,
  };
}

function copyingTree(program: 'cp' | 'rsync', copy: 'first' | 'second'): Workload {
  const name = `${program}-tree`;
  const isFirst = copy === 'first';
  return {
    name: isFirst ? name : `${name}-again`,
    title: `\`${program} -a\` of the tree${isFirst ? '' : ', second copy'}, made durable`,
    source: undefined,
    script: `mkdir "$T/${copy}"; ${program} -a -- "$@" "$T/${copy}/"; durable`,
    warmUp: `find "$@" -type f -exec cat {} + >/dev/null; ${program} --version >/dev/null`,
    unit: 's',
    ...(isFirst ? {} : { needs: name }),
    ...(program === 'cp' ? { archive: { verb: 'store-tree' } } : {}),
    targets: [...fileSystems, 'null', ...(program === 'cp' ? archives : [])],
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
    targets: fileSystems,
  },
  {
    name: 'read-cold',
    title: 'dd of a file to /dev/null; nothing cached, mounted anew',
    source: 'unique',
    script: readUnique,
    warmUp: 'true',
    needs: 'write-unique',
    isCold: true,
    archive: { verb: 'retrieve', workload: 'write-unique' },
    targets: [...fileSystems, 'null', ...archives],
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
    targets: [...fileSystems, 'null'],
  },
  {
    name: 'duperemove',
    title: 'duperemove -dr of all that was written above, as btrfs dedupes; then durable',
    source: 'unique',
    script: 'duperemove -dr "$T" >/dev/null; durable',
    warmUp: 'true',
    needs: 'write-shifted',
    unit: 's',
    roundsMax: 2,
    targets: ['btrfs'],
  },
];

const twoTrees = '"$T/first" "$T/second"';

const copies: Suite = [
  copyingTree('cp', 'first'),
  copyingTree('cp', 'second'),
  {
    name: 'tar-cold',
    title: '`tar cf -` of the tree to a pipe; nothing cached',
    source: undefined,
    script: 'tar cf - -C "$T/first" . | cat >/dev/null',
    warmUp: 'tar --version >/dev/null',
    needs: 'cp-tree-again',
    isCold: true,
    unit: 's',
    targets: fileSystems,
  },
  {
    name: 'find-cold',
    title: '`find -ls` of two such trees; nothing cached',
    source: undefined,
    script: `find ${twoTrees} -ls >/dev/null`,
    warmUp: 'true',
    needs: 'cp-tree-again',
    isCold: true,
    unit: 's',
    targets: fileSystems,
  },
  {
    name: 'find-warm',
    title: 'the same once more',
    source: undefined,
    script: `find ${twoTrees} -ls >/dev/null`,
    warmUp: `find ${twoTrees} -ls >/dev/null`,
    needs: 'cp-tree-again',
    unit: 's',
    targets: [...fileSystems, 'null'],
  },
  {
    name: 'rm-trees',
    title: '`rm -rf` of two such trees, made durable',
    source: undefined,
    script: `rm -rf ${twoTrees}; durable`,
    warmUp: 'rm --version >/dev/null',
    needs: 'cp-tree-again',
    unit: 's',
    targets: [...fileSystems, 'null'],
  },
];

const rsyncAgain = 'rsync -a -- "$@" "$T/first/"';

const synchronised: Suite = [
  copyingTree('rsync', 'first'),
  {
    name: 'rsync-noop',
    title: '`rsync -a` of the tree with nothing to do',
    source: undefined,
    script: rsyncAgain,
    warmUp: rsyncAgain,
    needs: 'rsync-tree',
    unit: 's',
    targets: [...fileSystems, 'null'],
  },
  copyingTree('rsync', 'second'),
];

const image: Suite = [
  {
    name: 'write-image',
    title: "dd of a virtual machine's image (text, random, zeros), fsync",
    source: 'image',
    script: 'dd if="$S/image" of="$T/image" bs=1M conv=fsync status=none',
    warmUp: 'cat "$S/image" >/dev/null',
    targets: ['dedupfs', 'host', 'zfs-fuse', 'btrfs'],
  },
  {
    name: 'read-fresh',
    title: 'dd of that image to /dev/null; nothing cached',
    source: 'image',
    script: 'dd if="$T/image" of=/dev/null bs=1M status=none',
    warmUp: 'true',
    needs: 'write-image',
    isCold: true,
    targets: ['dedupfs', 'host', 'zfs-fuse', 'btrfs'],
  },
  {
    name: 'write-generations',
    title:
      'ten times 5 % of it changed in place and as much of other files written, each with fsync',
    source: 'image',
    script: 'bench generations "$T/image" "$T/others" "$SEED"',
    warmUp: 'true',
    needs: 'write-image',
    targets: ['dedupfs', 'host', 'zfs-fuse', 'btrfs'],
  },
  {
    name: 'read-interleaved',
    title: 'dd of the image after that to /dev/null; nothing cached',
    source: 'image',
    script: 'dd if="$T/image" of=/dev/null bs=1M status=none',
    warmUp: 'true',
    needs: 'write-generations',
    isCold: true,
    targets: ['dedupfs', 'host', 'zfs-fuse', 'btrfs'],
  },
];

const overwriting: Suite = [
  {
    name: 'overwrite-random',
    title: 'random writes of 4 KiB new data into the first file, then fsync',
    source: 'unique',
    script: 'bench overwrite "$T/write-unique" "$DURATION" "$SEED" "$RESULT"',
    warmUp: 'true',
    needs: 'write-unique',
    unit: 'writes/s',
    roundsMax: 2,
    targets: ['dedupfs', 'host', 'zfs-fuse'],
  },
];

export const suites: readonly Suite[] = [files, copies, synchronised, image, overwriting];

export const workloads: readonly Workload[] = suites.flat();

/** @throws Error when there is none of that name */
export function workloadNamed(name: string): Workload {
  const found = workloads.find((workload) => workload.name === name);
  if (found === undefined) throw new Error(`no workload ${name}`);
  return found;
}

/** What has to run before it, first things first. */
export function needsOf(workload: Workload): Workload[] {
  if (workload.needs === undefined) return [];
  const needed = workloadNamed(workload.needs);
  return [...needsOf(needed), needed];
}
