// Goal: truncate(2) and ftruncate(2) cut and grow as POSIX says, zeros and times included.
// Method: tables of raw calls, run on ext4 and on dedupfs.
//
// Run: node dist/test/conformance/truncate.test.js

import t from 'tap';
import { Flag, type Answer } from '../support/commands-syscalls.ts';
import {
  BLOCK,
  KIB,
  becomeNobody,
  contentOf,
  fileOf,
  offsetOf,
  settled,
  sizeOf,
  timesChangedBy,
  writeAll,
} from './calls.ts';
import { Suite } from './suite.ts';

const { AT_FDCWD, O_APPEND, O_RDONLY, O_RDWR, O_WRONLY } = Flag;

t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('truncate: errors', async ({ t, caller, at, startCaller }) => {
  const fd = await fileOf(caller, at('file'), 'content');
  const reader = await caller.open(at('file'), O_RDONLY);
  const folder = await caller.open(at('.'), O_RDONLY);
  await caller.must('mknodat', AT_FDCWD, at('fifo'), 0o010600, 0);
  const fifo = await caller.open(at('fifo'), O_RDWR);
  await caller.must('symlinkat', 'loop', AT_FDCWD, at('loop'));
  await caller.must('symlinkat', 'file', AT_FDCWD, at('link'));
  await caller.must('symlinkat', 'absent', AT_FDCWD, at('dangling'));
  await fileOf(caller, at('closed'), 'secret');
  await caller.must('fchmodat', AT_FDCWD, at('closed'), 0o444);
  const user = startCaller();
  await user.must('chdir', at('.'));
  await becomeNobody(user);
  const cut = (path: string | number, size: number | bigint) => async (): Promise<Answer> =>
    caller.call('truncate', path, size);
  const fcut = (fd: number, size: number | bigint) => async (): Promise<Answer> =>
    caller.call('ftruncate', fd, size);
  const table: [what: string, call: () => Promise<Answer>, expected: string][] = [
    ['an absent name', cut(at('absent'), 0), 'ENOENT'],
    ['the empty path', cut('', 0), 'ENOENT'],
    ['a dangling link', cut(at('dangling'), 0), 'ENOENT'],
    ['a file as a folder', cut(at('file', 'name'), 0), 'ENOTDIR'],
    ['a file with a slash', cut(`${at('file')}/`, 0), 'ENOTDIR'],
    ['a folder', cut(at('.'), 0), 'EISDIR'],
    ['a fifo', cut(at('fifo'), 0), 'EINVAL'],
    ['a link to itself', cut(at('loop'), 0), 'ELOOP'],
    ['a long name', cut(at('n'.repeat(256)), 0), 'ENAMETOOLONG'],
    ['a bad address', cut(8, 0), 'EFAULT'],
    ['a negative size', cut(at('file'), -1), 'EINVAL'],
    ['a negative size of a folder', cut(at('.'), -1), 'EINVAL'],
    ['the smallest size', cut(at('file'), -(2n ** 63n)), 'EINVAL'],
    ['the largest size', cut(at('file'), 2n ** 63n - 1n), 'EFBIG'],
    ['a closed descriptor', fcut(999, 0), 'EBADF'],
    ['O_RDONLY', fcut(reader, 0), 'EINVAL'],
    ['a descriptor of a folder', fcut(folder, 0), 'EINVAL'],
    ['a descriptor of a fifo', fcut(fifo, 0), 'EINVAL'],
    ['a negative size, ftruncate', fcut(fd, -1), 'EINVAL'],
    ['the largest size, ftruncate', fcut(fd, 2n ** 63n - 1n), 'EFBIG'],
    ['without permission', () => user.call('truncate', 'closed', 0), 'EACCES'],
    ['a file of another', () => user.call('truncate', 'file', 0), 'EACCES'],
  ];
  for (const [what, call, expected] of table) {
    const changed = await timesChangedBy(caller, at('file'), async () => {
      t.equal((await call()).errno, expected, what);
    });
    t.equal(changed, '', `${what}: nothing changes`);
  }
  t.equal(await contentOf(caller, at('file')), 'content', 'the content stays');
  t.equal((await cut(at('link'), 3)()).errno, '', 'by a link');
  t.equal(await contentOf(caller, at('file')), 'con', 'cuts its target');
});

await suite.promises('truncate: sizes, offset, times', async ({ t, caller, at }) => {
  const fd = await fileOf(caller, at('file'), Buffer.alloc(10_000, 'a'));
  const other = await caller.open(at('file'), O_RDONLY);
  await caller.must('lseek', fd, 8_000, Flag.SEEK_SET);
  const byPath = async (size: number): Promise<Answer> => caller.call('truncate', at('file'), size);
  const byFd = async (size: number): Promise<Answer> => caller.call('ftruncate', fd, size);
  for (const [name, call] of Object.entries({ truncate: byPath, ftruncate: byFd })) {
    for (const [what, size] of [
      ['shorter', 5_000],
      ['longer', 20_000],
      ['to the same size', 20_000],
      ['to a border of blocks', 8_192],
      ['by one byte', 8_191],
      ['to nothing', 0],
      ['to nothing again', 0],
      ['to 1 TiB', 2 ** 40],
      ['back', 10_000],
    ] as const) {
      const changed = await timesChangedBy(caller, at('file'), async () => {
        t.equal((await call(size)).errno, '', `${name} ${what}`);
      });
      // POSIX lets a size that stays leave the times; Linux changes them for both calls.
      t.equal(changed, 'mtime ctime', `${name} ${what}: times`);
      t.equal(await sizeOf(caller, at('file')), size, `${name} ${what}: size`);
      const end = (await caller.must('lseek', other, 0, Flag.SEEK_END)).value;
      t.equal(end, size, `${name} ${what}: size by another descriptor`);
    }
  }
  t.equal(await offsetOf(caller, fd), 8_000, 'the offset stays');
  const append = await caller.open(at('file'), O_WRONLY | O_APPEND);
  t.equal((await caller.call('ftruncate', append, 10)).errno, '', 'O_APPEND does not mind');
});

await suite.promises('truncate: zeros after cutting and growing', async ({ t, caller, at }) => {
  const data = Buffer.from(Array.from({ length: 40_000 }, (_, index) => 1 + (index % 251)));
  const sizes = [1, 511, 4095, 4096, 4097, 8192, 12_345, 39_999];
  for (const isSynced of [false, true]) {
    for (const cut of sizes) {
      const name = `${cut}-${String(isSynced)}`;
      const fd = await fileOf(caller, at(name), data);
      if (isSynced) await caller.must('fsync', fd);
      await caller.must('ftruncate', fd, cut);
      await caller.must('ftruncate', fd, 50_000);
      const got = await caller.pread(fd, 60_000, 0);
      const want = Buffer.concat([data.subarray(0, cut), Buffer.alloc(50_000 - cut)]);
      t.ok(got.equals(want), `cut to ${cut}, ${isSynced ? 'synced' : 'not synced'}`);
      const reader = await caller.open(at(name), O_RDONLY);
      const cached = await caller.pread(reader, 60_000, 0);
      t.ok(cached.equals(want), `cut to ${cut}: through the page cache`);
      for (const open of [fd, reader]) await caller.must('close', open);
    }
  }
  const fd = await fileOf(caller, at('gap'), data.subarray(0, 5_000));
  await caller.must('ftruncate', fd, 100);
  await caller.pwrite(fd, 'end', 6_000);
  const gap = await caller.pread(fd, 9_000, 0);
  const want = Buffer.concat([data.subarray(0, 100), Buffer.alloc(5_900), Buffer.from('end')]);
  t.ok(gap.equals(want), 'a write behind the end leaves zeros, not what was cut');
  const reader = await caller.open(at('gap'), O_RDONLY);
  await caller.pread(reader, 9_000, 0);
  await caller.must('truncate', at('gap'), 50);
  await caller.must('truncate', at('gap'), 200);
  const again = await caller.pread(reader, 9_000, 0);
  t.ok(again.equals(Buffer.concat([data.subarray(0, 50), Buffer.alloc(150)])), 'cached pages too');
});

await suite.promises('truncate: blocks', async ({ t, caller, at }) => {
  const fd = await fileOf(caller, at('file'), Buffer.alloc(64 * KIB, 'a'));
  const blocks = async (): Promise<number> => (await settled(caller, fd, at('file'))).blocks;
  t.equal(await blocks(), 128, '64 KiB of data');
  for (const [what, size, expected] of [
    ['to 32 KiB', 32 * KIB, 64],
    ['to the middle of a block', 5 * BLOCK + 1, 48],
    ['within that block', 5 * BLOCK + 4_000, 48],
    ['growing takes none', 2 ** 30, 48],
    ['back to the border', 5 * BLOCK, 40],
    ['to one byte', 1, 8],
    ['to nothing', 0, 0],
    ['growing from nothing', 2 ** 40, 0],
  ] as const) {
    await caller.must('ftruncate', fd, size);
    t.equal(await blocks(), expected, what);
  }
});

await suite.promises('truncate: open and removed files', async ({ t, caller, at, startCaller }) => {
  const fd = await fileOf(caller, at('file'), Buffer.alloc(10_000, 'a'));
  const other = startCaller();
  const reader = await other.open(at('file'), O_RDONLY);
  await other.pread(reader, 10_000, 0);
  await caller.must('truncate', at('file'), 4);
  t.equal((await other.pread(reader, 100, 0)).toString(), 'aaaa', 'another process sees the cut');
  t.equal((await other.pread(reader, 100, 5_000)).length, 0, 'and nothing behind');
  await caller.must('unlinkat', AT_FDCWD, at('file'), 0);
  t.equal((await caller.call('ftruncate', fd, 5_000)).errno, '', 'a file without a name');
  t.equal((await other.pread(reader, 9_000, 0)).length, 5_000, 'grows too');
  const many = await fileOf(caller, at('many'));
  let text = '';
  for (let round = 0; round < 40; round++) {
    const size = (round * 7_919) % 20_000;
    await caller.must('ftruncate', many, size);
    await writeAll(caller, many, `<${round}>`, size);
    text = text.slice(0, size).padEnd(size, '\0') + `<${round}>`;
  }
  t.equal(await contentOf(caller, at('many')), text, 'cuts and writes by turns');
});

await suite.finish();
