// Goal: fsck takes a quarantined chunk for what it is, and tells when quarantine itself is not in order.
// Method: changes by SQL in the sample store.

import t from 'tap';
import { SampleStore } from '../support/damage.ts';

/** Takes a chunk into quarantine as the chunk index does it. */
const QUARANTINE = `
  UPDATE pack SET live = live - 40960, nlive = nlive - 1 WHERE id = 1;
  UPDATE arena SET live = live - 40960 WHERE id = 1;
  UPDATE meta SET v = v - 40960 WHERE k = 'storedBytes';
  UPDATE meta SET v = v + 40960 WHERE k = 'damagedBytes';
  UPDATE meta SET v = v + 1 WHERE k = 'damagedChunks';
  INSERT INTO quarantine SELECT h, id FROM chunk WHERE id = 2;
  UPDATE chunk SET h = NULL, pack = 0, idx = 0, stored = 0 WHERE id = 2;`;

const CASES: { sql: string; check: string | undefined; why: string }[] = [
  { sql: '', check: undefined, why: 'a quarantined chunk is no finding' },
  { sql: 'DELETE FROM quarantine', check: undefined, why: 'nor one whose content nobody knows' },
  {
    sql: 'UPDATE chunk SET pack = 2 WHERE id = 2',
    check: 'quarantine',
    why: 'it has a place',
  },
  {
    sql: 'UPDATE quarantine SET chunk = 3',
    check: 'quarantine',
    why: 'the fingerprint leads to a chunk in use',
  },
  {
    sql: 'UPDATE quarantine SET chunk = 999',
    check: 'quarantine',
    why: 'the fingerprint leads nowhere',
  },
  {
    sql: "UPDATE meta SET v = v + 1 WHERE k = 'damagedChunks'",
    check: 'totals',
    why: 'they are counted',
  },
];

t.test('quarantine in order and out of order', async (t) => {
  const sample = await SampleStore.create(t.testdir());
  t.teardown(async () => sample.close());
  for (const { sql, check, why } of CASES) {
    const { findings } = await sample.fsckAfter(`${QUARANTINE}; ${sql}`);
    t.strictSame(
      [...new Set(findings.map((one) => one.check))],
      check === undefined ? [] : [check],
      why,
    );
  }
});
