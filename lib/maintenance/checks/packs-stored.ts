// Every pack in which something is live lies in its arena, whole as far as its header and directory tell, and
// was put for a commit that happened. The records themselves are verified by scrub.

import { Pack } from '../../blockstore/pack.ts';
import { CorruptionError, describeError } from '../../errors.ts';
import { loadCounters } from '../../metastore/counters.ts';
import { repairPacksStored } from '../repairs/packs.ts';
import { soundArenas } from './arena-file.ts';
import { defineCheck, type ArenaReader, type CheckContext } from './check.ts';

/** Each may be a read from disk. */
const PACKS_PER_TURN = 32;

export const packsStored = defineCheck({
  name: 'packs-stored',
  invariant: 'I1',
  level: 'full',
  repair: repairPacksStored,
  async *find(context) {
    const { batch, packs } = loadCounters(context.connection);
    const page = context.connection
      .prepare('SELECT id, bytes, nlive FROM pack WHERE arena = ? AND id > ? ORDER BY id LIMIT ?')
      .raw();
    let done = 0;
    for (const arena of soundArenas(context)) {
      let rows: [id: number, bytes: number, nlive: number][];
      let after = -1;
      do {
        rows = page.all(arena, after, PACKS_PER_TURN) as typeof rows;
        for (const [id, bytes, nlive] of rows) {
          yield* findInPack(context, { arena, id, bytes, nlive, batch });
        }
        after = rows.at(-1)?.[0] ?? after;
        done += rows.length;
        context.progress(done, packs);
        await context.turn();
      } while (rows.length === PACKS_PER_TURN);
    }
  },
});

/** Synchronous, and complete before the messages go out: the pack's bytes are a short-lived view. */
function findInPack(
  { blockStore }: CheckContext,
  row: {
    readonly arena: number;
    readonly id: number;
    readonly bytes: number;
    readonly nlive: number;
    readonly batch: number;
  },
): string[] {
  const found: string[] = [];
  try {
    const pack = new Pack(blockStore.read(row.arena, row.id), row.id);
    const stored = pack.entries().reduce((sum, entry) => sum + entry.storedBytes, 0);
    if (stored !== row.bytes) {
      found.push(`pack ${row.id} has ${stored} bytes of chunks, its row says ${row.bytes}`);
    }
    if (pack.header.batch > row.batch) {
      found.push(
        `pack ${row.id} is of batch ${pack.header.batch}, the last commit was ${row.batch}`,
      );
    }
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    // A damaged pack that nothing needs goes with its arena. A missing one has no business with a row.
    if (row.nlive === 0 && holds(blockStore, row.arena, row.id)) return found;
    found.push(`pack ${row.id} of arena ${row.arena}: ${describeError(error)}`);
  }
  return found;
}

function holds(blockStore: ArenaReader, arena: number, id: number): boolean {
  for (const found of blockStore.arena(arena).packIds(id)) return found === id;
  return false;
}
