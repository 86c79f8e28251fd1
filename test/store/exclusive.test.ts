// Goal: who needs the store for himself (fsck, a metadata checkpoint) gets it while others write without
// a pause, and they go on afterwards.

import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { assertStoreClean, openFresh } from '../support/open-store.ts';

t.test('fsck and a metadata checkpoint come to their turn under steady writes', async (t) => {
  const { driver, store } = await openFresh(t);
  let isDone = false;
  let written = 0;
  const write = async (): Promise<void> => {
    while (!isDone) {
      await driver.put(`file ${written}`, Buffer.from(`content ${written}`));
      written += 1;
      await setImmediate();
    }
  };
  const writing = write();
  while (written < 20) await setImmediate();
  const report = await store.fsck({ level: 'full' });
  const checkpoint = await store.checkpoint();
  const before = written;
  t.same(report.findings, []);
  t.ok(checkpoint.bytesWritten > 0);
  while (written < before + 20) await setImmediate();
  t.pass('writes go on');
  isDone = true;
  await writing;
  await assertStoreClean(t, store);
});
