// Goal: fallocate(2) in each of its modes: content, size, blocks, holes, times, errors.
// Method: tables of raw calls, run on ext4 and on dedupfs.
//
// Run: node dist/test/conformance/allocate.test.js

import t from 'tap';
import { Flag, type Answer } from '../support/commands-syscalls.ts';
import { BLOCK, More, contentOf, fileOf, outcomeOf, rows, settled, sizeOf, timesChangedBy } from './calls.ts'; // prettier-ignore
import { Suite } from './suite.ts';

const { AT_FDCWD, O_RDONLY, O_RDWR } = Flag;
const { FALLOC_COLLAPSE_RANGE, FALLOC_INSERT_RANGE } = More;
const KEEP = Flag.FALLOC_KEEP_SIZE;
const PUNCH = Flag.FALLOC_PUNCH_HOLE | KEEP;
const ZERO = Flag.FALLOC_ZERO_RANGE;
const UNSHARE = 0x40;

t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('fallocate: errors', async ({ t, caller, at }) => {
  const fd = await fileOf(caller, at('file'), 'content');
  const reader = await caller.open(at('file'), O_RDONLY);
  const folder = await caller.open(at('.'), O_RDONLY);
  await caller.must('mknodat', AT_FDCWD, at('fifo'), 0o010600, 0);
  const fifo = await caller.open(at('fifo'), O_RDWR);
  const max = 2n ** 63n - 1n;
  type Row = [what: string, fd: number, mode: number, from: number | bigint, bytes: number | bigint, expected: string]; // prettier-ignore
  const table: Row[] = [
    ['a closed descriptor', 999, 0, 0, 1, 'EBADF'],
    ['O_RDONLY', reader, 0, 0, 1, 'EBADF'],
    ['O_RDONLY, punch', reader, PUNCH, 0, 1, 'EBADF'],
    ['a folder', folder, 0, 0, 1, 'EBADF'],
    ['a fifo', fifo, 0, 0, 1, 'ESPIPE'],
    ['a negative offset', fd, 0, -1, 1, 'EINVAL'],
    ['no length', fd, 0, 0, 0, 'EINVAL'],
    ['a negative length', fd, 0, 0, -1, 'EINVAL'],
    ['no length, punch', fd, PUNCH, 0, 0, 'EINVAL'],
    ['no length, zero', fd, ZERO, 0, 0, 'EINVAL'],
    ['an unknown mode', fd, 0x4000, 0, 1, 'ENOTSUP'],
    ['punch without keep', fd, Flag.FALLOC_PUNCH_HOLE, 0, 1, 'ENOTSUP'],
    ['punch and zero', fd, PUNCH | ZERO, 0, 1, 'ENOTSUP'],
    ['the largest offset', fd, 0, max, 1, 'EFBIG'],
    ['the largest length', fd, 0, 1, max, 'EFBIG'],
    ['the largest length, keep', fd, KEEP, 1, max, 'EFBIG'],
    ['beyond every limit, zero', fd, ZERO, max - 10n, 10, 'EFBIG'],
    ['unshare', fd, UNSHARE, 0, 1, 'ENOTSUP'],
  ];
  for (const [what, fd, mode, from, bytes, expected] of table) {
    const changed = await timesChangedBy(caller, at('file'), async () => {
      t.equal((await caller.call('fallocate', fd, mode, from, bytes)).errno, expected, what);
    });
    t.equal(changed, '', `${what}: times stay`);
  }
  t.equal(await contentOf(caller, at('file')), 'content');
});

await suite.promises('fallocate: sizes and content', async ({ t, caller, at }) => {
  const data = Buffer.alloc(3 * BLOCK + 100, 'a');
  const table: [what: string, mode: number, from: number, bytes: number, size: number][] = [
    ['inside', 0, 0, BLOCK, data.length],
    ['to the end', 0, 0, data.length, data.length],
    ['a byte more', 0, data.length, 1, data.length + 1],
    ['far behind the end', 0, 10 * BLOCK, BLOCK, 11 * BLOCK],
    ['keep: inside', KEEP, 0, BLOCK, data.length],
    ['keep: behind the end', KEEP, data.length, 10 * BLOCK, data.length],
    ['punch: a block', PUNCH, BLOCK, BLOCK, data.length],
    ['punch: within a block', PUNCH, 100, 50, data.length],
    ['punch: across borders', PUNCH, 1_000, 9_000, data.length],
    ['punch: over the end', PUNCH, 2 * BLOCK, 10 * BLOCK, data.length],
    ['punch: the last byte', PUNCH, data.length - 1, 1, data.length],
    ['punch: behind the end', PUNCH, 10 * BLOCK, BLOCK, data.length],
    ['punch: everything', PUNCH, 0, 2 ** 40, data.length],
    ['zero: a block', ZERO, BLOCK, BLOCK, data.length],
    ['zero: within a block', ZERO, 100, 50, data.length],
    ['zero: over the end', ZERO, 2 * BLOCK + 7, 2 * BLOCK, 4 * BLOCK + 7],
    ['zero: behind the end', ZERO, 10 * BLOCK, 5, 10 * BLOCK + 5],
    ['zero, keep: over the end', ZERO | KEEP, 2 * BLOCK, 10 * BLOCK, data.length],
    ['zero, keep: behind the end', ZERO | KEEP, 20 * BLOCK, BLOCK, data.length],
  ];
  for (const [index, [what, mode, from, bytes, size]] of table.entries()) {
    const path = at(`file-${index}`);
    const fd = await fileOf(caller, path, data);
    const reader = await caller.open(path, O_RDONLY);
    await caller.pread(reader, size, 0);
    const changed = await timesChangedBy(caller, path, async () => {
      t.equal(outcomeOf(await caller.call('fallocate', fd, mode, from, bytes)), 0, what);
    });
    const isPlainInside = mode !== PUNCH && (mode & ZERO) === 0 && size === data.length;
    // Allocating what is there changes ctime on ext4 only where it allocates; POSIX asks for none.
    if (!isPlainInside) t.equal(changed, 'mtime ctime', `${what}: times`);
    t.equal(await sizeOf(caller, path), size, `${what}: size`);
    const want = Buffer.alloc(size);
    data.copy(want);
    if (mode === PUNCH || (mode & ZERO) !== 0)
      want.fill(0, Math.min(from, size), Math.min(from + bytes, size));
    t.ok((await caller.pread(fd, size + 10, 0)).equals(want), `${what}: content`);
    t.ok((await caller.pread(reader, size + 10, 0)).equals(want), `${what}: in the page cache`);
  }
});

await suite.promises('fallocate: blocks', async (probe) => {
  const { caller, at } = probe;
  const fd = await fileOf(caller, at('file'), Buffer.alloc(8 * BLOCK, 'a'));
  const allocate = (mode: number, from: number, bytes: number) => async (): Promise<Answer> =>
    caller.call('fallocate', fd, mode, from * BLOCK, bytes * BLOCK);
  const blocks = async (): Promise<number> => (await settled(caller, fd, at('file'))).blocks / 8;
  await rows(probe, [
    { what: 'data', call: blocks, expected: 8 },
    { what: 'punch', call: allocate(PUNCH, 2, 2), expected: 0 },
    { what: 'gives blocks back', call: blocks, expected: 6 },
    { what: 'a plain one over the hole', call: allocate(0, 0, 8), expected: 0 },
    // Deliberate difference: dedupfs cannot reserve space for data that it does not know yet.
    { what: 'takes blocks', call: blocks, expected: { ext4: 8, dedupfs: 6 } },
    { what: 'zero', call: allocate(ZERO, 0, 2), expected: 0 },
    // Deliberate difference: ext4 keeps zeroed blocks allocated, dedupfs makes a hole.
    { what: 'keeps blocks', call: blocks, expected: { ext4: 8, dedupfs: 4 } },
    { what: 'behind the end', call: allocate(KEEP, 8, 4), expected: 0 },
    // Deliberate difference: as above, nothing is reserved.
    { what: 'takes blocks too', call: blocks, expected: { ext4: 12, dedupfs: 4 } },
    { what: 'cutting to nothing', call: () => caller.call('ftruncate', fd, 0), expected: 0 },
    { what: 'gives all back', call: blocks, expected: 0 },
  ]);
});

await suite.promises('fallocate: collapse and insert', async (probe) => {
  const { t, caller, at, isExt4 } = probe;
  const parts = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(BLOCK));
  const text = parts.join('');
  const fd = await fileOf(caller, at('file'), text);
  const shift = (mode: number, from: number, bytes: number) => async (): Promise<Answer> =>
    caller.call('fallocate', fd, mode, from, bytes);
  // Deliberate difference: dedupfs does not move the rest of a file (EOPNOTSUPP, by the manual).
  const expected = { ext4: 0, dedupfs: 'ENOTSUP' };
  const invalid = { ext4: 'EINVAL', dedupfs: 'ENOTSUP' };
  const [collapse, insert] = [FALLOC_COLLAPSE_RANGE, FALLOC_INSERT_RANGE];
  await rows(probe, [
    { what: 'collapse', call: shift(collapse, BLOCK, BLOCK), expected },
    { what: 'collapse, not aligned', call: shift(collapse, 1, BLOCK), expected: invalid },
    { what: 'collapse to the end', call: shift(collapse, BLOCK, 9 * BLOCK), expected: invalid },
  ]);
  const cut = text.replace(parts[1] ?? '', '');
  t.ok((await contentOf(caller, at('file'))) === (isExt4 ? cut : text), 'content');
  await rows(probe, [
    { what: 'insert', call: shift(insert, 2 * BLOCK, BLOCK), expected },
    { what: 'insert, not aligned', call: shift(insert, BLOCK, 7), expected: invalid },
    { what: 'insert at the end', call: shift(insert, 99 * BLOCK, BLOCK), expected: invalid },
  ]);
  t.equal(await sizeOf(caller, at('file')), 4 * BLOCK, 'size');
});

await suite.finish();
