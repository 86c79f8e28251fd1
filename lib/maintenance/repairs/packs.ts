// Rows of packs follow what lies in the arenas: a pack that is not there loses its row, one that is
// there gets one (dead until a chunk names it, so that gc gives its space back).

import { Pack } from '../../blockstore/pack.ts';
import { CorruptionError } from '../../errors.ts';
import { soundArenas } from '../checks/arena-file.ts';
import type { RepairContext } from '../checks/check.ts';
import { insertRow, prepared, removeRow, scalar, updateRow } from './rows.ts';
import { raise } from './sequences.ts';

const PACKS_PER_TURN = 64;

/** Every pack in an arena gets a row, also those that no commit has named. */
export async function repairPackRows(context: RepairContext): Promise<void> {
  for (const arena of soundArenas(context)) {
    let from = 0;
    for (;;) {
      const packs = firstPacks(context, arena, from);
      for (const pack of packs) repairPackRow(context, arena, pack);
      const last = packs.at(-1);
      if (last === undefined || packs.length < PACKS_PER_TURN) break;
      from = last + 1;
      await context.turn();
    }
  }
}

function firstPacks(context: RepairContext, arena: number, from: number): number[] {
  const packs: number[] = [];
  for (const pack of context.blockStore.arena(arena).packIds(from)) {
    packs.push(pack);
    if (packs.length === PACKS_PER_TURN) break;
  }
  return packs;
}

function repairPackRow(context: RepairContext, arena: number, id: number): void {
  const named = scalar(context, 'SELECT arena FROM pack WHERE id = ?').get(id) as
    number | undefined;
  if (named === arena) return;
  if (named === undefined) {
    // An unreadable one is accounted for with nothing in it.
    const bytes = readPack(context, arena, id)?.bytes ?? 0;
    insertRow(context, 'pack', { id }, { arena, bytes, live: 0, nlive: 0 });
  } else if (readPack(context, named, id) === undefined) {
    updateRow(context, 'pack', { id }, { arena });
  }
  raise(context, 'nextPack', id);
}

/** Rows of packs that are not there go; the others say what their pack holds. */
export async function repairPacksStored(context: RepairContext): Promise<void> {
  const page = prepared(
    context,
    'SELECT id, bytes FROM pack WHERE arena = ? AND id > ? ORDER BY id LIMIT ?',
  );
  for (const arena of soundArenas(context)) {
    let rows: { id: number; bytes: number }[];
    let after = -1;
    do {
      rows = page.all(arena, after, PACKS_PER_TURN) as typeof rows;
      for (const { id } of rows) repairStored(context, arena, id);
      after = rows.at(-1)?.id ?? after;
      await context.turn();
    } while (rows.length === PACKS_PER_TURN);
  }
}

function repairStored(context: RepairContext, arena: number, id: number): void {
  const pack = readPack(context, arena, id);
  if (pack === undefined) {
    if (!isInArena(context, arena, id)) removeRow(context, 'pack', { id });
    return;
  }
  updateRow(context, 'pack', { id }, { bytes: pack.bytes });
  raise(context, 'batch', pack.batch - 1);
}

function isInArena(context: RepairContext, arena: number, id: number): boolean {
  for (const found of context.blockStore.arena(arena).packIds(id)) return found === id;
  return false;
}

/** What the pack holds; undefined when it is missing or damaged. */
function readPack(
  context: RepairContext,
  arena: number,
  id: number,
): { bytes: number; batch: number } | undefined {
  try {
    const pack = new Pack(context.blockStore.read(arena, id), id);
    const bytes = pack.entries().reduce((sum, entry) => sum + entry.storedBytes, 0);
    return { bytes, batch: pack.header.batch };
  } catch (error) {
    if (error instanceof CorruptionError) return undefined;
    throw error;
  }
}
