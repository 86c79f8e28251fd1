// Arena files. One that LMDB cannot follow is read by looking for packs in all of it, and what is found
// goes into a new arena under the same pack ids; the damaged file is put aside when the repair takes
// effect. Until then the new file is one that no row of the store names, and a mount removes it.

import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { salvagePacks } from '../../blockstore/arena-salvage.ts';
import { Arena } from '../../blockstore/arena.ts';
import { ArenaState } from '../../metastore/packs.ts';
import { syncFolder } from '../../sync-folder.ts';
import { arenaDefect } from '../checks/arena-file.ts';
import type { RepairContext } from '../checks/check.ts';
import { pages } from '../checks/paging.ts';
import { insertRow, removeRow, scalar, takeId, updateRow } from './rows.ts';

export async function repairArenaFiles(context: RepairContext): Promise<void> {
  const rows = scalar(context, 'SELECT id FROM arena ORDER BY id').all() as number[];
  const files = context.blockStore.arenaIds();
  const sound = new Set<number>();
  for (const id of files) {
    if (arenaDefect(context, id) === undefined) sound.add(id);
    else if (!context.arenasPutAside.has(id)) await salvageArena(context, id, sound);
    await context.turn();
  }
  for (const id of rows) {
    if (!sound.has(id)) removeRow(context, 'arena', { id });
  }
  for (const id of sound) {
    if (!rows.includes(id)) {
      insertRow(context, 'arena', { id }, { state: ArenaState.SEALED, bytes: 0, live: 0 });
    }
  }
  await removePacksElsewhere(context, sound);
}

/** Packs whose arena is gone: their chunks are looked for, or quarantined, by `chunk-records`. */
async function removePacksElsewhere(
  context: RepairContext,
  sound: ReadonlySet<number>,
): Promise<void> {
  const packs = pages<[id: number, arena: number]>(context, {
    sql: 'SELECT id, arena FROM pack WHERE id > ? ORDER BY id LIMIT ?',
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([id]) => [id],
    total: context.metastore.counters.nextPack,
  });
  for await (const page of packs) {
    for (const [id, arena] of page) {
      // A row that names the wrong arena is corrected by `packs-known`.
      if (!sound.has(arena)) removeRow(context, 'pack', { id });
    }
  }
}

/** Copies what is found in a damaged arena's file into a new one, which is then one of the sound. */
async function salvageArena(context: RepairContext, id: number, sound: Set<number>): Promise<void> {
  const path = context.blockStore.path(id);
  context.arenasPutAside.add(id);
  const places = await choosePacks(path);
  if (places.size === 0) return;
  const made = takeId(context, 'nextArena');
  context.arenasMade.add(made);
  const madePath = context.blockStore.path(made);
  const arena = Arena.create(made, madePath, statSync(path).size);
  try {
    for await (const { packId, offset, bytes } of salvagePacks(path)) {
      if (places.get(packId)?.offset === offset) await arena.put(packId, bytes);
    }
  } finally {
    await arena.close();
  }
  syncFolder(dirname(madePath));
  sound.add(made);
  for (const packId of places.keys()) {
    const isHere = scalar(context, 'SELECT arena = ? FROM pack WHERE id = ?').get(id, packId) === 1;
    if (isHere) updateRow(context, 'pack', { id: packId }, { arena: made });
  }
}

interface Place {
  readonly offset: number;
  readonly batch: number;
  readonly isInside: boolean;
}

/** Of several packs of one id: one that lies by itself before an image of one, then the newest. */
async function choosePacks(path: string): Promise<Map<number, Place>> {
  const places = new Map<number, Place>();
  for await (const { packId, offset, batch, isInside } of salvagePacks(path)) {
    const known = places.get(packId);
    const isBetter =
      known === undefined ||
      (known.isInside && !isInside) ||
      (known.isInside === isInside && batch > known.batch);
    if (isBetter) places.set(packId, { offset, batch, isInside });
  }
  return places;
}
