// Goal: buffers are bounded, reused, and handed to waiters in order.

import t from 'tap';
import { ReplyBuffers } from '../../lib/kernel/reply-buffers.ts';

t.test('header and payload are back to back, the payload at the start of a page', (t) => {
  const buffer = new ReplyBuffers({ countMax: 1, payloadBytes: 4096 }).acquire();
  t.equal(buffer?.payload.length, 4096);
  t.equal((buffer?.payload.byteOffset ?? 1) % 4096, 0);
  t.equal(buffer?.framed.bytes.byteOffset, (buffer?.payload.byteOffset ?? 0) - 16);
  t.equal(buffer?.framed.view.byteOffset, buffer?.framed.bytes.byteOffset);
  t.end();
});

t.test('no more than countMax; waiters are served in order', async (t) => {
  const buffers = new ReplyBuffers({ countMax: 2, payloadBytes: 16 });
  const first = buffers.acquire();
  const second = buffers.acquire();
  t.equal(buffers.acquire(), undefined);
  if (first === undefined || second === undefined) throw new Error('two there are');
  const waiters = [buffers.whenFree(), buffers.whenFree()];
  buffers.release(second);
  buffers.release(first);
  t.equal(await waiters[0], second);
  t.equal(await waiters[1], first);
  t.equal(buffers.acquire(), undefined, 'both are out again');
  buffers.release(first);
  t.equal(buffers.acquire(), first);
});
