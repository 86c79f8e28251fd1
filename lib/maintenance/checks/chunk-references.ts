// A chunk's reference count is the number of extents naming it, and at least 1; every extent names a
// chunk that exists.

import { repairChunkReferences } from '../repairs/counts.ts';
import { defineCheck, type CheckContext } from './check.ts';
import { extentMaps, type ExtentMap } from './extent-walk.ts';
import { pages } from './paging.ts';
import { WindowCounters, windows, type IdWindow } from './windows.ts';

export const chunkReferences = defineCheck({
  name: 'chunk-references',
  invariant: 'I5',
  level: 'full',
  repair: repairChunkReferences,
  async *find(context) {
    for (const window of windows(context, 'chunk')) {
      const counters = new WindowCounters(window);
      yield* countExtents(context, counters);
      yield* compare(context, window, counters);
      for (const { id, count } of counters.rest()) {
        yield `chunk ${id} has no row, ${count} extents name it`;
      }
    }
  },
});

async function* countExtents(
  context: CheckContext,
  counters: WindowCounters,
): AsyncGenerator<string> {
  for await (const page of extentMaps(context)) {
    for (const map of page) yield* countInMap(map, counters);
  }
}

function* countInMap(
  { ino, extents = [] }: ExtentMap,
  counters: WindowCounters,
): Generator<string> {
  for (const { chunk, offset } of extents) {
    counters.add(chunk, 1);
    if (counters.isInGap(chunk)) {
      yield `inode ${ino}: its extent at ${offset} names chunk ${chunk}, which has no row`;
    }
  }
}

async function* compare(
  context: CheckContext,
  window: IdWindow,
  counters: WindowCounters,
): AsyncGenerator<string> {
  const rows = pages<[id: number, refs: number]>(context, {
    sql: `SELECT id, refs FROM chunk WHERE id < ${window.end} AND id > ? ORDER BY id LIMIT ?`,
    start: [window.base - 1],
    keyOf: ([id]) => [id],
    total: window.end,
  });
  for await (const page of rows) {
    for (const [id, refs] of page) {
      const count = counters.take(id);
      if (refs !== count) yield `chunk ${id} has ${refs} references, ${count} extents name it`;
      else if (refs === 0) yield `chunk ${id} has no references, expected its row to be gone`;
    }
  }
}
