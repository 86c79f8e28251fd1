// Goal: whatever a request is and whatever its handler does, the kernel gets exactly one reply where
// it wants one, and what mutates waits for the gate, in order.

import t, { type Test } from 'tap';
import { Errno } from '../../lib/errno.ts';
import { NoSpaceError, noRoomYet, posixError } from '../../lib/errors.ts';
import type { FileHandle, FileSystem } from '../../lib/filesystem/contract.ts';
import { Opcode, type OpcodeName } from '../../lib/protocol/opcodes.ts';
import { initOut } from '../../lib/protocol/reply-structs.ts';
import { SetattrValid } from '../../lib/protocol/flags.ts';
import * as requests from '../../lib/protocol/request-structs.ts';
import { SlabPool } from '../../lib/slab-pool.ts';
import {
  build,
  FakeKernel,
  nul,
  parse,
  requestMessage,
  wantsReply,
} from '../support/fake-kernel.ts';
import { fakeFileSystem } from './fake-filesystem.ts';

function served(t: Test, replacements: Partial<FileSystem> = {}) {
  const fs = fakeFileSystem(replacements);
  const kernel = new FakeKernel(fs);
  t.teardown(() => kernel.session.end());
  kernel.init();
  return { fs, kernel };
}

const openFlags = (flags: number) => ({ body: [build(requests.openIn, { flags })] });

t.test('the handshake makes the session ready', async (t) => {
  const kernel = new FakeKernel(fakeFileSystem());
  t.teardown(() => kernel.session.end());
  t.equal(kernel.session.state, 'new');
  const reply = kernel.init();
  t.match(parse(initOut, reply.body), { major: 7, minor: 45, max_write: 1024 * 1024 });
  t.match(await kernel.session.ready, { minor: 45 });
  t.equal(kernel.session.state, 'serving');
  t.equal(kernel.init().errno, Errno.EIO, 'only once');
});

t.test('before the handshake every request fails', (t) => {
  const kernel = new FakeKernel(fakeFileSystem());
  t.teardown(() => kernel.session.end());
  t.equal(kernel.lookup(1, 'a').errno, Errno.EIO);
  const forget = kernel.post('FORGET', { body: [build(requests.forgetIn, { nlookup: 1 })] });
  t.equal(kernel.repliesTo(forget).length, 0);
  t.end();
});

t.test('a kernel with a newer major is told ours, and asked again', (t) => {
  const kernel = new FakeKernel(fakeFileSystem());
  t.teardown(() => kernel.session.end());
  const newer = kernel.callSync('INIT', { body: [build(requests.initIn, { major: 8 })] });
  t.match(parse(initOut, newer.body), { major: 7, minor: 45, flags: 0 });
  t.equal(kernel.session.state, 'new');
  t.equal(kernel.init().errno, 0);
  t.end();
});

t.test('a kernel that is too old is refused, with the reason', async (t) => {
  const kernel = new FakeKernel(fakeFileSystem());
  const old = build(requests.initIn, { major: 7, minor: 26 });
  t.equal(kernel.callSync('INIT', { body: [old] }).errno, Errno.EPROTO);
  await t.rejects(kernel.session.ready, /FUSE 7.26, dedupfs needs 7.31/);
});

t.test('a session that ends before the handshake is not ready', async (t) => {
  const kernel = new FakeKernel(fakeFileSystem());
  kernel.session.end();
  await t.rejects(kernel.session.ready, { code: 'DEDUPFS_MOUNT_FAILED' });
});

t.test(
  'what finds no room is tried once more when all is stored and the gate is open',
  async (t) => {
    const cases = [
      { why: 'there is room by then', fullFor: 1, commit: 'done', want: 0, tries: 2 },
      { why: 'there is none', fullFor: 9, commit: 'done', want: Errno.ENOSPC, tries: 2 },
      { why: 'nothing can be stored', fullFor: 9, commit: 'full', want: Errno.ENOSPC, tries: 1 },
    ];
    for (const { why, fullFor, commit, want, tries } of cases) {
      const sizes: number[] = [];
      const { fs, kernel } = served(t, {
        write: (_, { bytes }) => {
          sizes.push(bytes);
          if (sizes.length <= fullFor) throw noRoomYet;
          return bytes;
        },
        syncAll: async () => {
          if (commit === 'full') throw new NoSpaceError('full');
          fs.gate.isOpen = false;
        },
      });
      const body = [build(requests.writeIn, { fh: 1, size: 5 }), Buffer.from('bytes')];
      const unique = kernel.post('WRITE', { body });
      const replies = () => kernel.repliesTo(unique).map(({ errno }) => errno);
      t.strictSame(replies(), [], 'not at once');
      await new Promise(setImmediate);
      fs.gate.open();
      t.strictSame(replies(), [want], why);
      t.strictSame(
        sizes,
        Array.from({ length: tries }, () => 5),
      );
    }
  },
);

t.test('while a store stays full, not each write brings on a commit', async (t) => {
  let [tries, commits] = [0, 0];
  const { fs, kernel } = served(t, {
    write: () => {
      tries += 1;
      throw noRoomYet;
    },
    syncAll: async () => void (commits += 1),
  });
  const body = [build(requests.writeIn, { fh: 1, size: 5 }), Buffer.from('bytes')];
  const write = async (): Promise<number[]> => {
    const unique = kernel.post('WRITE', { body });
    await new Promise(setImmediate);
    fs.gate.open();
    return kernel.repliesTo(unique).map(({ errno }) => errno);
  };
  for (let count = 0; count < 5; count += 1) t.strictSame(await write(), [Errno.ENOSPC]);
  t.strictSame([commits, tries], [1, 6]);
  await new Promise((resolve) => setTimeout(resolve, 1050));
  t.strictSame(await write(), [Errno.ENOSPC]);
  t.strictSame([commits, tries], [2, 8], 'tried once more a second later');
});

t.test('one reply for each way to end, at once or later', async (t) => {
  const cases: { why: string; fsync: () => Promise<void>; want: number }[] = [
    { why: 'resolves', fsync: async () => undefined, want: 0 },
    {
      why: 'rejects with an errno',
      fsync: () => Promise.reject(posixError(Errno.EROFS)),
      want: Errno.EROFS,
    },
    {
      why: 'rejects with no space',
      fsync: () => Promise.reject(new NoSpaceError('full')),
      want: Errno.ENOSPC,
    },
    {
      why: 'rejects with a bug',
      fsync: () => Promise.reject(new TypeError('bug')),
      want: Errno.EIO,
    },
    {
      why: 'throws',
      fsync: () => {
        throw new RangeError('bug');
      },
      want: Errno.EIO,
    },
  ];
  for (const { why, fsync, want } of cases) {
    const { kernel } = served(t, { fsync });
    const unique = kernel.post('FSYNC', { body: [build(requests.fsyncIn, { fh: 1 })] });
    await new Promise(setImmediate);
    t.strictSame(
      kernel.repliesTo(unique).map(({ errno }) => errno),
      [want],
      why,
    );
    t.equal(kernel.session.inFlightCount, 0);
  }
});

t.test('an exception is EIO, and never ENOSYS, which would disable the operation', (t) => {
  const cases = [
    { error: posixError(Errno.ENOTEMPTY), want: Errno.ENOTEMPTY },
    { error: posixError(Errno.ENOSYS), want: Errno.EIO },
    { error: new Error('bug'), want: Errno.EIO },
    { error: 'not even an error', want: Errno.EIO },
  ];
  for (const { error, want } of cases) {
    const unlink = (): never => {
      throw error;
    };
    const { kernel } = served(t, { unlink });
    t.equal(kernel.callSync('UNLINK', { body: [nul('a')] }).errno, want);
  }
  t.end();
});

t.test('requests in flight are counted until their reply', async (t) => {
  let resolve: () => void = () => undefined;
  const { kernel } = served(t, { fsync: () => new Promise((done) => (resolve = done)) });
  const reply = kernel.fsync(2, 1);
  t.equal(kernel.session.inFlightCount, 1);
  resolve();
  t.equal((await reply).errno, 0);
  await new Promise(setImmediate);
  t.equal(kernel.session.inFlightCount, 0);
});

t.test('every opcode is answered exactly once, or not at all when it wants no reply', async (t) => {
  for (const op of Object.keys(Opcode) as OpcodeName[]) {
    const { kernel } = served(t);
    const body = [Buffer.alloc(128)];
    const unique = kernel.post(op, { nodeid: 1, body });
    await new Promise(setImmediate);
    t.equal(kernel.repliesTo(unique).length, wantsReply(op) ? 1 : 0, op);
  }
});

t.test('what is not supported is ENOSYS; ioctl is ENOTTY; access is granted', (t) => {
  const cases: { op: OpcodeName | number; want: number }[] = [
    { op: 'POLL', want: Errno.ENOSYS },
    { op: 'BMAP', want: Errno.ENOSYS },
    { op: 'GETLK', want: Errno.ENOSYS },
    { op: 'SETLK', want: Errno.ENOSYS },
    { op: 'SETLKW', want: Errno.ENOSYS },
    { op: 48, want: Errno.ENOSYS },
    { op: 4096, want: Errno.ENOSYS },
    { op: 'IOCTL', want: Errno.ENOTTY },
    { op: 'ACCESS', want: 0 },
  ];
  const { kernel } = served(t);
  for (const { op, want } of cases) {
    t.equal(kernel.callSync(op, { body: [Buffer.alloc(48)] }).errno, want, `${op}`);
  }
  t.end();
});

t.test('a malformed request is EIO, and the session goes on', (t) => {
  const { kernel } = served(t);
  t.equal(kernel.callSync('LOOKUP', { body: [Buffer.from('open')] }).errno, Errno.EIO);
  const lying = requestMessage(Opcode.LOOKUP, 1000, { body: [nul('a')] });
  lying.writeUInt32LE(lying.length + 1, 0);
  kernel.deliverBytes(lying);
  t.equal(kernel.repliesTo(1000)[0]?.errno, Errno.EIO);
  kernel.deliverBytes(Buffer.alloc(17));
  t.equal(kernel.lookup(1, 'a').errno, 0);
  t.end();
});

t.test('a reply that the kernel refuses is replaced by EIO; one for nobody is dropped', (t) => {
  const { kernel } = served(t);
  kernel.sendFailures.push(-Errno.EINVAL);
  const refused = kernel.post('STATFS');
  t.strictSame(
    kernel.repliesTo(refused).map(({ errno }) => errno),
    [Errno.EIO],
  );
  for (const gone of [Errno.ENOENT, Errno.ENODEV]) {
    kernel.sendFailures.push(-gone);
    t.equal(kernel.repliesTo(kernel.post('STATFS')).length, 0);
  }
  t.equal(kernel.callSync('STATFS').errno, 0);
  t.end();
});

t.test('lookups and handles that nobody took are given back', async (t) => {
  const { kernel, fs } = served(t);
  t.equal(kernel.mkdir(1, 'd').errno, 0);
  const makers: { op: OpcodeName; parts: object; want: string[] }[] = [
    { op: 'LOOKUP', parts: { body: [nul('d')] }, want: ['lookup', 'forget'] },
    { op: 'OPEN', parts: openFlags(0), want: ['open', 'release'] },
    { op: 'OPENDIR', parts: openFlags(0), want: ['openDirectory', 'releaseDirectory'] },
    {
      op: 'CREATE',
      parts: { body: [build(requests.createIn), nul('c')] },
      want: ['create', 'release', 'forget'],
    },
  ];
  for (const { op, parts, want } of makers) {
    fs.calls.length = 0;
    kernel.sendFailures.push(-Errno.ENOENT);
    kernel.post(op, parts);
    t.strictSame(fs.calls, want, op);
  }
});

t.test('while the gate is closed, what mutates waits and the rest goes on', (t) => {
  const { kernel, fs } = served(t);
  fs.gate.isOpen = false;
  const name = nul('d');
  const mkdir = kernel.post('MKDIR', { body: [build(requests.mkdirIn, { mode: 0o755 }), name] });
  const chmod = kernel.post('SETATTR', {
    body: [build(requests.setattrIn, { valid: SetattrValid.MODE, mode: 0o755 })],
  });
  const unlink = kernel.post('UNLINK', { body: [nul('none')] });
  t.equal(kernel.lookup(1, 'd').errno, 0);
  t.equal(kernel.callSync('OPEN', openFlags(0)).errno, 0);
  t.equal(kernel.callSync('GETATTR', { body: [build(requests.getattrIn)] }).errno, 0);
  for (const unique of [mkdir, chmod, unlink]) t.equal(kernel.repliesTo(unique).length, 0);
  t.equal(kernel.session.inFlightCount, 3);

  fs.calls.length = 0;
  fs.gate.open();
  t.strictSame(fs.calls, ['makeDirectory', 'setAttributes', 'unlink'], 'in order of arrival');
  t.equal(kernel.repliesTo(mkdir)[0]?.errno, 0);
  t.equal(kernel.repliesTo(unlink)[0]?.errno, Errno.ENOENT);
  t.equal(kernel.session.inFlightCount, 0);
  t.equal(kernel.lookup(1, 'd').errno, 0);
  t.end();
});

t.test('a WRITE waits in its slab; others are copied out of theirs', async (t) => {
  const written: string[] = [];
  const write: FileSystem['write'] = (_fh, { slab, offset, bytes }) => {
    written.push(slab.bytes.toString('latin1', offset, offset + bytes));
    return bytes;
  };
  const fs = fakeFileSystem({ write });
  const pool = new SlabPool(4);
  const kernel = new FakeKernel(fs, { pool });
  t.teardown(() => kernel.session.end());
  kernel.init();
  fs.gate.isOpen = false;
  const first = kernel.write(2, 1, 0, Buffer.from('one'));
  t.equal(pool.freeCount, 3);
  const rmdir = kernel.call('RMDIR', { body: [nul('gone')] });
  const second = kernel.write(2, 1, 3, Buffer.from('two'));
  kernel.lookup(1, 'overwrites the buffer that RMDIR came in');
  t.equal(pool.freeCount, 1, 'two held, one to receive into');
  fs.gate.open();
  t.strictSame(written, ['one', 'two']);
  t.equal((await first).errno, 0);
  t.equal((await rmdir).errno, Errno.ENOENT);
  t.equal((await second).errno, 0);
  t.equal(pool.freeCount, 3, 'all back but the one to receive into');
});

t.test('a slab that the filesystem retained is not reused', (t) => {
  const retained: { release: () => void }[] = [];
  const pool = new SlabPool(3);
  const write: FileSystem['write'] = (_fh, { slab, bytes }) => {
    slab.retain();
    retained.push(slab);
    return bytes;
  };
  const kernel = new FakeKernel(fakeFileSystem({ write }), { pool });
  t.teardown(() => kernel.session.end());
  kernel.init();
  for (const offset of [0, 1]) void kernel.write(2, 1 as FileHandle, offset, Buffer.of(1));
  t.not(retained[0], retained[1]);
  kernel.lookup(1, 'a');
  t.equal(pool.freeCount, 0);
  for (const slab of retained) slab.release();
  t.equal(pool.freeCount, 2);
  t.end();
});

t.test('what was held is dropped when the session ends', (t) => {
  const { kernel, fs } = served(t);
  fs.gate.isOpen = false;
  void kernel.write(2, 1, 0, Buffer.of(1));
  const free = kernel.pool.freeCount;
  kernel.session.end();
  fs.gate.open();
  t.notMatch(fs.calls, ['write']);
  t.equal(kernel.pool.freeCount, free, 'only the one to receive into is out');
  t.end();
});

t.test('DESTROY is answered and ends the session', (t) => {
  const { kernel } = served(t);
  t.equal(kernel.callSync('DESTROY').errno, 0);
  t.equal(kernel.session.state, 'ended');
  t.equal(kernel.lookup(1, 'a').errno, Errno.EIO);
  t.end();
});
