// Goal: a worker that dies takes writing with it, loudly, and nothing else.
// Method: every thread that the store starts is ended while all slabs are in use.

import workerThreads from 'node:worker_threads';
import { syncBuiltinESMExports } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { PAYLOAD_OFFSET } from '../../lib/slab-pool.ts';
import { failureIn } from '../support/faults.ts';
import { openFresh } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;

t.test('after a worker died reads go on, and lost bytes are told', async (t) => {
  const workers: workerThreads.Worker[] = [];
  const { Worker } = workerThreads;
  workerThreads.Worker = class extends Worker {
    constructor(...values: ConstructorParameters<typeof Worker>) {
      super(...values);
      workers.push(this);
    }
  };
  syncBuiltinESMExports();
  t.teardown(() => {
    workerThreads.Worker = Worker;
    syncBuiltinESMExports();
  });
  const { driver, pool, store } = await openFresh(t);
  await driver.put('kept', randomBytesOf('kept', MIB));
  await store.commit();
  const { fh } = await driver.create('lost');
  let offset = 0;
  for (let slab = pool.acquire(); slab !== undefined; slab = pool.acquire()) {
    slab.bytes.set(randomBytesOf(offset, MIB), PAYLOAD_OFFSET);
    const write = { offset, flags: 0, killSuidgid: false };
    const payload = { slab, offset: PAYLOAD_OFFSET, bytes: MIB };
    store.filesystem.write(fh, payload, write, { uid: 0, gid: 0, pid: 0 });
    slab.release();
    offset += MIB;
  }
  t.ok(workers.length > 0);
  for (const worker of workers) await worker.terminate();
  for (let turn = 0; turn < 300 && pool.freeCount < pool.slabsMax; turn += 1) await delay(10);
  t.equal(pool.freeCount, pool.slabsMax, 'every slab is free again: requests can be received');
  t.match(store.statistics().readOnlyReason, /worker|ingest/);
  t.ok((await driver.get('kept')).equals(randomBytesOf('kept', MIB)));
  t.match(await failureIn(driver.read(fh, 0, 1000)), { code: 'EIO' }, 'lost bytes are not zeros');
  t.throws(() => store.filesystem.flush(fh), { code: 'EIO' }, 'and close says so');
  t.match(await failureIn(driver.create('more')), { code: 'EROFS' });
});
