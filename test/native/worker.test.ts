// Goal: every worker thread can load the addon and use it on shared memory.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';

import { native, type CutParameters } from '../../lib/native.ts';
import { referenceCut } from '../support/reference-cutter.ts';
import { chooseSeed, Random } from './random.ts';

const nativeUrl = new URL('../../lib/native.js', import.meta.url).href;

const code = `
  const { native } = await import(${JSON.stringify(nativeUrl)});
  const { parentPort, workerData } = await import('node:worker_threads');
  const { shared, parameters } = workerData;
  const ends = new Uint32Array(1000);
  const bytes = Buffer.from(shared);
  const count = native.cutChunks(bytes, 0, bytes.length, parameters, true, ends);
  parentPort.postMessage({ ends: [...ends.subarray(0, count)], kind: native.cutterKind() });
`;

t.test('workers cut the memory they share with the main thread', async (t) => {
  const seed = chooseSeed();
  t.comment(`DEDUPFS_TEST_SEED=${seed}`);
  const shared = new SharedArrayBuffer(100_000);
  const bytes = Buffer.from(shared);
  bytes.set(new Random(seed).bytes(bytes.length, 'even'));
  const parameters: CutParameters = { bytesMin: 700, bytesMax: 2100, multiplier: 77, addend: 5 };
  const want = referenceCut(bytes, parameters, { from: 0, to: bytes.length, isFinal: true });
  const source = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  const workers = [1, 2, 3].map(() => new Worker(source, { workerData: { shared, parameters } }));
  for (const [answer] of await Promise.all(workers.map((worker) => once(worker, 'message')))) {
    t.same(answer, { ends: want, kind: native.cutterKind() });
  }
});
