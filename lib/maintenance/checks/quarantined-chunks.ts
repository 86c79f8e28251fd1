// A chunk without a fingerprint is a quarantined one and has no record; what is remembered of such
// chunks belongs to one, and its content is not in the store again.

import { repairQuarantine } from '../repairs/chunks.ts';
import { defineCheck } from './check.ts';
import { pages } from './paging.ts';

export const quarantinedChunks = defineCheck({
  name: 'quarantined-chunks',
  invariant: 'I1',
  level: 'full',
  repair: repairQuarantine,
  async *find(context) {
    const chunks = pages<[id: number, pack: number]>(context, {
      sql: `SELECT id, pack FROM chunk WHERE id > ? AND h IS NULL
            AND (pack <> 0 OR idx <> 0 OR stored <> 0) ORDER BY id LIMIT ?`,
      start: [Number.MIN_SAFE_INTEGER],
      keyOf: ([id]) => [id],
      total: context.metastore.counters.nextChunk,
    });
    for await (const page of chunks) {
      for (const [id, pack] of page) {
        yield `chunk ${id} has no fingerprint and names a record in pack ${pack}, expected none`;
      }
    }
    const remembered = pages<[h: Buffer, chunk: number, isQuarantined: number]>(context, {
      sql: `SELECT q.h, q.chunk, EXISTS (SELECT 1 FROM chunk AS c WHERE c.id = q.chunk AND c.h IS NULL)
            FROM quarantine AS q WHERE q.h > ? ORDER BY q.h LIMIT ?`,
      start: [Buffer.alloc(0)],
      keyOf: ([h]) => [h],
      total: context.metastore.counters.nextChunk,
    });
    const known = context.connection.prepare('SELECT id FROM chunk WHERE h = ?').pluck();
    for await (const page of remembered) {
      for (const [h, chunk, isQuarantined] of page) {
        if (isQuarantined === 0) yield `chunk ${chunk} is remembered as bad and is not quarantined`;
        const again = known.get(h) as number | undefined;
        if (again !== undefined)
          yield `chunk ${chunk} is quarantined, chunk ${again} has its content`;
      }
    }
  },
});
