// What gc would do: a pure decision over the arenas' rows and sizes, printable by `gc --dry-run`.

import type { ArenaRow } from '../metastore/packs.ts';

/**
 * An arena with less live data than this share of its size is evacuated. At worst the store is then
 * 1 / 0.8 = 1.25 times its live data, and moving costs at most four bytes for each byte gained.
 */
export const LIVE_SHARE_MIN = 0.8;
/** Less dead data than this is not worth rewriting an arena for. */
const DEAD_BYTES_MIN = 1024 * 1024;

export interface PlannedArena {
  readonly arena: number;
  readonly hostBytes: number;
  readonly liveBytes: number;
  /** 'remove': nothing is live; 'evacuate': its live chunks move to the current arena first. */
  readonly action: 'remove' | 'evacuate' | 'keep';
}

export interface GcPlan {
  readonly arenas: readonly PlannedArena[];
  readonly bytesToMove: number;
  readonly bytesToFree: number;
}

export interface SizedArena extends Pick<ArenaRow, 'id' | 'bytes' | 'live'> {
  /** What the file occupies on the host. */
  readonly hostBytes: number;
}

/** @param liveShareMin 0 to 1; 1 evacuates every arena with enough dead data to matter */
export function planGc(arenas: readonly SizedArena[], liveShareMin = LIVE_SHARE_MIN): GcPlan {
  const planned = arenas.map((arena): PlannedArena => {
    const { id, hostBytes, live } = arena;
    return { arena: id, hostBytes, liveBytes: live, action: decide(arena, liveShareMin) };
  });
  const leaving = planned.filter(({ action }) => action !== 'keep');
  const bytesToMove = leaving.reduce((sum, arena) => sum + arena.liveBytes, 0);
  const hostBytes = leaving.reduce((sum, arena) => sum + arena.hostBytes, 0);
  return { arenas: planned, bytesToMove, bytesToFree: Math.max(0, hostBytes - bytesToMove) };
}

function decide(arena: SizedArena, liveShareMin: number): PlannedArena['action'] {
  const { hostBytes, live } = arena;
  if (hostBytes - live < DEAD_BYTES_MIN) return 'keep';
  if (live === 0) return 'remove';
  return live < hostBytes * liveShareMin ? 'evacuate' : 'keep';
}
