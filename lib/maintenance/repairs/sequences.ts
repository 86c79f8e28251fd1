// Counters: raised above every id in use, and set when they are missing or no number.

import { COUNTER_NAMES, INITIAL_COUNTERS, type Sequences } from '../../metastore/counters.ts';
import type { RepairContext } from '../checks/check.ts';
import { getMeta, putMeta, scalar } from './rows.ts';

export async function repairSequences(context: RepairContext): Promise<void> {
  for (const name of COUNTER_NAMES) {
    const value = getMeta(context, name);
    // Totals are recomputed later, from the rows.
    if (!Number.isSafeInteger(value) || Number(value) < 0)
      putMeta(context, name, INITIAL_COUNTERS[name]);
  }
  const lastFile = context.blockStore.arenaIds().at(-1) ?? 0;
  raise(context, 'nextIno', maxOf(context, 'inode', 'ino'));
  raise(context, 'nextChunk', maxOf(context, 'chunk', 'id'));
  raise(context, 'nextPack', maxOf(context, 'pack', 'id'));
  raise(context, 'nextArena', Math.max(lastFile, maxOf(context, 'arena', 'id')));
}

/** Makes sure that a counter is above an id in use (I3). */
export function raise(context: RepairContext, name: keyof Sequences, used: number): void {
  if (Number(getMeta(context, name)) <= used) putMeta(context, name, used + 1);
}

function maxOf(context: RepairContext, table: string, id: string): number {
  return Number(scalar(context, `SELECT max(${id}) FROM ${table}`).get() ?? 0);
}
