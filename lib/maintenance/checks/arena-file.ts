// Which arenas the checks may open.

import { arenaFileDefect } from '../../blockstore/arena-file.ts';
import type { CheckContext } from './check.ts';

/** Why the arena cannot be opened; undefined when it can. */
export function arenaDefect(context: CheckContext, arenaId: number): string | undefined {
  return arenaFileDefect(context.blockStore.path(arenaId));
}

/** Ids of arenas that have a row and can be opened. */
export function soundArenas(context: CheckContext): number[] {
  const ids = context.connection.prepare('SELECT id FROM arena ORDER BY id').pluck().all();
  return (ids as number[]).filter((id) => arenaDefect(context, id) === undefined);
}
