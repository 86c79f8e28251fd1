// Goal: a synthetic store is a true one, so that what is measured on it counts. Method: a small one,
// with more than one folder above its files, is checked in full: every chunk is read and verified.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import { Shape } from '../../bench/scale/shape.ts';
import { buildStore } from '../../bench/scale/store-builder.ts';
import { silentLog } from '../../lib/log.ts';
import { checkOffline } from '../../lib/store/offline.ts';

const INODES = 103_000;

await t.test('a synthetic store has nothing that fsck could find', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-scale-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const store = join(folder, 'store');
  const shape = new Shape(INODES);
  t.equal(shape.tops, 2);
  t.equal(shape.inodes, 1 + 2 + 103 + 103_000);
  await buildStore(store, shape, { seed: 'test', note: () => undefined });
  const { findings } = await checkOffline(store, { level: 'full', log: silentLog() });
  t.same(findings, []);
});
