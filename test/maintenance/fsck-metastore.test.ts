// Goal: each check of the metastore finds what it is there for, and nothing in a sound store.
// Method: a small store of everything; one change by SQL, fsck, and the change is taken back.

import t from 'tap';
import { FileType } from '../../lib/metastore/inodes.ts';
import { SampleIno, SampleStore } from '../support/damage.ts';
import { aDirectory, DAMAGE_CASES } from '../support/damage-cases.ts';

const { FIFO } = SampleIno;

t.test('fsck of the metastore', async (t) => {
  const sample = await SampleStore.create(t.testdir());
  t.teardown(async () => sample.close());
  for (const { check, invariant, why, sql, message } of DAMAGE_CASES) {
    for (const idsPerPass of [undefined, 3]) {
      const { findings } = await sample.fsckAfter(sql, 'full', idsPerPass);
      const found = findings.filter((finding) => finding.check === check);
      const isFound = found.some((one) => one.invariant === invariant && message.test(one.message));
      t.ok(isFound, `${check} finds that ${why}`, { found, wanted: String(message) });
    }
  }
  const { findings } = await sample.fsck('full');
  t.strictSame(findings, [], 'and nothing is left of it');
});

t.test('one finding for a loop, whoever hangs below it', async (t) => {
  const sample = await SampleStore.create(t.testdir());
  t.teardown(async () => sample.close());
  const loop = [60, 61, 62].map((ino, index) => aDirectory(ino, [61, 62, 60][index] ?? 0));
  const below = [70, 71].map((ino, index) => aDirectory(ino, [62, 70][index] ?? 0));
  const { findings } = await sample.fsckAfter([...loop, ...below].join('\n'));
  t.strictSame(
    findings.filter(({ check }) => check === 'directory-tree').map(({ message }) => message),
    ['directory 60 is among its own parents, expected a way to the root'],
  );
});

t.test('the list of findings is bounded and the rest is counted', async (t) => {
  const sample = await SampleStore.create(t.testdir());
  t.teardown(async () => sample.close());
  const { findings, findingsOmitted } = await sample.fsckAfter(
    `WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 349)
     INSERT INTO orphan SELECT i FROM n`,
  );
  t.equal(findings.filter(({ check }) => check === 'link-counts').length, 100);
  t.equal(findingsOmitted, 150);
});

t.test('a file type that nothing has is found whatever the permissions', async (t) => {
  const sample = await SampleStore.create(t.testdir());
  t.teardown(async () => sample.close());
  const mode = FileType.MASK | 0o644;
  const { findings } = await sample.fsckAfter(
    `UPDATE inode SET mode = ${mode} WHERE ino = ${FIFO}`,
  );
  t.ok(findings.some(({ check, message }) => check === 'inode-rows' && /mode is/.test(message)));
});
