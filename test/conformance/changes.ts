// Which timestamps a call changes, and which it must leave alone.
//
// The watched objects are held by O_PATH descriptors, so that they are still found after the call
// renamed, replaced or removed them.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { Flag } from '../support/commands-syscalls.ts';
import type { FileStatus } from '../support/commands-statx.ts';
import { Actor, must } from './actors.ts';
import type { Suite } from './suite.ts';

/** Letters of the times that change, in this order: a, m, c; '' for none. */
export type Times = '' | 'a' | 'm' | 'c' | 'am' | 'ac' | 'mc' | 'amc';

/** One call, and what becomes of the times of each watched path. */
export interface ChangesRow {
  readonly what: string;
  /** Makes what the call needs, in a directory of the row's own. */
  readonly prepare?: (who: Actor) => Promise<void>;
  readonly call: (who: Actor) => Promise<string>;
  /** What the call gives; success if not said. */
  readonly errno?: string;
  /** By the path from before the call; '.' is the row's directory. */
  readonly changes: Readonly<Record<string, Times>>;
}

/** ext4 stamps with the kernel's clock of the last tick: up to 10 ms at 100 Hz. */
const TICK_MS = 15;

/** Runs the call between two looks at the watched paths, and compares what differs. */
export async function expectChanges(t: Test, who: Actor, row: ChangesRow): Promise<void> {
  const watched: { path: string; fd: number; before: FileStatus }[] = [];
  for (const path of Object.keys(row.changes)) {
    const fd = await who.fd(path, Flag.O_PATH | Flag.O_NOFOLLOW);
    watched.push({ path, fd, before: await who.fstat(fd) });
  }
  await sleep(TICK_MS);
  t.equal(await row.call(who), row.errno ?? '', `${row.what}: errno`);
  for (const { path, fd, before } of watched) {
    const after = await who.fstat(fd);
    t.equal(changedTimes(before, after), row.changes[path], `${row.what}: times of ${path}`);
    await must(who.close(fd));
  }
}

/** Tests each row in a directory of its own, on both filesystems. */
export async function promiseChanges(
  suite: Suite,
  name: string,
  rows: readonly ChangesRow[],
): Promise<void> {
  await suite.promises(name, async (probe) => {
    const who = await Actor.root(probe);
    for (const [index, row] of rows.entries()) {
      await must(who.mkdir(`row-${index}`));
      await who.caller.must('chdir', `row-${index}`);
      await row.prepare?.(who);
      await expectChanges(probe.t, who, row);
      await who.caller.must('chdir', '..');
    }
  });
}

/** The letters of the times that differ. */
export function changedTimes(before: FileStatus, after: FileStatus): string {
  const letters: [string, boolean][] = [
    ['a', before.atimeNs !== after.atimeNs],
    ['m', before.mtimeNs !== after.mtimeNs],
    ['c', before.ctimeNs !== after.ctimeNs],
  ];
  return letters.flatMap(([letter, differs]) => (differs ? [letter] : [])).join('');
}
