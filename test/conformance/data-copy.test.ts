// Goal: copy_file_range, sendfile and splice move data, offsets and times as their manual pages say,
// and so do ioctl(2) on files, advice and partial syncs.
// Method: tables of raw calls, run on ext4 and on dedupfs.
//
// Run: node dist/test/conformance/data-copy.test.js

import t from 'tap';
import { tmpdir } from 'node:os';
import { Flag, type Answer, type Argument } from '../support/commands-syscalls.ts';
import { BLOCK, contentOf, fileOf, int64, memory, offsetOf, rows, sizeOf, timesChangedBy, type Outcome } from './calls.ts'; // prettier-ignore
import { Suite } from './suite.ts';

const { AT_FDCWD, O_APPEND, O_RDONLY, O_RDWR, O_TMPFILE, O_WRONLY } = Flag;
const NO_OFFSET = 0;
const IOCTL = {
  FIEMAP: 0xc020660b, FICLONE: 0x40049409, FIDEDUPERANGE: 0xc0189436, FIONREAD: 0x541b,
  FIGETBSZ: 2, FS_IOC_GETFLAGS: 0x80086601, TCGETS: 0x5401,
} as const; // prettier-ignore

t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('copy_file_range: errors', async ({ t, caller, at }) => {
  const source = await fileOf(caller, at('source'), '0123456789');
  const target = await fileOf(caller, at('target'), 'abcdefghij');
  const reader = await caller.open(at('target'), O_RDONLY);
  const writer = await caller.open(at('source'), O_WRONLY);
  const append = await caller.open(at('target'), O_WRONLY | O_APPEND);
  const folder = await caller.open(at('.'), O_RDONLY);
  await caller.must('mknodat', AT_FDCWD, at('fifo'), 0o010600, 0);
  const fifo = await caller.open(at('fifo'), O_RDWR);
  const elsewhere = await caller.open(tmpdir(), O_TMPFILE | O_RDWR);
  type Row = [what: string, from: number, fromAt: number | bigint, to: number, toAt: number | bigint, bytes: number, flags: number, expected: string]; // prettier-ignore
  const table: Row[] = [
    ['a closed source', 999, 0, target, 0, 5, 0, 'EBADF'],
    ['a closed target', source, 0, 999, 0, 5, 0, 'EBADF'],
    ['a source for writing only', writer, 0, target, 0, 5, 0, 'EBADF'],
    ['a target for reading only', source, 0, reader, 0, 5, 0, 'EBADF'],
    ['a target with O_APPEND', source, 0, append, 0, 5, 0, 'EBADF'],
    ['a folder as the source', folder, 0, target, 0, 5, 0, 'EISDIR'],
    ['a folder as the target', source, 0, folder, 0, 5, 0, 'EISDIR'],
    ['a fifo as the source', fifo, 0, target, 0, 5, 0, 'EINVAL'],
    ['a fifo as the target', source, 0, fifo, 0, 5, 0, 'EINVAL'],
    ['flags', source, 0, target, 0, 5, 1, 'EINVAL'],
    // Linux takes the negative offset as a sum that overflows.
    ['a negative source offset', source, -1, target, 0, 5, 0, 'EOVERFLOW'],
    ['a negative target offset', source, 0, target, -1, 5, 0, 'EOVERFLOW'],
    ['an overlap in one file', source, 0, source, 4, 5, 0, 'EINVAL'],
    ['an overlap backwards', source, 4, source, 0, 5, 0, 'EINVAL'],
    ['onto itself', source, 2, source, 2, 5, 0, 'EINVAL'],
    ['the largest target offset', source, 0, target, 2n ** 63n - 9n, 5, 0, 'EFBIG'],
    ['to another filesystem', source, 0, elsewhere, 0, 5, 0, 'EXDEV'],
  ];
  for (const [what, from, fromAt, to, toAt, bytes, flags, expected] of table) {
    const args = [from, int64(fromAt), to, int64(toAt), bytes, flags] as const;
    const changed = await timesChangedBy(caller, at('target'), async () => {
      t.equal((await caller.call('copy_file_range', ...args)).errno, expected, what);
    });
    t.equal(changed, '', `${what}: times stay`);
  }
  const bad = await caller.call('copy_file_range', source, 8, target, 8, 5, 0);
  t.equal(bad.errno, 'EFAULT', 'offsets at a bad address');
  t.equal(await contentOf(caller, at('target')), 'abcdefghij');
});

await suite.promises('copy_file_range: counts, offsets, times', async (probe) => {
  const { t, caller, at } = probe;
  const source = await fileOf(caller, at('source'), '0123456789');
  const target = await fileOf(caller, at('target'), 'abcdef');
  const copy =
    (...args: Argument[]) =>
    async (): Promise<Answer> =>
      caller.call('copy_file_range', ...args, 0);
  const content = async (): Promise<string> => contentOf(caller, at('target'));
  await caller.must('lseek', source, 0, 0);
  await caller.must('lseek', target, 0, 0);
  const pointers = await memory(caller, BLOCK);
  await caller.poke(pointers, Buffer.concat([int64(3), int64(1)]));
  const pointed = async (): Promise<string> => {
    const bytes = await caller.peek(pointers, 16);
    return `${bytes.readBigInt64LE(0)} ${bytes.readBigInt64LE(8)}`;
  };
  const table: [what: string, call: () => Promise<Answer | Outcome>, expected: Outcome][] = [
    ['nothing', copy(source, int64(0), target, int64(0), 0), 0],
    ['at the end of the source', copy(source, int64(10), target, int64(0), 5), 0],
    ['behind the end of the source', copy(source, int64(99), target, int64(0), 5), 0],
    ['none of it wrote', content, 'abcdef'],
    ['inside', copy(source, int64(2), target, int64(1), 3), 3],
    ['content', content, 'a234ef'],
    ['across the end of the source', copy(source, int64(8), target, int64(5), 100), 2],
    ['it grows', content, 'a234e89'],
    ['by the descriptors', copy(source, NO_OFFSET, target, NO_OFFSET, 4), 4],
    ['content', content, '0123e89'],
    ['the source offset moves', () => offsetOf(caller, source), 4],
    ['the target offset moves', () => offsetOf(caller, target), 4],
    ['by pointers', copy(source, pointers, target, pointers + 8, 2), 2],
    ['which move', pointed, '5 3'],
    ['the source offset stays', () => offsetOf(caller, source), 4],
    ['the target offset stays', () => offsetOf(caller, target), 4],
    ['content', content, '0343e89'],
    ['behind the end of the target', copy(source, int64(0), target, int64(10), 2), 2],
    ['a hole between', content, '0343e89\0\0\x0001'],
    ['within one file', copy(source, int64(0), source, int64(20), 5), 5],
    ['it grows', () => sizeOf(caller, at('source')), 25],
    ['to where it begins', copy(source, int64(0), source, int64(5), 5), 5],
    ['content', () => contentOf(caller, at('source')), '0123401234' + '\0'.repeat(10) + '01234'],
  ];
  await rows(probe, table.map(([what, call, expected]) => ({ what, call, expected }))); // prettier-ignore
  const acts: [what: string, path: string, call: () => Promise<unknown>, expected: string][] = [
    ['of the target', 'target', copy(source, int64(0), target, int64(0), 5), 'mtime ctime'],
    ['of the source', 'source', copy(source, int64(0), target, int64(0), 5), ''],
    ['of nothing', 'target', copy(source, int64(99), target, int64(0), 5), ''],
  ];
  for (const [what, path, call, expected] of acts) {
    t.equal(await timesChangedBy(caller, at(path), call), expected, `times ${what}`);
  }
  const reader = await caller.open(at('target'), O_RDONLY);
  await caller.pread(reader, 100, 0);
  await copy(source, int64(20), target, int64(0), 5)();
  t.equal((await caller.pread(reader, 5, 0)).toString(), '01234', 'cached pages follow');
});

await suite.promises('copy_file_range: large, dirty and sparse', async ({ t, caller, at }) => {
  const bytes = 300_000;
  const data = Buffer.from(Array.from({ length: bytes }, (_, index) => 1 + ((index * 7) % 253)));
  const source = await fileOf(caller, at('source'), data);
  for (const [from, to] of [
    [0, 0],
    [1, 0],
    [0, 1],
    [4_095, 8_193],
    [100_000, 3],
  ] as const) {
    // prettier-ignore
    const target = await fileOf(caller, at('target'), 'x'.repeat(50_000));
    let done = 0;
    for (let copied = 1; copied > 0; done += copied) {
      const args = [source, int64(from + done), target, int64(to + done), bytes, 0] as const;
      copied = (await caller.must('copy_file_range', ...args)).value;
    }
    t.equal(done, bytes - from, `${from} to ${to}: the count`);
    const want = Buffer.alloc(Math.max(50_000, to + done), 'x');
    data.copy(want, to, from);
    t.ok((await caller.pread(target, bytes * 2, 0)).equals(want), `${from} to ${to}: content`);
  }
  await caller.must('ftruncate', source, 2 ** 40);
  const target = await fileOf(caller, at('sparse'));
  const args = [source, int64(2 ** 30), target, int64(0), 2 ** 20, 0] as const;
  const { value } = await caller.must('copy_file_range', ...args);
  t.ok(value > 0, 'a hole is copied');
  t.ok((await caller.pread(target, 2 ** 20, 0)).equals(Buffer.alloc(value)), 'as zeros');
});

await suite.promises('sendfile', async (probe) => {
  const { caller, at } = probe;
  const source = await fileOf(caller, at('source'), '0123456789');
  const target = await fileOf(caller, at('target'), 'abc');
  const reader = await caller.open(at('target'), O_RDONLY);
  const writer = await caller.open(at('source'), O_WRONLY);
  const append = await caller.open(at('target'), O_WRONLY | O_APPEND);
  const folder = await caller.open(at('.'), O_RDONLY);
  await caller.must('lseek', source, 0, 0);
  const send =
    (...args: Argument[]) =>
    async (): Promise<Answer> =>
      caller.call('sendfile', ...args);
  const content = async (): Promise<string> => contentOf(caller, at('target'));
  const table: [what: string, call: () => Promise<Answer | Outcome>, expected: Outcome][] = [
    ['a closed source', send(target, 999, 0, 5), 'EBADF'],
    ['a closed target', send(999, source, 0, 5), 'EBADF'],
    ['a source for writing only', send(target, writer, 0, 5), 'EBADF'],
    ['a target for reading only', send(reader, source, 0, 5), 'EBADF'],
    ['a target with O_APPEND', send(append, source, 0, 5), 'EINVAL'],
    ['a folder', send(target, folder, 0, 5), 'EINVAL'],
    ['a negative offset', send(target, source, int64(-1), 5), 'EINVAL'],
    ['a bad address', send(target, source, 8, 5), 'EFAULT'],
    ['nothing', send(target, source, 0, 0), 0],
    ['by the descriptor', send(target, source, 0, 4), 4],
    ['content', content, 'abc0123'],
    ['its offset moves', () => offsetOf(caller, source), 4],
    ['that of the target too', () => offsetOf(caller, target), 7],
    ['from an offset', send(target, source, int64(8), 100), 2],
    ['content', content, 'abc012389'],
    ['the descriptor stays', () => offsetOf(caller, source), 4],
    ['at the end', send(target, source, int64(10), 5), 0],
  ];
  // fileOf writes by pwrite, so the offset of the target is still 0.
  await caller.must('lseek', target, 3, 0);
  await rows(probe, table.map(([what, call, expected]) => ({ what, call, expected }))); // prettier-ignore
});

await suite.promises('splice', async (probe) => {
  const { caller, at } = probe;
  const source = await fileOf(caller, at('source'), '0123456789');
  const target = await fileOf(caller, at('target'), 'abc');
  const readable = await caller.open(at('source'), O_RDONLY);
  const append = await caller.open(at('target'), O_WRONLY | O_APPEND);
  const pipe = (await caller.must('pipe2', { outputBytes: 8 }, 0)).outputs[0] ?? Buffer.alloc(8);
  const [out, into] = [pipe.readInt32LE(0), pipe.readInt32LE(4)];
  const splice =
    (...args: Argument[]) =>
    async (): Promise<Answer> =>
      caller.call('splice', ...args, 0);
  const content = async (): Promise<string> => contentOf(caller, at('target'));
  const table: [what: string, call: () => Promise<Answer | Outcome>, expected: Outcome][] = [
    ['without a pipe', splice(source, 0, target, 0, 5), 'EINVAL'],
    ['a closed source', splice(999, 0, into, 0, 5), 'EBADF'],
    ['a pipe with an offset', splice(out, int64(0), target, 0, 5), 'ESPIPE'],
    ['to O_APPEND', splice(out, 0, append, 0, 5), 'EINVAL'],
    ['a negative offset', splice(source, int64(-1), into, 0, 5), 'EINVAL'],
    ['from the file', splice(source, 0, into, 0, 4), 4],
    ['its offset moves', () => offsetOf(caller, source), 4],
    ['to the file', splice(out, 0, target, int64(1), 10), 4],
    ['content', content, 'a0123'],
    ['through the page cache', splice(readable, int64(7), into, 0, 100), 3],
    ['its offset stays', () => offsetOf(caller, readable), 0],
    ['to the descriptor', splice(out, 0, target, 0, 10), 3],
    ['content', content, '78923'],
    ['the target offset moves', () => offsetOf(caller, target), 3],
    ['at the end', splice(source, int64(10), into, 0, 4), 0],
  ];
  await rows(probe, table.map(([what, call, expected]) => ({ what, call, expected }))); // prettier-ignore
  await splice(source, int64(0), into, 0, 4)();
  const act = splice(out, 0, target, int64(0), 4);
  probe.t.equal(await timesChangedBy(caller, at('target'), act), 'mtime ctime', 'times');
});

await suite.promises('ioctl', async (probe) => {
  const { caller, at } = probe;
  const fd = await fileOf(caller, at('file'), Buffer.alloc(100, 'a'));
  const other = await fileOf(caller, at('other'));
  await caller.must('fsync', fd);
  await caller.must('lseek', fd, 30, 0);
  const number = async (command: number): Promise<Outcome> => {
    const { errno, outputs } = await caller.call('ioctl', fd, command, { outputBytes: 8 });
    return errno === '' ? (outputs[0]?.readInt32LE(0) ?? -1) : errno;
  };
  const map = Buffer.alloc(32);
  map.writeBigUInt64LE(2n ** 64n - 1n, 8);
  const ioctl =
    (...args: Argument[]) =>
    async (): Promise<Answer> =>
      caller.call('ioctl', ...args);
  await rows(probe, [
    // Deliberate difference: the extents of dedupfs have no addresses on a disk to tell.
    { what: 'FIEMAP', call: ioctl(fd, IOCTL.FIEMAP, map), expected: { ext4: 0, dedupfs: 'ENOTSUP' } },
    { what: 'FICLONE', call: ioctl(other, IOCTL.FICLONE, fd), expected: 'ENOTSUP' },
    { what: 'FICLONE of a closed descriptor', call: ioctl(other, IOCTL.FICLONE, 999), expected: 'EBADF' },
    { what: 'FIDEDUPERANGE, no targets', call: ioctl(fd, IOCTL.FIDEDUPERANGE, Buffer.alloc(24)), expected: 'ENOTSUP' },
    { what: 'FIONREAD', call: () => number(IOCTL.FIONREAD), expected: 70 },
    { what: 'FIGETBSZ', call: () => number(IOCTL.FIGETBSZ), expected: BLOCK },
    // Deliberate difference: dedupfs has no attributes of chattr(1).
    { what: 'FS_IOC_GETFLAGS', call: () => number(IOCTL.FS_IOC_GETFLAGS), expected: { ext4: 0x80000, dedupfs: 'ENOTTY' } },
    { what: 'TCGETS, as isatty does', call: ioctl(fd, IOCTL.TCGETS, { outputBytes: 64 }), expected: 'ENOTTY' },
    { what: 'an unknown one', call: ioctl(fd, 0x12345678, 0), expected: 'ENOTTY' },
    { what: 'a closed descriptor', call: ioctl(999, IOCTL.FIONREAD, 0), expected: 'EBADF' },
    { what: 'FIONREAD to a bad address', call: ioctl(fd, IOCTL.FIONREAD, 8), expected: 'EFAULT' },
  ]); // prettier-ignore
  probe.t.equal(await sizeOf(caller, at('other')), 0, 'nothing was cloned');
});

await suite.promises('advice and partial syncs', async (probe) => {
  const { caller, at } = probe;
  const fd = await fileOf(caller, at('file'), Buffer.alloc(20_000, 'a'));
  const writer = await caller.open(at('file'), O_WRONLY);
  const folder = await caller.open(at('.'), O_RDONLY);
  await caller.must('mknodat', AT_FDCWD, at('fifo'), 0o010600, 0);
  const fifo = await caller.open(at('fifo'), O_RDWR);
  const call = caller.call.bind(caller);
  for (const advice of [0, 1, 2, 3, 4, 5]) {
    const answer = await call('fadvise64', fd, 0, 0, advice);
    probe.t.equal(answer.errno, '', `posix_fadvise ${advice}`);
  }
  const table: [what: string, call: () => Promise<Answer>, expected: Outcome][] = [
    ['unknown advice', () => call('fadvise64', fd, 0, 0, 99), 'EINVAL'],
    ['advice for a closed descriptor', () => call('fadvise64', 999, 0, 0, 0), 'EBADF'],
    ['advice for a fifo', () => call('fadvise64', fifo, 0, 0, 0), 'ESPIPE'],
    ['advice of a negative length', () => call('fadvise64', fd, 0, -1, 0), 'EINVAL'],
    ['readahead', () => call('readahead', fd, 0, 10_000), 0],
    ['readahead behind the end', () => call('readahead', fd, 10n ** 12n, 10), 0],
    ['readahead, O_WRONLY', () => call('readahead', writer, 0, 10), 'EBADF'],
    ['readahead of a closed descriptor', () => call('readahead', 999, 0, 10), 'EBADF'],
    ['readahead of a folder', () => call('readahead', folder, 0, 10), 'EINVAL'],
    ['readahead of a fifo', () => call('readahead', fifo, 0, 10), 'EINVAL'],
    ['sync_file_range', () => call('sync_file_range', fd, 0, 0, 7), 0],
    ['sync_file_range, no flags', () => call('sync_file_range', fd, 0, 100, 0), 0],
    ['sync_file_range, O_WRONLY', () => call('sync_file_range', writer, 0, 100, 2), 0],
    ['sync_file_range, unknown flags', () => call('sync_file_range', fd, 0, 0, 8), 'EINVAL'],
    ['sync_file_range before 0', () => call('sync_file_range', fd, -1, 0, 2), 'EINVAL'],
    ['sync_file_range of a fifo', () => call('sync_file_range', fifo, 0, 0, 2), 'ESPIPE'],
    ['sync_file_range, closed', () => call('sync_file_range', 999, 0, 0, 2), 'EBADF'],
  ];
  await rows(probe, table.map(([what, call, expected]) => ({ what, call, expected }))); // prettier-ignore
  probe.t.equal((await caller.pread(fd, 30_000, 0)).length, 20_000, 'the data is there');
});

await suite.finish();
