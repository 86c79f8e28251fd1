// The arenas as a check sees them: without files and packs that are known not to count.

import type { ArenaReader } from './checks/check.ts';

export interface Hidden {
  /** Arenas that are not looked at. */
  readonly arenas: ReadonlySet<number>;
  /** First pack of an arena that is not looked at; those behind it are neither. */
  readonly packsFrom: ReadonlyMap<number, number>;
}

export const NOTHING_HIDDEN: Hidden = { arenas: new Set(), packsFrom: new Map() };

/** Both sets are read at each call: what is added to them later is hidden from then on. */
export function viewArenas(reader: ArenaReader, hidden: readonly Hidden[]): ArenaReader {
  const isHidden = (id: number): boolean => hidden.some(({ arenas }) => arenas.has(id));
  const end = (id: number): number =>
    Math.min(...hidden.map(({ packsFrom }) => packsFrom.get(id) ?? Number.POSITIVE_INFINITY));
  return {
    folder: reader.folder,
    arenaIds: () => reader.arenaIds().filter((id) => !isHidden(id)),
    path: (id) => reader.path(id),
    read: (arena, pack) => reader.read(arena, pack),
    arena: (id) => ({ packIds: (first) => takeBelow(reader.arena(id).packIds(first), end(id)) }),
  };
}

function* takeBelow(ids: Iterable<number>, end: number): Generator<number> {
  for (const id of ids) {
    if (id >= end) return;
    yield id;
  }
}
