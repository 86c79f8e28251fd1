// A chunk without fingerprint is in quarantine: it has no place and nothing stored. A fingerprint in
// quarantine leads to such a chunk, or content that comes again would be given to the wrong one.

import { repairQuarantine } from '../repairs/chunks.ts';
import { restoreQuarantined } from '../repairs/quarantined.ts';
import { defineCheck, type RepairContext } from './check.ts';
import { pages } from './paging.ts';

export const quarantine = defineCheck({
  name: 'quarantine',
  invariant: 'I6',
  level: 'full',
  repair: repairAll,
  async *find(context) {
    const damaged = pages<[id: number, pack: number, index: number, stored: number]>(context, {
      sql: 'SELECT id, pack, idx, stored FROM chunk WHERE h IS NULL AND id > ? ORDER BY id LIMIT ?',
      start: [Number.MIN_SAFE_INTEGER],
      keyOf: ([id]) => [id],
      total: context.metastore.counters.nextChunk,
    });
    for await (const page of damaged) {
      for (const [id, pack, index, stored] of page) {
        if (pack === 0 && index === 0 && stored === 0) continue;
        yield `chunk ${id} is in quarantine, but lies in pack ${pack} with ${stored} bytes stored`;
      }
    }
    const wanted = pages<[h: Buffer, chunk: number]>(context, {
      sql: 'SELECT h, chunk FROM quarantine WHERE h > ? ORDER BY h LIMIT ?',
      start: [Buffer.alloc(0)],
      keyOf: ([h]) => [h],
      total: 1,
    });
    const isDamaged = context.connection
      .prepare('SELECT h IS NULL FROM chunk WHERE id = ?')
      .pluck();
    for await (const page of wanted) {
      for (const [h, chunk] of page) {
        const found = isDamaged.get(chunk) as number | undefined;
        if (found === 1) continue;
        const what = found === undefined ? 'has no row' : 'is in use with another one';
        yield `fingerprint ${h.toString('hex')} is in quarantine for chunk ${chunk}, which ${what}`;
      }
    }
  },
});

async function repairAll(context: RepairContext): Promise<void> {
  await repairQuarantine(context);
  await restoreQuarantined(context);
}
