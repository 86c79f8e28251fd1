// An arena's bytes and live bytes are the sums over its packs, and every pack's arena has a row.

import { ArenaState } from '../../metastore/packs.ts';
import { repairArenaTotals } from '../repairs/counts.ts';
import { defineCheck, type CheckContext } from './check.ts';

type Sums = [bytes: number, live: number];

export const arenaTotals = defineCheck({
  name: 'arena-totals',
  invariant: 'I6',
  level: 'full',
  repair: repairArenaTotals,
  async *find(context) {
    const { connection } = context;
    const sum = connection
      .prepare('SELECT coalesce(sum(bytes), 0), coalesce(sum(live), 0) FROM pack WHERE arena = ?')
      .raw();
    const rows = connection.prepare('SELECT id, state, bytes, live FROM arena ORDER BY id').raw();
    const arenas = rows.all() as [id: number, state: number, ...Sums][];
    for (const [done, [id, state, bytes, live]] of arenas.entries()) {
      context.progress(done, arenas.length);
      const [packBytes, packLive] = sum.get(id) as Sums;
      if (bytes !== packBytes) yield `arena ${id} has ${bytes} bytes, its packs have ${packBytes}`;
      if (live !== packLive) yield `arena ${id} has ${live} live bytes, its packs have ${packLive}`;
      if (state !== ArenaState.CURRENT && state !== ArenaState.SEALED) {
        yield `arena ${id} has state ${state}, expected 0 or 1`;
      }
      await context.turn();
    }
    yield* findUnknown(context, new Set(arenas.map(([id]) => id)));
  },
});

function* findUnknown({ connection }: CheckContext, known: ReadonlySet<number>): Generator<string> {
  // From one arena to the next by the index, without a look at the packs between.
  const next = connection.prepare('SELECT min(arena) FROM pack WHERE arena > ?').pluck();
  const count = connection.prepare('SELECT count(*) FROM pack WHERE arena = ?').pluck();
  let arena = next.get(Number.MIN_SAFE_INTEGER) as number | null;
  while (arena !== null) {
    if (!known.has(arena))
      yield `arena ${arena} has no row, ${String(count.get(arena))} packs name it`;
    arena = next.get(arena) as number | null;
  }
}
