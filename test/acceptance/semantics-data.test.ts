// Goal: file contents behave on the mount as POSIX and Linux say: sizes, holes, appending, mappings.
// Method: raw system calls, so that every errno, offset and flag is seen as the kernel gives it.
//
// Run: node dist/test/acceptance/semantics-data.test.js

import t from 'tap';
import { requirePrograms, requireRoot } from '../support/commands.ts';
import { Flag, type Caller } from '../support/commands-syscalls.ts';
import { statusOf } from '../support/commands-statx.ts';
import { behaves, type Bench } from '../support/mounted-store-behaviour.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { randomBytesOf } from '../support/random.ts';

const { AT_FDCWD, O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = Flag;
const { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE } = Flag;
const { MAP_SHARED, MS_SYNC, PROT_READ, PROT_WRITE } = Flag;
const KIB = 1024;

t.setTimeout(300_000);
requireRoot();
requirePrograms({ perl: 'perl' });
const store = await MountedStore.mounted(t);
const behavesWhen = async (name: string, body: (bench: Bench) => Promise<void>): Promise<void> =>
  behaves(t, store, name, body);

await behavesWhen('truncate cuts, and grows with zeros', async ({ t, caller, at }) => {
  const data = randomBytesOf(1, 200_000);
  const fd = await create(caller, at('file'), data);
  for (const size of [100_001, 50, 0, 70_000, 150_000]) {
    await caller.must('ftruncate', fd, size);
    t.equal((await statusOf(caller, at('file'))).size, size);
  }
  t.ok((await caller.pread(fd, 200_000, 0)).equals(Buffer.alloc(150_000)), 'nothing old is back');
  await caller.pwrite(fd, data, 0);
  await caller.must('ftruncate', fd, 99_999);
  await caller.must('ftruncate', fd, 120_000);
  const want = Buffer.concat([data.subarray(0, 99_999), Buffer.alloc(20_001)]);
  t.ok((await caller.pread(fd, 200_000, 0)).equals(want), 'the tail beyond the cut is zeros');
  await caller.must('truncate', at('file'), 10);
  t.equal((await statusOf(caller, at('file'))).size, 10, 'truncate by path');
  await caller.open(at('file'), O_WRONLY | O_TRUNC);
  t.equal((await statusOf(caller, at('file'))).size, 0, 'O_TRUNC');
});

await behavesWhen('O_APPEND from two processes loses nothing', async (bench) => {
  const { t, caller, at, startCaller } = bench;
  const writers = [caller, startCaller()];
  const lines = 300;
  const append = async (writer: Caller, index: number): Promise<void> => {
    const fd = await writer.open(at('log'), O_CREAT | O_WRONLY | O_APPEND);
    for (let line = 0; line < lines; line++) {
      const text = `writer ${index} line ${String(line).padStart(4, '0')}\n`;
      await writer.must('write', fd, text, text.length);
    }
  };
  await Promise.all(writers.map(append));
  const fd = await caller.open(at('log'), O_RDONLY);
  const content = (await caller.pread(fd, 1_000_000, 0)).toString().trimEnd().split('\n');
  t.equal(content.length, 2 * lines, 'every line is there');
  for (const index of [0, 1]) {
    const own = content.filter((line) => line.startsWith(`writer ${index} `));
    t.strictSame(own, [...own].sort(), `the lines of writer ${index} are in order`);
    t.equal(new Set(own).size, lines, `the lines of writer ${index} are whole`);
  }
});

await behavesWhen('fallocate: keep size, grow, punch, zero', async ({ t, caller, at }) => {
  const data = randomBytesOf(2, 100 * KIB);
  const fd = await create(caller, at('file'), data);
  const sizeAfter = async (mode: number, offset: number, bytes: number): Promise<number> => {
    await caller.must('fallocate', fd, mode, offset, bytes);
    return (await statusOf(caller, at('file'))).size;
  };
  t.equal(await sizeAfter(FALLOC_KEEP_SIZE, 0, 500 * KIB), 100 * KIB, 'keep size');
  t.equal(await sizeAfter(0, 0, 120 * KIB), 120 * KIB, 'allocating beyond the end grows');
  t.ok((await caller.pread(fd, 100 * KIB, 0)).equals(data), 'the data stays');

  const want = Buffer.concat([data, Buffer.alloc(20 * KIB)]);
  await caller.must('fallocate', fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 5_000, 40_000);
  want.fill(0, 5_000, 45_000);
  t.ok((await caller.pread(fd, 120 * KIB, 0)).equals(want), 'a punched hole reads as zeros');
  t.equal(await sizeAfter(FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE, 60_000, 500_000), 120 * KIB);
  want.fill(0, 60_000);
  t.ok((await caller.pread(fd, 120 * KIB, 0)).equals(want), 'a zeroed range reads as zeros');
  t.equal(await sizeAfter(FALLOC_ZERO_RANGE, 110 * KIB, 40 * KIB), 150 * KIB, 'zeroing grows');
  await caller.pwrite(fd, 'again', 20_000);
  t.equal((await caller.pread(fd, 7, 19_999)).toString(), '\0again\0', 'a hole takes data');
  const punchOnly = await caller.call('fallocate', fd, FALLOC_PUNCH_HOLE, 0, 10);
  t.match(punchOnly.errno, /^E(OP)?NOTSUPP?$/, 'punching must keep the size');
});

await behavesWhen('SEEK_HOLE and SEEK_DATA find the data', async ({ t, caller, at }) => {
  const [MIB, offset, end] = [1024 * KIB, 64 * 1024 * KIB, 5 * 1024 * 1024 * KIB];
  const fd = await caller.open(at('sparse'), O_CREAT | O_RDWR);
  await caller.pwrite(fd, randomBytesOf(3, MIB), offset);
  await caller.must('ftruncate', fd, end);
  const seek = async (from: number, whence: number): Promise<number | string> => {
    const answer = await caller.call('lseek', fd, from, whence);
    return answer.errno === '' ? answer.value : answer.errno;
  };
  // Borders may be rounded outwards to blocks, but never hide data.
  const data = Number(await seek(0, Flag.SEEK_DATA));
  t.ok(data <= offset && data > offset - MIB, `the data begins at ${data}`);
  const hole = Number(await seek(offset, Flag.SEEK_HOLE));
  t.ok(hole >= offset + MIB && hole < offset + 2 * MIB, `the data ends at ${hole}`);
  t.equal(await seek(0, Flag.SEEK_HOLE), 0, 'the file begins with a hole');
  t.equal(await seek(hole, Flag.SEEK_DATA), 'ENXIO', 'no data behind');
  t.equal(await seek(end, Flag.SEEK_HOLE), 'ENXIO', 'at the end of the file');
  t.equal(await seek(0, Flag.SEEK_END), end, 'the end is beyond 4 GiB');
  await caller.pwrite(fd, 'tail', end - 4);
  t.equal((await caller.pread(fd, 10, end - 6)).toString(), '\0\0tail');
  t.ok((await statusOf(caller, at('sparse'))).blocks * 512 < 8 * MIB, 'holes take no room');
});

await behavesWhen('a write is seen through every handle at once', async (bench) => {
  const { t, caller, at, startCaller } = bench;
  const other = startCaller();
  const writer = await caller.open(at('file'), O_CREAT | O_RDWR);
  const reader = await other.open(at('file'), O_RDONLY);
  t.equal((await other.pread(reader, 10, 0)).length, 0, 'an empty file has nothing to read');
  for (let round = 0; round < 50; round++) {
    const text = `round ${round}`;
    await caller.pwrite(writer, text, round * 5_000);
    t.equal((await other.pread(reader, 100, round * 5_000)).toString(), text);
  }
});

await behavesWhen('a shared mapping and write see each other', async ({ t, caller, at }) => {
  const bytes = 64 * KIB;
  const fd = await create(caller, at('file'), Buffer.alloc(bytes, 'a'));
  const address = await map(caller, fd, bytes);
  t.equal((await caller.peek(address, 4)).toString(), 'aaaa');
  await caller.pwrite(fd, 'written', 5_000);
  t.equal((await caller.peek(address + 5_000, 7)).toString(), 'written', 'write is seen mapped');
  // read(2) into the mapping is how a process without a compiler stores to memory.
  const source = await create(caller, at('source'), Buffer.from('mapped'));
  await caller.must('pread64', source, address + 9_000, 6, 0);
  const reader = await caller.open(at('file'), O_RDONLY);
  t.equal((await caller.pread(reader, 6, 9_000)).toString(), 'mapped', 'a store is seen by read');
  await caller.must('msync', address, bytes, MS_SYNC);
  await caller.must('munmap', address, bytes);
  t.equal((await caller.pread(fd, 6, 9_000)).toString(), 'mapped', 'it stays when unmapped');
});

await behavesWhen('a mapping outlives its handle', async ({ t, caller, at, startCaller }) => {
  const fd = await create(caller, at('file'), Buffer.alloc(8 * KIB, 'b'));
  const address = await map(caller, fd, 8 * KIB);
  await caller.must('close', fd);
  const source = await create(caller, at('source'), Buffer.from('late'));
  await caller.must('pread64', source, address + 100, 4, 0);
  await caller.must('munmap', address, 8 * KIB);
  const other = startCaller();
  const reader = await other.open(at('file'), O_RDONLY);
  t.equal((await other.pread(reader, 4, 100)).toString(), 'late');
});

await behavesWhen('copy_file_range copies any range', async ({ t, caller, at }) => {
  const data = randomBytesOf(4, 300_000);
  const source = await create(caller, at('source'), data);
  const target = await create(caller, at('target'), Buffer.alloc(1_000, 'x'));
  const copy = async (from: number, to: number, bytes: number): Promise<void> => {
    for (let done = 0; done < bytes;) {
      const [input, output] = [offsetOf(from + done), offsetOf(to + done)];
      const arguments_ = [source, input, target, output, bytes - done, 0] as const;
      const { value } = await caller.must('copy_file_range', ...arguments_);
      if (value === 0) break;
      done += value;
    }
  };
  await copy(12_345, 500, 100_000);
  await copy(299_000, 200_000, 5_000);
  const want = Buffer.alloc(201_000);
  want.fill('x', 0, 1_000);
  data.copy(want, 500, 12_345, 112_345);
  data.copy(want, 200_000, 299_000);
  t.ok((await caller.pread(target, 400_000, 0)).equals(want), 'the ranges are there');
  await caller.pwrite(source, Buffer.alloc(50_000), 12_345);
  t.ok((await caller.pread(target, 400_000, 0)).equals(want), 'the copy does not follow');
  const own = [source, offsetOf(0), source, offsetOf(100), 1_000, 0] as const;
  t.equal((await caller.call('copy_file_range', ...own)).errno, 'EINVAL', 'overlapping ranges');
});

await behavesWhen('reads and writes at odd places', async ({ t, caller, at }) => {
  const fd = await create(caller, at('file'), Buffer.from('0123456789'));
  t.equal((await caller.pread(fd, 100, 10)).length, 0, 'at the end');
  t.equal((await caller.pread(fd, 100, 1_000_000)).length, 0, 'behind the end');
  t.equal((await caller.pread(fd, 100, 7)).toString(), '789', 'across the end');
  t.equal(await caller.pwrite(fd, '', 50), 0, 'writing nothing');
  t.equal((await statusOf(caller, at('file'))).size, 10, 'changes nothing');
  const reader = await caller.open(at('file'), O_RDONLY);
  t.equal((await caller.call('pwrite64', reader, 'x', 1, 0)).errno, 'EBADF');
  t.equal((await caller.call('ftruncate', reader, 0)).errno, 'EINVAL');
  const directory = await caller.open(at('.'), O_RDONLY);
  t.equal((await caller.call('read', directory, { outputBytes: 10 }, 10)).errno, 'EISDIR');
  t.equal((await caller.call('openat', AT_FDCWD, at('.'), O_WRONLY, 0)).errno, 'EISDIR');
});

await t.test('the store is clean', async () => store.finish());

async function create(caller: Caller, path: string, data: Uint8Array): Promise<number> {
  const fd = await caller.open(path, O_CREAT | O_RDWR | O_TRUNC);
  await caller.pwrite(fd, data, 0);
  return fd;
}

async function map(caller: Caller, fd: number, bytes: number): Promise<number> {
  const access = PROT_READ | PROT_WRITE;
  return (await caller.must('mmap', 0, bytes, access, MAP_SHARED, fd, 0)).value;
}

/** A 64-bit offset in memory, as copy_file_range(2) takes it. */
function offsetOf(offset: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(offset));
  return bytes;
}
