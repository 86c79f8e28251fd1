// Goal: the channel reads until there is nothing, hands messages on without copying, pauses when no
// slab is free, and ends once, for the right reason.

import t, { type Test } from 'tap';
import { Errno } from '../../lib/errno.ts';
import { Channel, type Device, type EndReason } from '../../lib/kernel/channel.ts';
import { silentLog } from '../../lib/log.ts';
import { PAYLOAD_OFFSET, SlabPool, type Slab } from '../../lib/slab-pool.ts';

const FD = 77;

/** A device whose reads give what the test put in: messages or negative errnos. */
class FakeDevice implements Device {
  readonly incoming: (Buffer | number)[] = [];
  readonly sent: string[] = [];
  isPolling = false;
  isPollerClosed = false;
  closedFd: number | undefined;
  #callback: (status: number) => void = () => undefined;

  read(_fd: number, buffer: Uint8Array, offset: number, bytes: number): number {
    if (bytes < 1024 * 1024 + 80) return -Errno.EINVAL;
    const next = this.incoming.shift() ?? -Errno.EAGAIN;
    if (typeof next === 'number') return next;
    buffer.set(next, offset);
    return next.length;
  }

  writev(_fd: number, header: Uint8Array, headerBytes: number, body?: Uint8Array): number {
    const text = Buffer.from(header.subarray(0, headerBytes)).toString();
    this.sent.push(text + (body === undefined ? '' : Buffer.from(body).toString()));
    return headerBytes;
  }

  createPoller(_fd: number, callback: (status: number) => void) {
    this.#callback = callback;
    return {
      start: () => void (this.isPolling = true),
      stop: () => void (this.isPolling = false),
      close: () => void (this.isPollerClosed = true),
    };
  }

  close(fd: number): void {
    this.closedFd = fd;
  }

  /** What the event loop does when the descriptor is readable. */
  poll(): void {
    if (this.isPolling) this.#callback(0);
  }
}

function opened(_: Test, slabsMax = 4, stepMs = 0.01) {
  const device = new FakeDevice();
  const pool = new SlabPool(slabsMax);
  // Time goes on as it is asked for, also while other programs have the processor.
  let time = 0;
  const nowMs = (): number => (time += stepMs);
  const channel = new Channel({ device, fd: FD, pool, log: silentLog(), nowMs });
  const received: { text: string; start: number; slab: Slab }[] = [];
  const sink = { isBusy: false };
  channel.start({
    handle(message, start, length, slab) {
      received.push({ text: message.bytes.toString('latin1', start, start + length), start, slab });
      if (message.bytes[start] === 'R'.charCodeAt(0)) slab.retain();
    },
    isWaiting: () => sink.isBusy,
  });
  return { device, pool, channel, received, sink };
}

t.test('messages are read until there is nothing, into one slab', (t) => {
  const { device, received, pool } = opened(t);
  device.incoming.push(Buffer.from('one'), Buffer.from('two'));
  device.poll();
  t.strictSame(
    received.map(({ text }) => text),
    ['one', 'two'],
  );
  t.equal(received[0]?.slab, received[1]?.slab);
  t.equal(received[0]?.start, PAYLOAD_OFFSET - 80, 'a payload behind 80 bytes is page-aligned');
  t.equal(pool.freeCount, 3);
  t.end();
});

t.test('a slab that the handler retained is left to it', (t) => {
  const { device, received } = opened(t);
  device.incoming.push(Buffer.from('R1'), Buffer.from('R2'));
  device.poll();
  t.not(received[0]?.slab, received[1]?.slab);
  t.equal(received[0]?.slab.references, 1, 'only the handler has it');
  t.end();
});

t.test('an event handles a bounded number of messages', (t) => {
  const { device, received } = opened(t);
  for (let index = 0; index < 100; index += 1) device.incoming.push(Buffer.from('m'));
  device.poll();
  t.ok(received.length <= 64);
  while (device.incoming.length > 0) device.poll();
  t.equal(received.length, 100);
  t.end();
});

t.test('an event takes a bounded time', (t) => {
  const { device, received } = opened(t, 4, 1);
  for (let index = 0; index < 100; index += 1) device.incoming.push(Buffer.from('m'));
  device.poll();
  t.equal(received.length, 3, 'each takes a millisecond');
  t.end();
});

t.test('a request that comes a moment later is still taken', (t) => {
  const { device, received } = opened(t);
  device.incoming.push(Buffer.from('one'), -Errno.EAGAIN, Buffer.from('two'));
  device.poll();
  t.equal(received.length, 2);
  t.end();
});

t.test('nobody waits for a next request while others wait for the event loop', (t) => {
  const { device, received, sink } = opened(t);
  sink.isBusy = true;
  device.incoming.push(Buffer.from('one'), -Errno.EAGAIN, Buffer.from('two'));
  device.poll();
  t.equal(received.length, 1);
  t.end();
});

t.test('after vain waits the next ones are left out', (t) => {
  const { device, received } = opened(t);
  device.incoming.push(Buffer.from('one'));
  device.poll();
  device.incoming.push(Buffer.from('two'), -Errno.EAGAIN, Buffer.from('three'));
  device.poll();
  t.equal(received.length, 2);
  device.poll();
  t.equal(received.length, 3);
  t.end();
});

t.test('ENOENT and EINTR are read again', (t) => {
  const { device, received } = opened(t);
  device.incoming.push(-Errno.ENOENT, -Errno.EINTR, Buffer.from('m'));
  device.poll();
  t.equal(received.length, 1);
  t.end();
});

t.test('without a free slab polling stops, and goes on when one is free', (t) => {
  const { device, received } = opened(t, 2);
  device.incoming.push(Buffer.from('R1'), Buffer.from('R2'), Buffer.from('m3'));
  device.poll();
  t.equal(received.length, 2);
  t.notOk(device.isPolling);
  received[0]?.slab.release();
  t.ok(device.isPolling);
  device.poll();
  t.equal(received[2]?.text, 'm3');
  t.end();
});

t.test('the end: why, and everything given back', async (t) => {
  const cases: { errno: number; want: EndReason }[] = [
    { errno: Errno.ENODEV, want: 'unmounted' },
    { errno: Errno.ECONNABORTED, want: 'aborted' },
    { errno: Errno.EPERM, want: 'aborted' },
  ];
  for (const { errno, want } of cases) {
    const { device, channel, pool } = opened(t);
    device.incoming.push(-errno);
    device.poll();
    t.equal(await channel.ended, want);
    t.ok(channel.isEnded);
    t.ok(device.isPollerClosed);
    t.equal(device.closedFd, FD);
    t.equal(pool.freeCount, 4);
    channel.abort();
    t.equal(channel.send(Buffer.alloc(16), 16), -Errno.ENODEV, 'the number may be another file');
    t.strictSame(device.sent, []);
  }
});

t.test('an end while paused is quiet', async (t) => {
  const { device, channel, received } = opened(t, 2);
  device.incoming.push(Buffer.from('R1'), Buffer.from('R2'));
  device.poll();
  channel.abort();
  received[0]?.slab.release();
  t.notOk(device.isPolling);
  t.equal(await channel.ended, 'aborted');
});

t.test('replies are written in one piece', (t) => {
  const { device, channel } = opened(t);
  channel.send(Buffer.from('header..'), 6);
  channel.send(Buffer.from('header..'), 6, Buffer.from('body'), 0, 4);
  t.strictSame(device.sent, ['header', 'headerbody']);
  t.end();
});
