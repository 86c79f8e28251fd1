// No extent reaches past the plain bytes of its chunk.

import { repairExtentMaps } from '../repairs/extents.ts';
import { defineCheck, type CheckContext } from './check.ts';
import { extentMaps } from './extent-walk.ts';
import { pages } from './paging.ts';
import { WindowCounters, windows, type IdWindow } from './windows.ts';

/** What a counter holds at most; no chunk is nearly as long. */
const COUNTER_MAX = 0xffff_ffff;

export const extentBounds = defineCheck({
  name: 'extent-bounds',
  invariant: 'I7',
  level: 'full',
  repair: repairExtentMaps,
  async *find(context) {
    for (const window of windows(context, 'chunk')) {
      yield* compare(context, window, await measure(context, window));
    }
  },
});

/** For each chunk, how far extents reach into it. */
async function measure(context: CheckContext, window: IdWindow): Promise<WindowCounters> {
  const reach = new WindowCounters(window);
  for await (const page of extentMaps(context)) {
    for (const { chunk, chunkOffset, bytes } of page.flatMap(({ extents = [] }) => extents)) {
      reach.raise(chunk, Math.min(chunkOffset + bytes, COUNTER_MAX));
    }
  }
  return reach;
}

async function* compare(
  context: CheckContext,
  window: IdWindow,
  reach: WindowCounters,
): AsyncGenerator<string> {
  const rows = pages<[id: number, bytes: number]>(context, {
    sql: `SELECT id, bytes FROM chunk WHERE id < ${window.end} AND id > ? ORDER BY id LIMIT ?`,
    start: [window.base - 1],
    keyOf: ([id]) => [id],
    total: window.end,
  });
  for await (const page of rows) {
    for (const [id, bytes] of page) {
      const end = reach.take(id);
      if (end > bytes) yield `chunk ${id} has ${bytes} bytes, an extent reaches up to ${end}`;
    }
  }
}
