// Makes the disk of a recording as cuts at given records would have left it, opens the store that lies
// on it, and judges what it finds.

import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describeError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { SlabPool } from '../../lib/slab-pool.ts';
import type { Store } from '../../lib/store/contract.ts';
import { openStore } from '../../lib/store/store.ts';
import { mustRun, run } from '../support/commands.ts';
import { dedupfs } from '../support/commands-dedupfs.ts';
import { FileSystemDriver } from '../support/filesystem-driver.ts';
import { writeTree } from '../support/lossy-disk-folder.ts';
import { DiskImage } from '../support/lossy-disk-image.ts';
import { Recording } from '../support/lossy-disk-record.ts';
import { Random, randomBytesOf } from '../support/random.ts';
import { factsOfMount, factsOfStore } from './found-tree.ts';
import { History } from './history.ts';
import { STORE_NAME, type RecordingFacts } from './recording.ts';
import { describeFacts, type TreeFacts } from './tree-facts.ts';

/** How a store is opened after a cut. */
export type OpenedBy = 'process' | 'mount';

/** The cut with which the recording ended: the disk lost its power while the daemon worked. */
export const LIVE = -1;

export interface Cut {
  /**
   * The power goes while this record happens: a write may be torn, a sync is not acknowledged. LIVE
   * comes first.
   */
  readonly position: number;
  readonly seed: number;
  readonly openedBy: OpenedBy;
}

export interface CutCheckOptions {
  /** Of a recording. */
  readonly folder: string;
  /** Ascending by position. */
  readonly cuts: readonly Cut[];
  /** New folder for the disks; removed, except what a violation left. */
  readonly scratch: string;
}

export interface CutResult {
  readonly cut: Cut;
  readonly problem: string | undefined;
  readonly ageNs: number;
  readonly promised: number;
  readonly state: number;
}

/** Changing the store after a cut shows that it works on; every so many cuts, as it takes time. */
const CHANGED_EVERY = 8;
const SLABS = 8;
const pool = new SlabPool(SLABS);

/** Calls back with the result of each cut, in order. */
export async function checkCuts(
  { folder, cuts, scratch }: CutCheckOptions,
  onResult: (result: CutResult) => void,
): Promise<void> {
  const recording = new Recording(join(folder, 'disk'));
  const history = new History(join(folder, 'before.json'), join(folder, 'workload.log'));
  const facts = JSON.parse(readFileSync(join(folder, 'recording.json'), 'utf8')) as RecordingFacts;
  const image = new DiskImage();
  mkdirSync(scratch, { recursive: true });
  let applied = 0;
  for (const cut of cuts) {
    for (; applied <= cut.position; applied += 1) {
      const record = recording.records[applied];
      if (record === undefined) throw new Error(`the recording has no record ${applied}`);
      const isSync = record.kind === 'synced' || record.kind === 'unsynced';
      if (applied === cut.position && isSync) break;
      image.apply(record, record.kind === 'write' ? recording.dataOf(record) : undefined);
    }
    const disk = join(scratch, `cut-${cut.position}-${cut.seed}`);
    const isLive = cut.position === LIVE;
    if (isLive) cpSync(join(folder, 'left'), disk, { recursive: true });
    else writeTree(image.cut(new Random(cut.seed)), disk);
    const cutNs = isLive ? facts.cutNs : (recording.records[cut.position]?.timeNs ?? 0);
    const result = await checkCut({ cut, disk, history, cutNs, slackNs: facts.slackNs });
    if (result.problem === undefined) rmSync(disk, { recursive: true });
    onResult(result);
  }
  recording.close();
}

interface Checked {
  readonly cut: Cut;
  readonly disk: string;
  readonly history: History;
  readonly cutNs: number;
  readonly slackNs: number;
}

async function checkCut({ cut, disk, history, cutNs, slackNs }: Checked): Promise<CutResult> {
  const store = join(disk, STORE_NAME);
  try {
    const found =
      cut.openedBy === 'mount'
        ? await lookThroughMount(store, join(disk, 'mount'))
        : await lookInProcess(store, cut.seed);
    return { cut, ...history.judge(found, cutNs, slackNs) };
  } catch (error) {
    return { cut, problem: describeError(error), ageNs: 0, promised: 0, state: -1 };
  }
}

/** @throws Error when the store does not open, is not clean, or does not take changes */
async function lookInProcess(path: string, seed: number): Promise<TreeFacts> {
  const options = { create: true, background: false, pool, log: silentLog() };
  const store = await openStore(path, options);
  try {
    const driver = new FileSystemDriver(store.filesystem, pool);
    const found = describeFacts(await factsOfStore(driver));
    await mustBeClean(store);
    if (seed % CHANGED_EVERY === 0) {
      const content = randomBytesOf(seed, 100_000);
      await driver.put('written after the cut', content);
      await store.commit();
      const read = await driver.get('written after the cut');
      if (!read.equals(content))
        throw new Error('what was written after the cut reads differently');
      await mustBeClean(store);
    }
    return found;
  } finally {
    await store.close();
  }
}

async function mustBeClean(store: Store): Promise<void> {
  const { findings } = await store.fsck({ level: 'full' });
  if (findings.length > 0) throw new Error(`fsck finds ${JSON.stringify(findings.slice(0, 5))}`);
}

/** With the real daemon, through the kernel. */
async function lookThroughMount(store: string, mountpoint: string): Promise<TreeFacts> {
  mkdirSync(mountpoint);
  const detach = async (): Promise<void> => {
    await run('umount', ['-l', mountpoint]);
  };
  const mustRunDedupfs = async (...args: string[]): Promise<void> => {
    const result = await dedupfs(args, { onTimeout: () => void detach() });
    if (result.code === 0) return;
    throw new Error(`dedupfs ${args[0]} exited with ${result.code}: ${result.stderr}`);
  };
  await mustRunDedupfs('mount', store, mountpoint, '--log', `${mountpoint}.log`);
  let found: TreeFacts;
  try {
    found = describeFacts(factsOfMount(mountpoint));
  } catch (error) {
    await detach();
    throw error;
  }
  await mustRunDedupfs('umount', mountpoint);
  await mustRunDedupfs('fsck', store);
  await mustRun('rm', ['-f', `${mountpoint}.log`]);
  return found;
}
