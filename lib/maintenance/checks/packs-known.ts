// Every pack in an arena has a row that says so: rows live until the arena is removed.

import { loadCounters } from '../../metastore/counters.ts';
import { repairPackRows } from '../repairs/packs.ts';
import { soundArenas } from './arena-file.ts';
import { defineCheck, type CheckContext } from './check.ts';

const PACKS_PER_TURN = 512;

export const packsKnown = defineCheck({
  name: 'packs-known',
  invariant: 'I4',
  level: 'full',
  repair: repairPackRows,
  async *find(context) {
    const arenas = soundArenas(context);
    for (const [done, arena] of arenas.entries()) {
      context.progress(done, arenas.length);
      yield* findUnknown(context, arena);
    }
  },
});

async function* findUnknown(context: CheckContext, arena: number): AsyncGenerator<string> {
  const { nextPack } = loadCounters(context.connection);
  const arenaOf = context.connection.prepare('SELECT arena FROM pack WHERE id = ?').pluck();
  let from = 0;
  for (;;) {
    const packs = packsFrom(context, arena, from);
    for (const pack of packs) {
      // Those from nextPack on are the business of `packs-above`.
      if (pack >= nextPack) return;
      const row = arenaOf.get(pack) as number | undefined;
      if (row === undefined) yield `arena ${arena} holds pack ${pack}, which has no row`;
      else if (row !== arena) yield `arena ${arena} holds pack ${pack}, its row names arena ${row}`;
    }
    const last = packs.at(-1);
    if (last === undefined || packs.length < PACKS_PER_TURN) return;
    from = last + 1;
    await context.turn();
  }
}

function packsFrom(context: CheckContext, arena: number, from: number): number[] {
  const packs: number[] = [];
  for (const pack of context.blockStore.arena(arena).packIds(from)) {
    packs.push(pack);
    if (packs.length === PACKS_PER_TURN) break;
  }
  return packs;
}
