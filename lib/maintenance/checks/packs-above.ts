// No arena holds a pack above the committed maximum: mount has removed what a crash left there.

import { loadCounters } from '../../metastore/counters.ts';
import { repairPackRows } from '../repairs/packs.ts';
import { soundArenas } from './arena-file.ts';
import { defineCheck, type CheckContext } from './check.ts';

/** Packs reported for one arena. */
const PACKS_MAX = 16;

export const packsAbove = defineCheck({
  name: 'packs-above',
  invariant: 'I4',
  level: 'quick',
  repair: repairPackRows,
  async *find(context) {
    const { nextPack } = loadCounters(context.connection);
    const arenas = soundArenas(context);
    for (const [done, arena] of arenas.entries()) {
      context.progress(done, arenas.length);
      for (const pack of firstPacks(context, arena, nextPack)) {
        yield `arena ${arena} holds pack ${pack}, expected only packs below ${nextPack}`;
      }
      await context.turn();
    }
  },
});

function firstPacks(context: CheckContext, arena: number, from: number): number[] {
  const packs: number[] = [];
  for (const pack of context.blockStore.arena(arena).packIds(from)) {
    packs.push(pack);
    if (packs.length === PACKS_MAX) break;
  }
  return packs;
}
