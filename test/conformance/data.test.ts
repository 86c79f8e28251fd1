// Goal: read, write and their relatives count, move offsets and fail as their manual pages say.
// Method: tables of raw calls, run on ext4 and on dedupfs. What moves data between two descriptors
// is in data-copy.test.ts, ioctl(2) and advice in data-control.test.ts.
//
// Run: node dist/test/conformance/data.test.js

import t from 'tap';
import { statusOf } from '../support/commands-statx.ts';
import { Flag, type Answer, type Caller } from '../support/commands-syscalls.ts';
import {
  KIB,
  More,
  becomeNobody,
  contentOf,
  fileOf,
  int64,
  iovecs,
  memory,
  offsetOf,
  outcomeOf,
  rows,
  sizeOf,
  timesChangedBy,
} from './calls.ts';
import { Suite } from './suite.ts';

const { AT_FDCWD, O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = Flag;
const { SEEK_CUR, SEEK_END, SEEK_SET } = Flag;
const { RLIMIT_FSIZE, RWF_APPEND, RWF_DSYNC, RWF_NOWAIT, RWF_SYNC } = More;
const BAD_ADDRESS = 8;
const OFFSET_MAX = 2n ** 63n - 1n;
/** The largest file: ext4 has 32 bits for the number of a block, dedupfs the integers of a double. */
const SIZE_MAX = { ext4: 2 ** 44 - 4096, dedupfs: Number.MAX_SAFE_INTEGER };

t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('read and write: errors', async (probe) => {
  const { caller, at } = probe;
  const fd = await fileOf(caller, at('file'), 'content');
  const reader = await caller.open(at('file'), O_RDONLY);
  const writer = await caller.open(at('file'), O_WRONLY);
  const folder = await caller.open(at('.'), O_RDONLY);
  const fifo = await fifoOf(caller, at('fifo'));
  const out = { outputBytes: 16 };
  const one = iovecs(await memory(caller, 4096), 1);
  const call = caller.call.bind(caller);
  const table: [what: string, call: () => Promise<Answer>, expected: string][] = [
    ['read of a closed descriptor', () => call('read', 999, out, 9), 'EBADF'],
    ['read of a negative descriptor', () => call('read', -1, out, 9), 'EBADF'],
    ['write to a closed descriptor', () => call('write', 999, 'x', 1), 'EBADF'],
    ['read, O_WRONLY', () => call('read', writer, out, 9), 'EBADF'],
    ['pread, O_WRONLY', () => call('pread64', writer, out, 9, 0), 'EBADF'],
    ['readv, O_WRONLY', () => call('readv', writer, iovecs(0, 0), 1), 'EBADF'],
    ['write, O_RDONLY', () => call('write', reader, 'x', 1), 'EBADF'],
    ['a write of nothing, O_RDONLY', () => call('write', reader, 'x', 0), 'EBADF'],
    ['pwrite, O_RDONLY', () => call('pwrite64', reader, 'x', 1, 0), 'EBADF'],
    ['writev, O_RDONLY', () => call('writev', reader, iovecs(0, 0), 1), 'EBADF'],
    ['read of a folder', () => call('read', folder, out, 9), 'EISDIR'],
    ['pread of a folder', () => call('pread64', folder, out, 9, 0), 'EISDIR'],
    ['write to a folder', () => call('write', folder, 'x', 1), 'EBADF'],
    ['pread, offset -1', () => call('pread64', fd, out, 9, -1), 'EINVAL'],
    ['pwrite, offset -1', () => call('pwrite64', fd, 'x', 1, -1), 'EINVAL'],
    ['pread, the smallest offset', () => call('pread64', fd, out, 9, -(2n ** 63n)), 'EINVAL'],
    ['pread of a fifo', () => call('pread64', fifo, out, 9, 0), 'ESPIPE'],
    ['pwrite to a fifo', () => call('pwrite64', fifo, 'x', 1, 0), 'ESPIPE'],
    ['read to a bad address', () => call('pread64', fd, BAD_ADDRESS, 7, 0), 'EFAULT'],
    ['the same, O_RDONLY', () => call('pread64', reader, BAD_ADDRESS, 7, 0), 'EFAULT'],
    ['write from a bad address', () => call('pwrite64', fd, BAD_ADDRESS, 7, 0), 'EFAULT'],
    ['write from a bad address at EOF', () => call('pwrite64', fd, BAD_ADDRESS, 7, 7), 'EFAULT'],
    ['read of a negative count', () => call('read', fd, out, -1), 'EFAULT'],
    ['readv of 1025 pieces', () => call('readv', fd, Buffer.alloc(16 * 1025), 1025), 'EINVAL'],
    ['readv of -1 pieces', () => call('readv', fd, out, -1), 'EINVAL'],
    ['writev of 1025 pieces', () => call('writev', fd, Buffer.alloc(16 * 1025), 1025), 'EINVAL'],
    ['readv with bad pieces', () => call('readv', fd, BAD_ADDRESS, 1), 'EFAULT'],
    ['preadv, offset -2', () => call('preadv', fd, iovecs(0, 0), 1, -2, 0), 'EINVAL'],
    ['pwritev, offset -2', () => call('pwritev', fd, iovecs(0, 0), 1, -2, 0), 'EINVAL'],
    ['preadv, unknown flag', () => call('preadv2', fd, one, 1, 0, 0, 1 << 20), 'ENOTSUP'], // prettier-ignore
    ['pwritev, unknown flag', () => call('pwritev2', fd, one, 1, 0, 0, 1 << 20), 'ENOTSUP'], // prettier-ignore
    ['fsync of a closed descriptor', () => call('fsync', 999), 'EBADF'],
    ['fdatasync of a closed descriptor', () => call('fdatasync', 999), 'EBADF'],
    ['fsync of a fifo', () => call('fsync', fifo), 'EINVAL'],
    ['fsync, O_RDONLY', () => call('fsync', reader), ''],
    ['fdatasync, O_RDONLY', () => call('fdatasync', reader), ''],
    ['fsync of a folder', () => call('fsync', folder), ''],
    ['fdatasync of a folder', () => call('fdatasync', folder), ''],
  ];
  for (const [what, act, expected] of table) probe.t.equal((await act()).errno, expected, what);
  probe.t.equal(await contentOf(caller, at('file')), 'content', 'none of it wrote');
  probe.t.equal(await offsetOf(caller, fd), 0, 'none of it moved the offset');
});

await suite.promises('read: counts at the end of the file', async (probe) => {
  const { t, caller, at } = probe;
  await fileOf(caller, at('file'), '0123456789');
  for (const [mode, flags] of Object.entries({ O_RDONLY, O_RDWR })) {
    const fd = await caller.open(at('file'), flags);
    const pread = async (bytes: number, offset: number | bigint): Promise<Answer> =>
      caller.call('pread64', fd, { outputBytes: 16 }, bytes, offset);
    const table: [what: string, bytes: number, offset: number | bigint, expected: number][] = [
      ['nothing', 0, 0, 0],
      ['inside', 4, 3, 4],
      ['all', 10, 0, 10],
      ['across the end', 16, 7, 3],
      ['at the end', 16, 10, 0],
      ['behind the end', 16, 11, 0],
      ['far behind the end', 16, 2 ** 40, 0],
    ];
    for (const [what, bytes, offset, expected] of table) {
      t.equal(outcomeOf(await pread(bytes, offset)), expected, `${mode}: ${what}`);
    }
    const read = async (bytes: number): Promise<string> => {
      const { value, outputs } = await caller.must('read', fd, { outputBytes: 16 }, bytes);
      return `${outputs[0]?.subarray(0, value).toString()} @${await offsetOf(caller, fd)}`;
    };
    t.equal(await read(4), '0123 @4', `${mode}: read moves the offset`);
    t.equal(await read(0), ' @4', `${mode}: by nothing`);
    t.equal(await read(9), '456789 @10', `${mode}: to the end`);
    t.equal(await read(9), ' @10', `${mode}: and not further`);
    await pread(5, 2);
    t.equal(await offsetOf(caller, fd), 10, `${mode}: pread leaves it`);
    await caller.must('lseek', fd, 100, SEEK_SET);
    t.equal(await read(9), ' @100', `${mode}: behind the end`);
    const changed = await timesChangedBy(caller, at('file'), async () => pread(9, 0));
    t.equal(changed, '', `${mode}: mtime and ctime`);
  }
});

await suite.promises('write: sizes, offsets, times', async (probe) => {
  const { t, caller, at } = probe;
  const fd = await fileOf(caller, at('file'), '0123456789');
  const steps: [what: string, seek: number, data: string, content: string][] = [
    ['inside', 2, 'ab', '01ab456789'],
    ['across the end', 8, 'cdef', '01ab4567cdef'],
    ['at the end', 12, 'gh', '01ab4567cdefgh'],
    ['behind the end', 16, 'ij', '01ab4567cdefgh\0\0ij'],
  ];
  for (const [what, seek, data, content] of steps) {
    await caller.must('lseek', fd, seek, SEEK_SET);
    t.equal((await caller.must('write', fd, data, data.length)).value, data.length, what);
    t.equal(await offsetOf(caller, fd), seek + data.length, `${what}: offset`);
    t.equal(await contentOf(caller, at('file')), content, `${what}: content`);
  }
  t.equal(await caller.pwrite(fd, 'xyz', 0), 3, 'pwrite');
  t.equal(await offsetOf(caller, fd), 18, 'pwrite leaves the offset');
  t.equal(await caller.pwrite(fd, '', 1_000), 0, 'writing nothing behind the end');
  t.equal(await sizeOf(caller, at('file')), 18, 'does not grow');
  const iovec = iovecs(await memory(caller, 4096), 3, 2);
  const acts: [what: string, act: () => Promise<unknown>, expected: string][] = [
    ['pwrite inside', () => caller.pwrite(fd, 'x', 0), 'mtime ctime'],
    ['pwrite of the same data', () => caller.pwrite(fd, 'x', 0), 'mtime ctime'],
    ['write', () => caller.must('write', fd, 'x', 1), 'mtime ctime'],
    ['pwritev', () => caller.must('pwritev', fd, iovec, 2, 0, 0), 'mtime ctime'],
    ['writev', () => caller.must('writev', fd, iovec, 2), 'mtime ctime'],
    ['writing nothing', () => caller.pwrite(fd, '', 0), ''],
    ['a failing write', () => caller.call('pwrite64', fd, 'x', 1, -1), ''],
    ['fsync', () => caller.must('fsync', fd), ''],
    ['lseek', () => caller.must('lseek', fd, 5, SEEK_END), ''],
  ];
  for (const [what, act, expected] of acts) {
    t.equal(await timesChangedBy(caller, at('file'), act), expected, `times: ${what}`);
  }
  await caller.must('fsync', fd);
  t.equal((await statusOf(caller, at('file'))).blocks, 8, 'one block');
});

await suite.promises('vectors', async (probe) => {
  const { t, caller, at } = probe;
  const fd = await fileOf(caller, at('file'), 'abcdefghij');
  const address = await memory(caller, 8 * KIB);
  const here = iovecs(address, 3, 0, 2);
  const call = caller.call.bind(caller);
  const seen = async (): Promise<string> => (await caller.peek(address, 5)).toString();
  await rows(probe, [
    { what: 'readv', call: () => call('readv', fd, here, 3), expected: 5 },
    { what: 'in order', call: seen, expected: 'abcde' },
    { what: 'moves the offset', call: () => offsetOf(caller, fd), expected: 5 },
    { what: 'preadv across the end', call: () => call('preadv', fd, here, 3, 8, 0), expected: 2 },
    { what: 'only what is there', call: seen, expected: 'ijcde' },
    { what: 'leaves the offset', call: () => offsetOf(caller, fd), expected: 5 },
    { what: 'readv of no pieces', call: () => call('readv', fd, here, 0), expected: 0 },
    { what: 'writev of no pieces', call: () => call('writev', fd, here, 0), expected: 0 },
    { what: 'preadv2 at -1', call: () => call('preadv2', fd, here, 3, -1, -1, 0), expected: 5 },
    { what: 'moves the offset', call: () => offsetOf(caller, fd), expected: 10 },
    { what: 'writev', call: () => call('writev', fd, here, 3), expected: 5 },
    { what: 'at it', call: () => contentOf(caller, at('file')), expected: 'abcdefghijfghij' },
    { what: 'pwritev', call: () => call('pwritev', fd, here, 1, 0, 0), expected: 3 },
    { what: 'pwritev2 at -1', call: () => call('pwritev2', fd, here, 1, -1, -1, 0), expected: 3 },
    {
      what: 'at its offset',
      call: () => contentOf(caller, at('file')),
      expected: 'fghdefghijfghijfgh',
    },
    {
      what: 'RWF_APPEND',
      call: () => call('pwritev2', fd, here, 1, 0, 0, RWF_APPEND),
      expected: 3,
    },
    { what: 'appends', call: () => sizeOf(caller, at('file')), expected: 21 },
    { what: 'without moving', call: () => offsetOf(caller, fd), expected: 18 },
    {
      what: 'RWF_DSYNC',
      call: () => call('pwritev2', fd, here, 1, 0, 0, RWF_DSYNC),
      expected: 3,
    },
    { what: 'RWF_SYNC', call: () => call('pwritev2', fd, here, 1, 0, 0, RWF_SYNC), expected: 3 },
    {
      what: 'a negative length',
      call: () => call('readv', fd, Buffer.concat([int64(address), int64(-1)]), 1),
      expected: 'EINVAL',
    },
  ]);
  // preadv2(2): a file may refuse RWF_NOWAIT, or say that it would wait.
  const nowait = outcomeOf(await call('preadv2', fd, here, 3, 0, 0, RWF_NOWAIT));
  t.ok([5, 'EAGAIN', 'ENOTSUP'].includes(nowait), `RWF_NOWAIT: ${nowait}`);
});

await suite.promises('a buffer that ends in bad memory', async (probe) => {
  const { t, caller, at } = probe;
  // Two pages of memory, the second of which is taken away.
  const address = await memory(caller, 8 * KIB);
  await caller.must('munmap', address + 4 * KIB, 4 * KIB);
  const fd = await fileOf(caller, at('file'), Buffer.alloc(8 * KIB, 'a'));
  const written = await caller.call('pwrite64', fd, address, 8 * KIB, 0);
  const isHalf = (answer: Answer): boolean => [4 * KIB, 'EFAULT'].includes(outcomeOf(answer));
  t.ok(isHalf(written), `write takes the good half or none: ${outcomeOf(written)}`);
  const content = await contentOf(caller, at('file'));
  const zeros = written.errno === '' ? 4 * KIB : 0;
  t.equal(content, '\0'.repeat(zeros) + 'a'.repeat(8 * KIB - zeros), 'as it says');
  const got = await caller.call('pread64', fd, address, 8 * KIB, 0);
  t.ok(isHalf(got), `read gives the good half or none: ${outcomeOf(got)}`);
  const readOnly = await memory(caller, 4 * KIB);
  await caller.must('mprotect', readOnly, 4 * KIB, Flag.PROT_READ);
  const stored = await caller.call('pread64', fd, readOnly, 10, 0);
  t.equal(stored.errno, 'EFAULT', 'read to memory that is read-only');
  t.equal((await caller.call('pwrite64', fd, readOnly, 10, 0)).value, 10, 'write from it');
});

await suite.promises('calls of several MiB', async (probe) => {
  const { t, caller, at } = probe;
  const bytes = 5 * 1024 * KIB;
  const address = await memory(caller, bytes);
  for (let done = 0; done < bytes; done += 60 * KIB) {
    const part = Buffer.alloc(Math.min(60 * KIB, bytes - done), `${done}:`);
    await caller.poke(address + done, part);
  }
  const data = await caller.peek(address, bytes);
  const fd = await fileOf(caller, at('file'));
  for (const [length, offset] of [
    [bytes, 0],
    [3 * 1024 * KIB + 17, 4_001],
    [bytes - 1, 2 ** 33 - 5],
  ] as const) {
    // prettier-ignore
    const written = await caller.call('pwrite64', fd, address, length, offset);
    t.equal(written.value, length, `one write of ${length} at ${offset}`);
    for (const flags of [O_RDONLY, O_RDWR]) {
      const reader = await caller.open(at('file'), flags);
      const room = await memory(caller, bytes);
      const got = await caller.call('pread64', reader, room, length, offset);
      t.equal(got.value, length, 'one read of all');
      t.ok((await caller.peek(room, length)).equals(data.subarray(0, length)), 'the same bytes');
      await caller.must('munmap', room, bytes);
    }
  }
});

await suite.promises('lseek', async (probe) => {
  const { caller, at, isExt4 } = probe;
  const fd = await fileOf(caller, at('file'), '0123456789');
  const fifo = await fifoOf(caller, at('fifo'));
  const max = SIZE_MAX[isExt4 ? 'ext4' : 'dedupfs'];
  const seek = (offset: number | bigint, whence: number) => (): Promise<Answer> =>
    caller.call('lseek', fd, offset, whence);
  await rows(probe, [
    { what: 'SEEK_SET', call: seek(7, SEEK_SET), expected: 7 },
    { what: 'SEEK_CUR forth', call: seek(2, SEEK_CUR), expected: 9 },
    { what: 'SEEK_CUR back', call: seek(-4, SEEK_CUR), expected: 5 },
    { what: 'SEEK_END', call: seek(0, SEEK_END), expected: 10 },
    { what: 'before SEEK_END', call: seek(-10, SEEK_END), expected: 0 },
    { what: 'behind SEEK_END', call: seek(90, SEEK_END), expected: 100 },
    { what: 'SEEK_SET before 0', call: seek(-1, SEEK_SET), expected: 'EINVAL' },
    { what: 'SEEK_CUR before 0', call: seek(-101, SEEK_CUR), expected: 'EINVAL' },
    { what: 'SEEK_END before 0', call: seek(-11, SEEK_END), expected: 'EINVAL' },
    { what: 'an unknown whence', call: seek(0, 5), expected: 'EINVAL' },
    { what: 'a negative whence', call: seek(0, -1), expected: 'EINVAL' },
    { what: 'failures leave the offset', call: seek(0, SEEK_CUR), expected: 100 },
    { what: 'the largest offset', call: seek(max, SEEK_SET), expected: max },
    // Linux says EINVAL where POSIX has EOVERFLOW.
    { what: 'an overflow', call: seek(OFFSET_MAX, SEEK_CUR), expected: 'EINVAL' },
    {
      what: 'a closed descriptor',
      call: () => caller.call('lseek', 999, 0, SEEK_SET),
      expected: 'EBADF',
    },
    { what: 'a fifo', call: () => caller.call('lseek', fifo, 0, SEEK_SET), expected: 'ESPIPE' },
    { what: 'the file has not grown', call: () => sizeOf(caller, at('file')), expected: 10 },
  ]);
  const copy = (await caller.must('dup', fd)).value;
  await caller.must('lseek', copy, 3, SEEK_SET);
  probe.t.equal(await offsetOf(caller, fd), 3, 'a duplicate shares the offset');
  const own = await caller.open(at('file'), O_RDONLY);
  probe.t.equal(await offsetOf(caller, own), 0, 'another open does not');
});

await suite.promises('EFBIG by RLIMIT_FSIZE', async (probe) => {
  const { caller, at } = probe;
  const limit = 8 * KIB;
  const fd = await fileOf(caller, at('file'), Buffer.alloc(5_000, 'a'));
  const source = await fileOf(caller, at('source'), Buffer.alloc(5_000, 'b'));
  await fileOf(caller, at('long'), Buffer.alloc(10_000, 'c'));
  const both = Buffer.concat([int64(limit), int64(limit)]);
  await caller.must('prlimit64', 0, RLIMIT_FSIZE, both, 0);
  const long = await caller.open(at('long'), O_RDWR);
  const append = await caller.open(at('file'), O_WRONLY | O_APPEND);
  const call = caller.call.bind(caller);
  const kib = Buffer.alloc(KIB, 'd');
  const copy = (to: number): Promise<Answer> =>
    call('copy_file_range', source, int64(0), fd, int64(to), 1_000, 0);
  await rows(probe, [
    { what: 'below', call: () => call('pwrite64', fd, kib, KIB, limit - KIB), expected: KIB },
    { what: 'across', call: () => call('pwrite64', fd, kib, KIB, limit - 100), expected: 100 },
    { what: 'at it', call: () => call('pwrite64', fd, kib, 1, limit), expected: 'EFBIG' },
    { what: 'behind it', call: () => call('pwrite64', fd, kib, 1, 2 * limit), expected: 'EFBIG' },
    { what: 'nothing at it', call: () => call('pwrite64', fd, kib, 0, limit), expected: 0 },
    { what: 'appending', call: () => call('write', append, kib, KIB), expected: 'EFBIG' },
    { what: 'truncate to it', call: () => call('truncate', at('file'), limit), expected: 0 },
    {
      what: 'truncate beyond',
      call: () => call('truncate', at('file'), limit + 1),
      expected: 'EFBIG',
    },
    { what: 'ftruncate beyond', call: () => call('ftruncate', fd, limit + 1), expected: 'EFBIG' },
    {
      what: 'fallocate beyond',
      call: () => call('fallocate', fd, 0, 0, limit + 1),
      expected: 'EFBIG',
    },
    { what: 'copy_file_range at it', call: () => copy(limit), expected: 'EFBIG' },
    { what: 'copy_file_range across it', call: () => copy(limit - 50), expected: 50 },
    { what: 'inside a longer file', call: () => call('pwrite64', long, kib, 9, 10), expected: 9 },
    {
      what: 'in the part beyond',
      call: () => call('pwrite64', long, kib, 9, 9_000),
      expected: 'EFBIG',
    },
    {
      what: 'shortening it, still beyond',
      call: () => call('ftruncate', long, 9_000),
      expected: 0,
    },
    { what: 'the size', call: () => sizeOf(caller, at('file')), expected: limit },
  ]);
});

await suite.promises('the largest file', async (probe) => {
  const { caller, at, isExt4, t } = probe;
  const max = SIZE_MAX[isExt4 ? 'ext4' : 'dedupfs'];
  const fd = await fileOf(caller, at('file'));
  const call = caller.call.bind(caller);
  await rows(probe, [
    { what: 'the last bytes', call: () => call('pwrite64', fd, 'tail', 4, max - 4), expected: 4 },
    { what: 'the size', call: () => sizeOf(caller, at('file')), expected: max },
    { what: 'across the end', call: () => call('pwrite64', fd, 'TAIL', 4, max - 2), expected: 2 },
    { what: 'at the end', call: () => call('pwrite64', fd, 'x', 1, max), expected: 'EFBIG' },
    {
      what: 'the largest offset there is',
      call: () => call('pwrite64', fd, 'x', 1, OFFSET_MAX - 1n),
      expected: 'EFBIG',
    },
    {
      what: 'truncate beyond',
      call: () => call('truncate', at('file'), BigInt(max) + 1n),
      expected: 'EFBIG',
    },
    { what: 'ftruncate beyond', call: () => call('ftruncate', fd, OFFSET_MAX), expected: 'EFBIG' },
    { what: 'truncate to it', call: () => call('truncate', at('file'), max), expected: 0 },
    {
      what: 'fallocate beyond',
      call: () => call('fallocate', fd, 0, BigInt(max), 4096),
      expected: 'EFBIG',
    },
  ]);
  t.equal((await caller.pread(fd, 10, max - 4)).toString(), 'taTA', 'the data is there');
  t.equal((await caller.pread(fd, 10, 0)).toString(), '\0'.repeat(10), 'and zeros before it');
  const blocks = (await statusOf(caller, at('file'))).blocks;
  t.ok(blocks <= 16, `which take no room: ${blocks}`);
});

await suite.promises('O_APPEND from three processes overwrites nothing', async (probe) => {
  const { t, caller, at, startCaller } = probe;
  const records = 150;
  const writers = [caller, startCaller(), startCaller()];
  const append = async (writer: Caller, index: number): Promise<void> => {
    const fd = await writer.open(at('log'), O_CREAT | O_WRONLY | O_APPEND);
    for (let record = 0; record < records; record++) {
      // Lengths around the block size, so that appends begin and end anywhere.
      const text = `${index}:${record}:`.padEnd(50 + ((record * 977) % 5_000), 'x') + '\n';
      await writer.must('write', fd, text, text.length);
    }
  };
  await Promise.all(writers.map(append));
  const size = await sizeOf(caller, at('log'));
  const fd = await caller.open(at('log'), O_RDONLY);
  const lines = (await caller.pread(fd, size, 0)).toString().trimEnd().split('\n');
  t.equal(lines.length, 3 * records, 'every record is there');
  for (const index of [0, 1, 2]) {
    const own = lines.filter((line) => line.startsWith(`${index}:`));
    const wrong = own.filter((line, record) => {
      const length = 50 + ((record * 977) % 5_000);
      return line !== `${index}:${record}:`.padEnd(length, 'x');
    });
    t.strictSame([own.length, wrong], [records, []], `writer ${index}: whole and in order`);
  }
});

await suite.promises('changing data takes set-user-ID away', async (probe) => {
  const { t, caller, at, startCaller } = probe;
  const acts: [what: string, act: (user: Caller, fd: number) => Promise<Answer>, mode: number][] = [
    ['write', (user, fd) => user.must('write', fd, 'x', 1), 0o777],
    ['ftruncate', (user, fd) => user.must('ftruncate', fd, 2), 0o777],
    ['fallocate', (user, fd) => user.must('fallocate', fd, 0, 0, 9_000), 0o777],
    ['pwritev', (user, fd) => user.must('pwritev', fd, Buffer.alloc(16), 1, 0, 0), 0o6777],
    ['punch', (user, fd) => user.must('fallocate', fd, 3, 0, 2), 0o777],
    ['zero', (user, fd) => user.must('fallocate', fd, 16, 0, 2), 0o777],
    ['truncate', (user) => user.must('truncate', 'truncate', 2), 0o777],
    ['O_TRUNC', (user) => user.must('openat', AT_FDCWD, 'O_TRUNC', O_WRONLY | O_TRUNC, 0), 0o777],
    ['copy', (user, fd) => user.must('copy_file_range', fd, int64(0), fd, int64(9), 2, 0), 0o777],
    ['append', (user) => appended(user, 'append'), 0o777],
    ['read', (user, fd) => user.must('read', fd, { outputBytes: 2 }, 2), 0o6777],
  ];
  for (const [what] of acts) {
    await fileOf(caller, at(what), 'text');
    await caller.must('fchmodat', AT_FDCWD, at(what), 0o6777);
  }
  const user = startCaller();
  await user.must('chdir', at('.'));
  await becomeNobody(user);
  for (const [what, act, expected] of acts) {
    await act(user, await user.open(what, O_RDWR));
    t.equal((await statusOf(caller, at(what))).mode & 0o7777, expected, what);
  }
});

await suite.finish();

async function fifoOf(caller: Caller, path: string): Promise<number> {
  await caller.must('mknodat', AT_FDCWD, path, 0o010600, 0);
  return caller.open(path, O_RDWR);
}

async function appended(caller: Caller, path: string): Promise<Answer> {
  const fd = await caller.open(path, O_WRONLY | O_APPEND);
  return caller.must('write', fd, 'x', 1);
}
