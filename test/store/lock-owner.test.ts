// Goal: who finds a store locked is told the right owner, whatever the mount point is called.

import t from 'tap';
import { readOwner, StoreLock } from '../../lib/store/lock.ts';

t.test('a mount point that is not ASCII is told as it is', async (t) => {
  const path = t.testdir();
  const mountpoint = '/mnt/\u00e9\u4e2d';
  const lock = await StoreLock.acquire(path, mountpoint);
  t.teardown(() => lock.release());
  t.strictSame(readOwner(path), { pid: process.pid, mountpoint });
});
