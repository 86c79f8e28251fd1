// What dedupfs is to reach, and whether it does: computed from the samples of a run.

import {
  samplesOf,
  speedRatio,
  spreadOf,
  type Sample,
  type Spread,
  type Which,
} from './samples.ts';
import type { TargetName } from './target.ts';

export interface Goal {
  readonly workload: string;
  readonly title: string;
  /** As a person reads it: `at least 2 x zfs-fuse`. */
  readonly required: string;
  /** undefined: a figure that is wanted, with no bound. */
  readonly bound: Bound | undefined;
  measure(samples: readonly Sample[]): Spread | undefined;
}

interface Bound {
  readonly least?: number;
  readonly most?: number;
}

export interface GoalResult {
  readonly workload: string;
  readonly title: string;
  readonly required: string;
  /** undefined: one of the two was not measured. */
  readonly measured: Spread | undefined;
  /** Judged by the median; undefined: there is nothing to judge, or no bound. */
  readonly isMet: boolean | undefined;
}

const GIB = 2 ** 30;

/** Speed as a multiple of a peer's at the same workload. */
function against(
  workload: string,
  title: string,
  peers: Partial<Record<TargetName, number>>,
): Goal[] {
  return Object.entries(peers).map(([peer, least]) => ({
    workload,
    title: `${workload}: ${title}`,
    required: `at least ${least} x ${peer}`,
    bound: { least },
    measure: (samples) =>
      speedRatio(samples, {
        of: { workload, target: 'dedupfs' },
        to: { workload, target: peer as TargetName },
      }),
  }));
}

/** Speed as a multiple of that of dedupfs itself at another workload. */
function besides(workload: string, title: string, other: string, least: number): Goal {
  const target = 'dedupfs';
  return {
    workload,
    title: `${workload}: ${title}`,
    required: `at least ${least} x ${other}`,
    bound: { least },
    measure: (samples) =>
      speedRatio(samples, { of: { workload, target }, to: { workload: other, target } }),
  };
}

/** Something of each sample. */
function figure(
  which: Which,
  title: string,
  valueOf: (sample: Sample) => number | undefined,
  most?: { readonly most: number; readonly text: string },
): Goal {
  return {
    workload: which.workload,
    title: `${which.workload}: ${title}`,
    required: most?.text ?? 'figure',
    bound: most,
    measure: (samples) =>
      spreadOf(
        samplesOf(samples, which)
          .map(valueOf)
          .filter((value) => value !== undefined),
      ),
  };
}

const growthOf = ({ diskBytesBefore, diskBytes, bytes }: Sample): number | undefined =>
  diskBytes === undefined || diskBytesBefore === undefined
    ? undefined
    : (100 * (diskBytes - diskBytesBefore)) / bytes;

const amplificationOf = ({ deviceBytes, bytes }: Sample): number | undefined =>
  deviceBytes === undefined ? undefined : deviceBytes / bytes;

const daemonCpuPerGib = ({ daemonCpuSeconds, bytes }: Sample): number | undefined =>
  daemonCpuSeconds === undefined ? undefined : (daemonCpuSeconds * GIB) / bytes;

function toward(workload: string, title: string, peer: TargetName): Goal {
  const [goal] = against(workload, title, { [peer]: 1 });
  if (goal === undefined) throw new Error(`no goal for ${workload}`);
  return { ...goal, required: `toward ${peer}`, bound: undefined };
}

export const goals: readonly Goal[] = [
  ...against('write-known', 'a file that is stored already', {
    null: 0.5,
    'zfs-fuse': 10,
    borg: 2,
  }),
  ...against('write-half', 'a new file, half compressible', {
    'zfs-fuse': 5,
    borg: 1.5,
    restic: 2.5,
  }),
  besides('write-shifted', 'one byte in front of it', 'write-known', 0.8),
  figure({ workload: 'write-shifted', target: 'dedupfs' }, 'the store grows, %', growthOf, {
    most: 1,
    text: 'under 1 %',
  }),
  ...against('cp-tree', 'cp -a of a tree', { 'zfs-fuse': 2, bindfs: 2 }),
  toward('cp-tree', 'cp -a of a tree', 'btrfs'),
  ...against('rsync-tree', 'rsync -a of a tree', { 'zfs-fuse': 2 }),
  ...against('rsync-noop', 'nothing to do', { host: 0.5 }),
  ...against('read-cold', 'after mounting anew', { 'zfs-fuse': 2, bindfs: 0.8 }),
  besides('read-interleaved', 'after 10 generations', 'read-fresh', 0.6),
  ...against('tar-cold', 'tar of the tree', { 'zfs-fuse': 2 }),
  ...against('find-cold', 'find -ls of two trees', { 'zfs-fuse': 2 }),
  ...against('find-warm', 'the same once more', { 'zfs-fuse': 2 }),
  ...against('rm-trees', 'rm -rf of two trees', { 'zfs-fuse': 2 }),
  ...against('overwrite-random', '4 KiB at random places', { 'zfs-fuse': 3 }),
  figure(
    { workload: 'overwrite-random', target: 'dedupfs' },
    'bytes on the disk per byte written',
    amplificationOf,
  ),
  figure(
    { workload: 'overwrite-random', target: 'zfs-fuse' },
    'the same of zfs-fuse',
    amplificationOf,
  ),
  ...(['write-unique', 'write-half', 'write-known'] as const).flatMap((workload) => [
    figure({ workload, target: 'dedupfs' }, 'CPU s of the daemon per GiB', daemonCpuPerGib),
    figure({ workload, target: 'zfs-fuse' }, 'the same of zfs-fuse', daemonCpuPerGib),
  ]),
];

export function judge(samples: readonly Sample[]): GoalResult[] {
  return goals.map(({ workload, title, required, bound, measure }) => {
    const measured = measure(samples);
    return { workload, title, required, measured, isMet: isMet(measured, bound) };
  });
}

function isMet(measured: Spread | undefined, bound: Bound | undefined): boolean | undefined {
  if (measured === undefined || bound === undefined) return undefined;
  const { least = -Infinity, most = Infinity } = bound;
  return measured.median >= least && measured.median <= most;
}
