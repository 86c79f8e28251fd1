// Goal: holes are found to the block, take no space, and every way to make one makes one.
// Method: tables of raw calls, run on ext4 and on dedupfs; cp and tar as users run them.
//
// Run: node dist/test/conformance/sparse.test.js

import t from 'tap';
import { run } from '../support/commands.ts';
import { statusOf } from '../support/commands-statx.ts';
import { Flag, type Answer, type Caller } from '../support/commands-syscalls.ts';
import { BLOCK, contentOf, fileOf, outcomeOf, rows, settled, sizeOf, timesChangedBy, type Outcome } from './calls.ts'; // prettier-ignore
import { Suite } from './suite.ts';

const { AT_FDCWD, O_RDONLY, O_RDWR, SEEK_CUR, SEEK_DATA, SEEK_HOLE } = Flag;
const { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE } = Flag;
const SECTORS = BLOCK / 512;

t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('SEEK_DATA and SEEK_HOLE, to the block', async (probe) => {
  const { t, caller, at } = probe;
  // Blocks:          0    1    2    3    4    5    6    7    8    9
  //                  hole data data hole hole DATA hole hole hole end in it
  const fd = await fileOf(caller, at('file'));
  await caller.pwrite(fd, Buffer.alloc(2 * BLOCK, 'a'), BLOCK);
  // Not aligned: the whole block becomes data.
  await caller.pwrite(fd, 'bb', 5 * BLOCK + 100);
  const size = 9 * BLOCK + 50;
  await caller.must('ftruncate', fd, size);
  const table: [from: number, data: Outcome, hole: Outcome][] = [
    [0, BLOCK, 0],
    [1, BLOCK, 1],
    [BLOCK - 1, BLOCK, BLOCK - 1],
    [BLOCK, BLOCK, 3 * BLOCK],
    [BLOCK + 1, BLOCK + 1, 3 * BLOCK],
    [3 * BLOCK - 1, 3 * BLOCK - 1, 3 * BLOCK],
    [3 * BLOCK, 5 * BLOCK, 3 * BLOCK],
    [3 * BLOCK + 7, 5 * BLOCK, 3 * BLOCK + 7],
    [5 * BLOCK, 5 * BLOCK, 6 * BLOCK],
    [5 * BLOCK + 99, 5 * BLOCK + 99, 6 * BLOCK],
    [5 * BLOCK + 102, 5 * BLOCK + 102, 6 * BLOCK],
    [6 * BLOCK - 1, 6 * BLOCK - 1, 6 * BLOCK],
    [6 * BLOCK, 'ENXIO', 6 * BLOCK],
    [8 * BLOCK + 5, 'ENXIO', 8 * BLOCK + 5],
    [size - 1, 'ENXIO', size - 1],
    [size, 'ENXIO', 'ENXIO'],
    [size + 1, 'ENXIO', 'ENXIO'],
    [2 ** 43, 'ENXIO', 'ENXIO'],
    [-1, 'ENXIO', 'ENXIO'],
  ];
  for (const mode of ['fresh', 'synced']) {
    for (const [from, data, hole] of table) {
      t.equal(await seek(caller, fd, from, SEEK_DATA), data, `${mode}: data from ${from}`);
      t.equal(await seek(caller, fd, from, SEEK_HOLE), hole, `${mode}: hole from ${from}`);
    }
    await caller.must('fsync', fd);
  }
  const reader = await caller.open(at('file'), O_RDONLY);
  t.equal(await seek(caller, reader, 0, SEEK_DATA), BLOCK, 'O_RDONLY');
  t.equal(await seek(caller, reader, 0, SEEK_CUR), BLOCK, 'it moves the offset');
  t.equal(await seek(caller, reader, size, SEEK_DATA), 'ENXIO', 'a failure');
  t.equal(await seek(caller, reader, 0, SEEK_CUR), BLOCK, 'does not');
});

await suite.promises('the hole at the end of a file', async ({ t, caller, at }) => {
  const empty = await fileOf(caller, at('empty'));
  t.equal(await seek(caller, empty, 0, SEEK_DATA), 'ENXIO', 'an empty file: data');
  t.equal(await seek(caller, empty, 0, SEEK_HOLE), 'ENXIO', 'an empty file: hole');
  for (const size of [1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5]) {
    const fd = await fileOf(caller, at(`full-${size}`), Buffer.alloc(size, 'a'));
    t.equal(await seek(caller, fd, 0, SEEK_HOLE), size, `${size} bytes: the hole is the end`);
    t.equal(await seek(caller, fd, size - 1, SEEK_HOLE), size, 'also from the last byte');
    t.equal(await seek(caller, fd, size - 1, SEEK_DATA), size - 1, 'which is data');
    t.equal(await seek(caller, fd, size, SEEK_DATA), 'ENXIO', 'the last one');
  }
  const hole = await fileOf(caller, at('hole'));
  await caller.must('ftruncate', hole, 10 * BLOCK);
  t.equal(await seek(caller, hole, 0, SEEK_DATA), 'ENXIO', 'nothing but a hole: data');
  t.equal(await seek(caller, hole, 5, SEEK_HOLE), 5, 'nothing but a hole: hole');
  const fifo = at('fifo');
  await caller.must('mknodat', AT_FDCWD, fifo, 0o010600, 0);
  t.equal(await seek(caller, await caller.open(fifo, O_RDWR), 0, SEEK_DATA), 'ESPIPE', 'a fifo');
});

await suite.promises('a file of 16 TiB with data at both ends', async (probe) => {
  const { t, caller, at } = probe;
  const size = 2 ** 44 - BLOCK;
  const fd = await fileOf(caller, at('file'), 'head');
  await caller.pwrite(fd, 'tail', size - 4);
  const status = await settled(caller, fd, at('file'));
  t.equal(status.size, size, 'size');
  t.equal(status.blocks, 2 * SECTORS, 'two blocks');
  t.equal((await caller.pread(fd, 8, size - 8)).toString(), '\0\0\0\0tail');
  t.equal((await caller.pread(fd, 8, 0)).toString(), 'head\0\0\0\0');
  t.equal(await seek(caller, fd, 0, SEEK_HOLE), BLOCK);
  t.equal(await seek(caller, fd, BLOCK, SEEK_DATA), size - BLOCK);
  t.equal(await seek(caller, fd, size - BLOCK, SEEK_HOLE), size);
  t.ok((await caller.pread(fd, 64 * 1024, 2 ** 43)).equals(Buffer.alloc(64 * 1024)), 'zeros');
  await caller.must('fallocate', fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, BLOCK, size - 2 * BLOCK);
  t.equal((await settled(caller, fd, at('file'))).blocks, 2 * SECTORS, 'punching the hole');
});

await suite.promises('blocks and holes that writes leave', async (probe) => {
  const { t, caller, at } = probe;
  const table: [what: string, writes: [offset: number, bytes: number][], blocks: number][] = [
    ['one byte', [[0, 1]], 1],
    ['a block', [[0, BLOCK]], 1],
    ['a byte more', [[0, BLOCK + 1]], 2],
    ['the last byte of a block', [[BLOCK - 1, 1]], 1],
    ['across a border', [[BLOCK - 1, 2]], 2],
    ['twice in one block', [[5, 1], [4_000, 5]], 1],
    ['the same twice', [[0, 9_000], [0, 9_000]], 3],
    ['two apart', [[0, 1], [10 * BLOCK, 1]], 2],
    ['neighbours', [[0, BLOCK], [BLOCK, BLOCK]], 2],
    ['backwards', [[8 * BLOCK, BLOCK], [4 * BLOCK, BLOCK], [0, BLOCK]], 3],
    ['a far one', [[2 ** 40 + 1, 1]], 1],
  ]; // prettier-ignore
  for (const [index, [what, writes, blocks]] of table.entries()) {
    const path = at(`file-${index}`);
    const fd = await fileOf(caller, path);
    for (const [offset, bytes] of writes) {
      await caller.pwrite(fd, Buffer.alloc(bytes, `${index}`), offset);
    }
    t.equal((await settled(caller, fd, path)).blocks, blocks * SECTORS, what);
  }
  const zeros = await fileOf(caller, at('zeros'), Buffer.alloc(8 * BLOCK));
  // Deliberate difference: dedupfs finds runs of zeros and stores them as holes.
  const { blocks } = await settled(caller, zeros, at('zeros'));
  if (probe.isExt4) t.equal(blocks, 8 * SECTORS, 'zeros that were written');
  else t.ok(blocks <= 8 * SECTORS, `zeros that were written: ${blocks}`);
});

await suite.promises('cp and tar keep content and holes', async (probe) => {
  const { t, caller, at, directory } = probe;
  const fd = await fileOf(caller, at('sparse'), Buffer.alloc(3 * BLOCK, 'a'));
  await caller.pwrite(fd, Buffer.alloc(2 * BLOCK + 17, 'b'), 100 * BLOCK);
  await caller.must('ftruncate', fd, 200 * BLOCK + 5);
  await caller.must('fsync', fd);
  const map = await dataOf(caller, at('sparse'));
  const want: [number, number][] = [[0, 3 * BLOCK], [100 * BLOCK, 103 * BLOCK]]; // prettier-ignore
  t.strictSame(map, want, 'the source');
  const content = await contentOf(caller, at('sparse'));
  const shell = async (script: string): Promise<number> =>
    (await run('bash', ['-euc', script], { cwd: directory, timeoutMs: 30_000 })).code;
  for (const mode of ['auto', 'always', 'never']) {
    t.equal(await shell(`cp --sparse=${mode} sparse ${mode} && sync ${mode}`), 0, `cp ${mode}`);
    t.ok((await contentOf(caller, at(mode))) === content, `${mode}: content`);
    const copy = await dataOf(caller, at(mode));
    if (mode !== 'never') t.strictSame(copy, want, `${mode}: holes`);
    // Deliberate difference: dedupfs may find the zeros that cp wrote, and make holes of them.
    else if (probe.isExt4) t.strictSame(copy, [[0, 200 * BLOCK + 5]], `${mode}: none`);
  }
  t.equal(await shell('tar -S -cf a.tar sparse && mkdir out && tar -S -C out -xf a.tar'), 0, 'tar');
  t.ok((await sizeOf(caller, at('a.tar'))) < 20 * BLOCK, 'the archive has the data only');
  t.ok((await contentOf(caller, at('out', 'sparse'))) === content, 'tar: content');
  t.strictSame(await dataOf(caller, at('out', 'sparse')), want, 'tar: holes');
  t.equal(await shell('cmp sparse always && cmp sparse never && cmp sparse out/sparse'), 0, 'cmp');
  const disk = (await statusOf(caller, at('sparse'))).blocks;
  t.equal(disk, 6 * SECTORS, 'du counts the data');
  t.equal(await shell('test "$(du -B1 sparse | cut -f1)" = 24576'), 0, 'as du does');
});

await suite.promises('holes: times', async ({ t, caller, at }) => {
  const fd = await fileOf(caller, at('file'), Buffer.alloc(4 * BLOCK, 'a'));
  const look = async (): Promise<Answer> => caller.call('lseek', fd, 0, SEEK_HOLE);
  t.equal(await timesChangedBy(caller, at('file'), look), '', 'looking for holes');
});

await suite.promises('data, hole and data again', async (probe) => {
  const { caller, at } = probe;
  const fd = await fileOf(caller, at('file'), Buffer.alloc(8 * BLOCK, 'a'));
  const punch = (offset: number, bytes: number) => async (): Promise<Answer> =>
    caller.call('fallocate', fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, bytes);
  const map = async (): Promise<string> => JSON.stringify(await dataOf(caller, at('file')));
  const blocks = async (): Promise<number> =>
    (await settled(caller, fd, at('file'))).blocks / SECTORS;
  const inBlocks = (...pairs: [number, number][]): string =>
    JSON.stringify(pairs.map((pair) => pair.map((block) => block * BLOCK)));
  await rows(probe, [
    { what: 'punch two blocks', call: punch(2 * BLOCK, 2 * BLOCK), expected: 0 },
    { what: 'its map', call: map, expected: inBlocks([0, 2], [4, 8]) },
    { what: 'its blocks', call: blocks, expected: 6 },
    { what: 'punch part of a block', call: punch(5 * BLOCK + 1, BLOCK - 2), expected: 0 },
    { what: 'the block stays data', call: map, expected: inBlocks([0, 2], [4, 8]) },
    { what: 'its blocks', call: blocks, expected: 6 },
    { what: 'punch one and two halves', call: punch(5 * BLOCK + 9, 2 * BLOCK), expected: 0 },
    { what: 'the whole one goes', call: map, expected: inBlocks([0, 2], [4, 6], [7, 8]) },
    { what: 'its blocks', call: blocks, expected: 5 },
    { what: 'punch behind the end', call: punch(20 * BLOCK, BLOCK), expected: 0 },
    { what: 'the size stays', call: () => sizeOf(caller, at('file')), expected: 8 * BLOCK },
    {
      what: 'write into the hole',
      call: () => caller.call('pwrite64', fd, 'x', 1, 3 * BLOCK),
      expected: 1,
    },
    { what: 'its block is data', call: map, expected: inBlocks([0, 2], [3, 6], [7, 8]) },
    { what: 'its blocks', call: blocks, expected: 6 },
    { what: 'punch all', call: punch(0, 8 * BLOCK), expected: 0 },
    { what: 'no data', call: map, expected: '[]' },
    { what: 'no blocks', call: blocks, expected: 0 },
    { what: 'the size stays', call: () => sizeOf(caller, at('file')), expected: 8 * BLOCK },
  ]);
});

await suite.finish();

async function seek(caller: Caller, fd: number, from: number, whence: number): Promise<Outcome> {
  return outcomeOf(await caller.call('lseek', fd, from, whence));
}

/** The ranges of data of a file. */
async function dataOf(caller: Caller, path: string): Promise<[number, number][]> {
  const fd = await caller.open(path, O_RDONLY);
  const ranges: [number, number][] = [];
  for (let from = 0; ;) {
    const data = await seek(caller, fd, from, SEEK_DATA);
    if (typeof data === 'string') break;
    from = Number(await seek(caller, fd, data, SEEK_HOLE));
    ranges.push([data, from]);
  }
  await caller.must('close', fd);
  return ranges;
}
