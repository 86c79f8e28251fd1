// A pack's live bytes and live chunks are what the chunk rows say, and every chunk's pack has a row.
// Quarantined chunks lie in none.

import { repairPackTotals } from '../repairs/counts.ts';
import { defineCheck, type CheckContext } from './check.ts';
import { pages, ranges } from './paging.ts';
import { WindowCounters, windows, type IdWindow } from './windows.ts';

interface Live {
  readonly bytes: WindowCounters;
  readonly chunks: WindowCounters;
}

export const packTotals = defineCheck({
  name: 'pack-totals',
  invariant: 'I6',
  level: 'full',
  repair: repairPackTotals,
  async *find(context) {
    for (const window of windows(context, 'pack')) {
      const live = { bytes: new WindowCounters(window), chunks: new WindowCounters(window) };
      yield* sum(context, live);
      yield* compare(context, window, live);
      for (const { id, count } of live.chunks.rest()) {
        yield `pack ${id} has no row, ${count} chunks lie in it`;
      }
    }
  },
});

async function* sum(context: CheckContext, live: Live): AsyncGenerator<string> {
  const group = context.connection
    .prepare(
      `SELECT pack, sum(stored), count(*), min(id) FROM chunk
       WHERE id > ? AND id <= ? AND h IS NOT NULL GROUP BY pack`,
    )
    .raw();
  for await (const { after, upTo } of ranges(context, 'chunk')) {
    const rows = group.all(after, upTo) as [number, number, number, number][];
    for (const [pack, stored, count, chunk] of rows) {
      live.bytes.add(pack, stored);
      live.chunks.add(pack, count);
      if (live.chunks.isInGap(pack)) {
        yield `chunk ${chunk} lies in pack ${pack}, which has no row`;
      }
    }
  }
}

async function* compare(
  context: CheckContext,
  window: IdWindow,
  live: Live,
): AsyncGenerator<string> {
  const rows = pages<[id: number, live: number, nlive: number]>(context, {
    sql: `SELECT id, live, nlive FROM pack WHERE id < ${window.end} AND id > ? ORDER BY id LIMIT ?`,
    start: [window.base - 1],
    keyOf: ([id]) => [id],
    total: window.end,
  });
  for await (const page of rows) {
    for (const [id, liveBytes, liveChunks] of page) {
      const bytes = live.bytes.take(id);
      const chunks = live.chunks.take(id);
      if (bytes !== liveBytes) {
        yield `pack ${id} has ${liveBytes} live bytes, its chunks have ${bytes}`;
      }
      if (chunks !== liveChunks) {
        yield `pack ${id} has ${liveChunks} live chunks, ${chunks} rows name it`;
      }
    }
  }
}
