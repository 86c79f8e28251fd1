// Counts and totals: computed anew from what they count.

import type { RepairContext } from '../checks/check.ts';
import { extentMaps } from '../checks/extent-walk.ts';
import { pages, ranges } from '../checks/paging.ts';
import { sumTotals } from '../checks/total-sums.ts';
import { WindowCounters, windows, type IdWindow } from '../checks/windows.ts';
import { ArenaState } from '../../metastore/packs.ts';
import { prepared, putMeta, removeRow, updateRow } from './rows.ts';

/** A chunk that nothing refers to goes. */
export async function repairChunkReferences(context: RepairContext): Promise<void> {
  for (const window of windows(context, 'chunk')) {
    const counters = new WindowCounters(window);
    for await (const page of extentMaps(context)) {
      for (const { chunk } of page.flatMap(({ extents = [] }) => extents)) counters.add(chunk, 1);
    }
    await setReferences(context, window, counters);
  }
}

async function setReferences(
  context: RepairContext,
  window: IdWindow,
  counters: WindowCounters,
): Promise<void> {
  const chunks = pages<[id: number, refs: number]>(context, {
    sql: `SELECT id, refs FROM chunk WHERE id < ${window.end} AND id > ? ORDER BY id LIMIT ?`,
    start: [window.base - 1],
    keyOf: ([id]) => [id],
    total: window.end,
  });
  for await (const page of chunks) {
    for (const [id, refs] of page) {
      const count = counters.take(id);
      if (count === 0) {
        removeRow(context, 'chunk', { id });
        removeRow(context, 'quarantine', { chunk: id });
      } else if (refs !== count) {
        updateRow(context, 'chunk', { id }, { refs: count });
      }
    }
  }
}

export async function repairPackTotals(context: RepairContext): Promise<void> {
  for (const window of windows(context, 'pack')) {
    const bytes = new WindowCounters(window);
    const chunks = new WindowCounters(window);
    const group = prepared(
      context,
      `SELECT pack, sum(stored) AS stored, count(*) AS count FROM chunk
       WHERE id > ? AND id <= ? AND h IS NOT NULL GROUP BY pack`,
    );
    for await (const { after, upTo } of ranges(context, 'chunk')) {
      const rows = group.all(after, upTo) as { pack: number; stored: number; count: number }[];
      for (const row of rows) {
        bytes.add(row.pack, row.stored);
        chunks.add(row.pack, row.count);
      }
    }
    const packs = pages<[id: number]>(context, {
      sql: `SELECT id FROM pack WHERE id < ${window.end} AND id > ? ORDER BY id LIMIT ?`,
      start: [window.base - 1],
      keyOf: ([id]) => [id],
      total: window.end,
    });
    for await (const page of packs) {
      for (const [id] of page) {
        updateRow(context, 'pack', { id }, { live: bytes.take(id), nlive: chunks.take(id) });
      }
    }
  }
}

export async function repairArenaTotals(context: RepairContext): Promise<void> {
  const arenas = prepared(context, 'SELECT id, state FROM arena ORDER BY id').all() as {
    id: number;
    state: number;
  }[];
  const sum = prepared(
    context,
    `SELECT coalesce(sum(bytes), 0) AS bytes, coalesce(sum(live), 0) AS live
     FROM pack WHERE arena = ?`,
  );
  for (const { id, state } of arenas) {
    const isKnown = state === ArenaState.CURRENT || state === ArenaState.SEALED;
    const sums = sum.get(id) as { bytes: number; live: number };
    updateRow(context, 'arena', { id }, { ...sums, state: isKnown ? state : ArenaState.SEALED });
    await context.turn();
  }
}

export async function repairTotals(context: RepairContext): Promise<void> {
  for await (const { name, sum } of sumTotals(context)) putMeta(context, name, sum);
}
