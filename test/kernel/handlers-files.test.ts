// Goal: requests about open files reach the filesystem as meant; reads wait for buffers, not forever.

import t from 'tap';
import { Errno } from '../../lib/errno.ts';
import type { CopyArguments, FileHandle, FileSystem } from '../../lib/filesystem/contract.ts';
import * as replies from '../../lib/protocol/reply-structs.ts';
import * as requests from '../../lib/protocol/request-structs.ts';
import { build, FakeKernel, nul, parse } from '../support/fake-kernel.ts';
import { fakeFileSystem } from './fake-filesystem.ts';

function served(replacements: Partial<FileSystem> = {}) {
  const fs = fakeFileSystem(replacements);
  const kernel = new FakeKernel(fs);
  t.teardown(() => kernel.session.end());
  kernel.init();
  const created = kernel.create(1, 'file');
  const ino = parse(replies.entryOut, created.body)['nodeid'] ?? 0;
  const { fh = 0, open_flags: openFlags = 0 } = parse(replies.openOut, created.body, 128);
  return { fs, kernel, ino, fh, openFlags };
}

t.test('writers bypass the cache, readers keep it', async (t) => {
  const { kernel, ino, openFlags } = served();
  t.equal(openFlags, 1 | 64, 'CREATE for writing');
  const cases = [
    { flags: 0, want: 2 | 32 },
    { flags: 0o100000, want: 2 | 32 },
    { flags: 1, want: 1 | 64 },
    { flags: 2, want: 1 | 64 },
    { flags: 0o2001, want: 1 | 64 },
  ];
  for (const { flags, want } of cases) {
    const { body } = await kernel.open(ino, flags);
    t.match(parse(replies.openOut, body), { open_flags: want, backing_id: 0 });
  }
});

t.test('what the kernel may answer reads from is up to the filesystem', async (t) => {
  const wanted = { keep: 2 | 32, renew: 32, none: 1 | 32 };
  for (const [caching, want] of Object.entries(wanted)) {
    const { kernel, ino } = served({
      open: () => ({ fh: 9 as FileHandle, caching: caching as keyof typeof wanted }),
    });
    const { body } = await kernel.open(ino, 0);
    t.match(parse(replies.openOut, body), { open_flags: want }, caching);
  }
});

t.test('a write lands at the start of a page of its slab', async (t) => {
  const seen: unknown[] = [];
  const { kernel, ino, fh } = served({
    write(handle, { slab, offset, bytes }, { offset: at, flags, killSuidgid }) {
      const text = slab.bytes.toString('latin1', offset, offset + bytes);
      seen.push([handle, text, offset % 4096, at, flags, killSuidgid]);
      return bytes;
    },
  });
  const { errno, body } = await kernel.write(ino, fh, 2 ** 33, Buffer.from('data'));
  t.equal(errno, 0);
  t.match(parse(replies.writeOut, body), { size: 4, padding: 0 });
  t.strictSame(seen, [[fh, 'data', 0, 2 ** 33, 0, false]]);
});

t.test('a synchronous write is answered when it is durable', async (t) => {
  const O_DSYNC = 0o10000;
  let makeDurable = (): void => undefined;
  const { kernel, ino, fh } = served({
    fsync: async () => new Promise((resolve) => (makeDurable = resolve)),
  });
  const plain = await kernel.write(ino, fh, 0, Buffer.from('plain'), 0o1);
  t.match(parse(replies.writeOut, plain.body), { size: 5 }, 'at once');
  let isAnswered = false;
  const reply = kernel.write(ino, fh, 0, Buffer.from('safe'), 0o1 | O_DSYNC);
  void reply.then(() => (isAnswered = true));
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(isAnswered, 'not before');
  makeDurable();
  t.match(parse(replies.writeOut, (await reply).body), { size: 4 });
});

t.test('a synchronous write that cannot be made durable fails', async (t) => {
  const { kernel, ino, fh } = served({ fsync: () => Promise.reject(new Error('no disk')) });
  const { errno } = await kernel.write(ino, fh, 0, Buffer.from('safe'), 0o1 | 0o10000);
  t.equal(errno, Errno.EIO);
});

t.test('reads: full, short, at the end, later, and failing', async (t) => {
  const fill = (into: Buffer, text: string): number => into.write(text, 'latin1');
  const cases: { read: FileSystem['read']; want: string | number }[] = [
    { read: (_fh, _offset, into) => fill(into, 'now'), want: 'now' },
    { read: () => 0, want: '' },
    { read: (_fh, _offset, into) => Promise.resolve(fill(into, 'later')), want: 'later' },
    { read: () => Promise.reject(new Error('bug')), want: Errno.EIO },
    {
      read: () => {
        throw new Error('bug');
      },
      want: Errno.EIO,
    },
  ];
  for (const { read, want } of cases) {
    const { kernel, ino, fh } = served({ read });
    const reply = await kernel.read(ino, fh, 0, 4096);
    t.equal(typeof want === 'number' ? reply.errno : reply.body.toString('latin1'), want);
  }
});

t.test('more reads than buffers wait for a buffer, in order', async (t) => {
  const pending: { resolve: (bytes: number) => void; into: Buffer }[] = [];
  const { kernel, ino, fh, fs } = served({
    read: (_fh, _offset, into) => new Promise((resolve) => pending.push({ resolve, into })),
  });
  fs.calls.length = 0;
  const reads = Array.from({ length: 40 }, (_, index) => kernel.read(ino, fh, index, 8));
  t.equal(pending.length, 16, 'as many as there are buffers');
  let done = 0;
  while (done < reads.length) {
    const next = pending[done];
    next?.into.writeUInt32LE(done, 0);
    next?.resolve(4);
    const { body } = await (reads[done] ?? Promise.reject(new Error('no such read')));
    t.equal(body.readUInt32LE(), done);
    done += 1;
    await new Promise(setImmediate);
  }
  t.equal(kernel.session.inFlightCount, 0);
});

t.test('a READ that no buffer can hold is EINVAL', async (t) => {
  const { kernel, ino, fh } = served();
  t.equal((await kernel.read(ino, fh, 0, 257 * 4096)).errno, 0);
  t.equal((await kernel.read(ino, fh, 0, 257 * 4096 + 1)).errno, Errno.EINVAL);
});

t.test('FLUSH, FSYNC, FSYNCDIR, SYNCFS and RELEASE', async (t) => {
  const { kernel, ino, fh, fs } = served();
  fs.calls.length = 0;
  const flush = await kernel.call('FLUSH', {
    nodeid: ino,
    body: [build(requests.flushIn, { fh })],
  });
  const sync = [build(requests.fsyncIn, { fh })];
  const results = [
    flush,
    await kernel.fsync(ino, fh),
    await kernel.call('FSYNCDIR', { body: sync }),
    await kernel.call('SYNCFS', { body: [build(requests.syncfsIn)] }),
    await kernel.release(ino, fh),
  ];
  for (const { errno, body } of results) t.strictSame([errno, body.length], [0, 0]);
  t.strictSame(fs.calls, ['flush', 'fsync', 'syncDirectory', 'syncAll', 'release']);
});

t.test('an unnamed file has no name to check', (t) => {
  const { kernel, fs } = served();
  const body = [build(requests.createIn, { flags: 2, mode: 0o100600 }), nul('/')];
  const reply = kernel.callSync('TMPFILE', { body });
  t.equal(reply.body.length, 144);
  t.equal(parse(replies.entryOut, reply.body).nested['attr']?.['nlink'], 0);
  t.match(fs.calls.at(-1), 'makeTemporary');
  t.end();
});

t.test('copies: counted in 32 bits up to 1 GiB, in 64 bits whole, now or later', async (t) => {
  const asked: CopyArguments[] = [];
  const { kernel, ino } = served({
    copyRange(copy) {
      asked.push(copy);
      return asked.length % 2 === 0 ? Promise.resolve(copy.bytes) : copy.bytes;
    },
  });
  const fields = { off_in: 1, nodeid_out: ino, off_out: 2, len: 5 * 2 ** 30 };
  const body = [build(requests.copyFileRangeIn, fields)];
  for (const _ of [1, 2]) {
    const small = await kernel.call('COPY_FILE_RANGE', { nodeid: ino, body });
    t.match(parse(replies.writeOut, small.body), { size: 2 ** 30 });
    const large = await kernel.call('COPY_FILE_RANGE_64', { nodeid: ino, body });
    t.match(parse(replies.copyFileRangeOut, large.body), { bytes_copied: 5 * 2 ** 30 });
  }
  t.match(asked[0], { from: { ino, offset: 1 }, to: { ino, offset: 2 }, bytes: 2 ** 30 });
});

t.test('LSEEK, FALLOCATE and STATFS', async (t) => {
  const { kernel, ino, fh } = served();
  const allocate = [build(requests.fallocateIn, { fh, length: 100 })];
  t.equal(kernel.callSync('FALLOCATE', { nodeid: ino, body: allocate }).errno, 0);
  const seek = (offset: number, whence: number) =>
    kernel.callSync('LSEEK', {
      nodeid: ino,
      body: [build(requests.lseekIn, { fh, offset, whence })],
    });
  t.match(parse(replies.lseekOut, seek(10, 4).body), { offset: 100 });
  t.equal(seek(100, 3).errno, Errno.ENXIO);
  t.match(parse(replies.kstatfs, kernel.callSync('STATFS').body), { bsize: 4096, namelen: 255 });
});

t.test('a write that fails says why', async (t) => {
  const { kernel, ino } = served();
  const stranger = 999 as FileHandle;
  t.equal((await kernel.write(ino, stranger, 0, Buffer.of(1))).errno, Errno.EBADF);
});
