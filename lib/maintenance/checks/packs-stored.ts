// Every pack in which something is live lies in its arena, whole as far as its header and directory tell, and
// was put for a commit that happened. The records themselves are verified by scrub.

import { Pack } from '../../blockstore/pack.ts';
import { CorruptionError, describeError } from '../../errors.ts';
import { loadCounters } from '../../metastore/counters.ts';
import { soundArenas } from './arena-file.ts';
import { defineCheck, type CheckContext } from './check.ts';

/** Each may be a read from disk. */
const PACKS_PER_TURN = 32;

export const packsStored = defineCheck({
  name: 'packs-stored',
  invariant: 'I1',
  level: 'full',
  async *find(context) {
    const { batch, packs } = loadCounters(context.connection);
    const page = context.connection
      .prepare(
        'SELECT id, bytes FROM pack WHERE arena = ? AND id > ? AND nlive > 0 ORDER BY id LIMIT ?',
      )
      .raw();
    let done = 0;
    for (const arena of soundArenas(context)) {
      let rows: [id: number, bytes: number][];
      let after = -1;
      do {
        rows = page.all(arena, after, PACKS_PER_TURN) as typeof rows;
        for (const [id, bytes] of rows) yield* findInPack(context, { arena, id, bytes, batch });
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
    found.push(`pack ${row.id} of arena ${row.arena}: ${describeError(error)}`);
  }
  return found;
}
