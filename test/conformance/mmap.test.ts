// Goal: mapped files behave as mmap(2) says, together with read, write, truncate, unlink and exec.
// Method: mappings in Callers, which peek and poke at their memory, on ext4 and on dedupfs.
//
// Run: node dist/test/conformance/mmap.test.js

import t from 'tap';
import { readdirSync, readlinkSync } from 'node:fs';
import { eventually, mustRun, run } from '../support/commands.ts';
import { Flag, type Answer, type Argument } from '../support/commands-syscalls.ts';
import { BLOCK, More, contentOf, fileOf, mapped, memory, outcomeOf, rows, sizeOf, timesChangedBy, type Outcome } from './calls.ts'; // prettier-ignore
import { Suite } from './suite.ts';

const { AT_FDCWD, MAP_SHARED, MS_SYNC, O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_WRONLY } = Flag;
const { PROT_READ, PROT_WRITE, SEEK_DATA, SEEK_HOLE } = Flag;
const { MAP_PRIVATE, MS_ASYNC, MS_INVALIDATE, O_DIRECT, PROT_EXEC } = More;
const BOTH = PROT_READ | PROT_WRITE;
const SIGBUS_EXIT = 128 + 7;

t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('mmap: errors', async (probe) => {
  const { caller, at } = probe;
  const fd = await fileOf(caller, at('file'), Buffer.alloc(BLOCK, 'a'));
  const reader = await caller.open(at('file'), O_RDONLY);
  const writer = await caller.open(at('file'), O_WRONLY);
  const append = await caller.open(at('file'), O_RDWR | O_APPEND);
  const folder = await caller.open(at('.'), O_RDONLY);
  const map = (bytes: number, access: number, flags: number, fd: number, offset = 0) =>
    async (): Promise<Outcome> => outcomeOf(await caller.call('mmap', 0, bytes, access, flags, fd, offset)); // prettier-ignore
  const works =
    (...args: Parameters<typeof map>) =>
    async (): Promise<Outcome> =>
      Number(await map(...args)()) > 0 ? 'mapped' : 'failed';
  await rows(probe, [
    { what: 'closed', call: map(9, PROT_READ, MAP_SHARED, 999), expected: 'EBADF' },
    { what: 'O_WRONLY', call: map(9, PROT_READ, MAP_SHARED, writer), expected: 'EACCES' },
    { what: 'O_WRONLY, store', call: map(9, PROT_WRITE, MAP_SHARED, writer), expected: 'EACCES' },
    { what: 'O_WRONLY, private', call: map(9, PROT_READ, MAP_PRIVATE, writer), expected: 'EACCES' },
    { what: 'O_RDONLY, store', call: map(9, BOTH, MAP_SHARED, reader), expected: 'EACCES' },
    { what: 'O_RDONLY, private store', call: works(9, BOTH, MAP_PRIVATE, reader), expected: 'mapped' },
    { what: 'O_RDONLY', call: works(9, PROT_READ, MAP_SHARED, reader), expected: 'mapped' },
    { what: 'O_APPEND, store', call: works(9, BOTH, MAP_SHARED, append), expected: 'mapped' },
    { what: 'to execute', call: works(9, PROT_READ | PROT_EXEC, MAP_PRIVATE, reader), expected: 'mapped' },
    { what: 'a folder', call: map(9, PROT_READ, MAP_SHARED, folder), expected: 'ENODEV' },
    { what: 'no length', call: map(0, PROT_READ, MAP_SHARED, fd), expected: 'EINVAL' },
    { what: 'an odd offset', call: map(9, PROT_READ, MAP_SHARED, fd, 100), expected: 'EINVAL' },
    { what: 'neither shared nor private', call: map(9, PROT_READ, 0, fd), expected: 'EINVAL' },
    { what: 'too long', call: map(2 ** 50, PROT_READ, MAP_SHARED, fd), expected: 'ENOMEM' },
    { what: 'behind the end', call: works(9, PROT_READ, MAP_SHARED, fd, 8 * BLOCK), expected: 'mapped' },
  ]); // prettier-ignore
  const address = await mapped(caller, reader, { bytes: BLOCK, access: PROT_READ });
  const call = (name: 'mprotect' | 'msync' | 'munmap', ...args: Argument[]) =>
    async (): Promise<Answer> => caller.call(name, ...args); // prettier-ignore
  await rows(probe, [
    { what: 'mprotect to store', call: call('mprotect', address, BLOCK, BOTH), expected: 'EACCES' },
    { what: 'msync', call: call('msync', address, BLOCK, MS_SYNC), expected: 0 },
    { what: 'msync, both ways', call: call('msync', address, BLOCK, MS_SYNC | MS_ASYNC), expected: 'EINVAL' },
    { what: 'msync, odd address', call: call('msync', address + 1, BLOCK, MS_SYNC), expected: 'EINVAL' },
    { what: 'msync, unknown flag', call: call('msync', address, BLOCK, 64), expected: 'EINVAL' },
    { what: 'msync, invalidate', call: call('msync', address, BLOCK, MS_INVALIDATE), expected: 0 },
    { what: 'munmap', call: call('munmap', address, BLOCK), expected: 0 },
    { what: 'msync of nothing', call: call('msync', address, BLOCK, MS_SYNC), expected: 'ENOMEM' },
  ]); // prettier-ignore
});

await suite.promises('mmap: shared with read and write elsewhere', async (probe) => {
  const { t, caller, at, startCaller } = probe;
  const other = startCaller();
  const bytes = 16 * BLOCK;
  const fd = await fileOf(caller, at('file'), Buffer.alloc(bytes, 'a'));
  const address = await mapped(caller, fd, { bytes });
  const [both, reader] = [await other.open(at('file'), O_RDWR), await other.open(at('file'), O_RDONLY)]; // prettier-ignore
  const theirs = await mapped(other, both, { bytes });
  for (const offset of [0, 1, BLOCK - 2, BLOCK, 5 * BLOCK + 100, bytes - 6]) {
    const store = `s${String(offset).padStart(5, '0')}`;
    t.equal((await caller.poke(address + offset, store)).errno, '', `store at ${offset}`);
    t.equal((await other.pread(reader, 6, offset)).toString(), store, 'seen by a reader');
    t.equal((await other.pread(both, 6, offset)).toString(), store, 'seen past the cache');
    t.equal((await other.peek(theirs + offset, 6)).toString(), store, 'seen mapped');
    const write = store.replace('s', 'w');
    await other.pwrite(both, write, offset);
    t.equal((await caller.peek(address + offset, 6)).toString(), write, 'a write is seen mapped');
    t.equal((await other.peek(theirs + offset, 6)).toString(), write, 'by both');
  }
  await caller.poke(address + 10, 'kept');
  await caller.must('msync', address, bytes, MS_SYNC);
  await caller.must('munmap', address, bytes);
  t.equal((await other.pread(reader, 4, 10)).toString(), 'kept', 'after munmap');
});

await suite.promises('mmap: what was stored is no hole, before any msync', async (probe) => {
  const { t, caller, at, startCaller } = probe;
  const bytes = 64 * BLOCK;
  const other = startCaller();
  const fd = await fileOf(caller, at('file'));
  await caller.must('ftruncate', fd, bytes);
  await caller.must('fsync', fd);
  const reader = await other.open(at('file'), O_RDONLY);
  // The reader's pages are there before the store; a second look keeps them.
  for (const when of ['the first read', 'the second read']) {
    t.equal((await other.pread(reader, 4, 40 * BLOCK)).toString(), '\0\0\0\0', when);
  }
  const address = await mapped(caller, fd, { bytes });
  await other.pread(reader, bytes, 0);
  await caller.poke(address + 40 * BLOCK + 5, 'stored');
  const sought = await other.call('lseek', reader, 0, SEEK_DATA);
  t.ok(sought.value >= 0 && sought.value <= 40 * BLOCK + 5, `data from ${sought.value} on`);
  const hole = await other.must('lseek', reader, 40 * BLOCK, SEEK_HOLE);
  t.ok(hole.value > 40 * BLOCK, `a hole at ${hole.value}`);
  const script = `
    cp file copy; cp --sparse=always file sparse; tar -cSf - file | tar -xOf - > unpacked
    for copy in copy sparse unpacked; do grep -ac stored $copy; done; grep -ac stored file`;
  const { stdout } = await mustRun('bash', ['-euc', script], { cwd: at() });
  t.equal(stdout, '1\n'.repeat(4), 'in every copy');
});

await suite.promises('mmap: private mappings', async ({ t, caller, at }) => {
  const fd = await fileOf(caller, at('file'), Buffer.alloc(2 * BLOCK, 'a'));
  const address = await mapped(caller, fd, { bytes: 2 * BLOCK, flags: MAP_PRIVATE });
  const store = async (): Promise<void> => {
    await caller.poke(address + 5, 'private');
    await caller.must('msync', address, 2 * BLOCK, MS_SYNC);
  };
  t.equal(await timesChangedBy(caller, at('file'), store), '', 'times');
  t.equal((await caller.peek(address + 5, 7)).toString(), 'private', 'seen in the mapping');
  t.equal((await caller.pread(fd, 7, 5)).toString(), 'aaaaaaa', 'not in the file');
  await caller.must('munmap', address, 2 * BLOCK);
  t.equal(await contentOf(caller, at('file')), 'a'.repeat(2 * BLOCK), 'never');
});

await suite.promises('mmap: times and the last page', async ({ t, caller, at }) => {
  const fd = await fileOf(caller, at('file'), 'short');
  const address = await mapped(caller, fd, { bytes: BLOCK });
  t.ok((await caller.peek(address, BLOCK)).subarray(5).equals(Buffer.alloc(BLOCK - 5)), 'zeros');
  const store = async (): Promise<void> => {
    await caller.poke(address, 'S');
    await caller.must('msync', address, BLOCK, MS_SYNC);
  };
  t.equal(await timesChangedBy(caller, at('file'), store), 'mtime ctime', 'store and msync');
  t.equal(await timesChangedBy(caller, at('file'), store), 'mtime ctime', 'once more');
  const unmapped = async (): Promise<void> => {
    const again = await mapped(caller, fd, { bytes: BLOCK });
    await caller.poke(again, 'S');
    await caller.must('munmap', again, BLOCK);
    await caller.must('fsync', fd);
  };
  t.equal(await timesChangedBy(caller, at('file'), unmapped), 'mtime ctime', 'store and munmap');
  const look = async (): Promise<unknown> => caller.peek(address, 100);
  t.equal(await timesChangedBy(caller, at('file'), look), '', 'a look');
  await caller.poke(address + 3, 'RT-beyond');
  await caller.must('msync', address, BLOCK, MS_SYNC);
  t.equal(await sizeOf(caller, at('file')), 5, 'a store behind the end does not grow');
  t.equal(await contentOf(caller, at('file')), 'ShoRT', 'nor is it in the file');
  await caller.must('munmap', address, BLOCK);
  await caller.must('fsync', fd);
  await caller.must('ftruncate', fd, 20);
  t.equal(await contentOf(caller, at('file')), 'ShoRT' + '\0'.repeat(15), 'nor after growing');
});

await suite.promises('mmap: files that change size', async ({ t, caller, at }) => {
  const fd = await fileOf(caller, at('file'), Buffer.alloc(100, 'a'));
  const address = await mapped(caller, fd, { bytes: 8 * BLOCK });
  const stored = await caller.poke(address + 2 * BLOCK, 'x');
  t.equal(stored.errno, 'EFAULT', 'a store by the kernel behind the end');
  await caller.must('ftruncate', fd, 4 * BLOCK);
  t.equal((await caller.poke(address + 2 * BLOCK, 'now')).errno, '', 'once it has grown');
  t.equal((await caller.pread(fd, 3, 2 * BLOCK)).toString(), 'now');
  t.equal((await caller.peek(address + 100, 9)).toString(), '\0'.repeat(9), 'zeros between');
  await caller.pwrite(fd, 'behind', 6 * BLOCK);
  t.equal((await caller.peek(address + 6 * BLOCK, 6)).toString(), 'behind', 'grown by a write');
  await caller.must('ftruncate', fd, BLOCK + 10);
  await caller.must('ftruncate', fd, 4 * BLOCK);
  t.equal((await caller.peek(address + 2 * BLOCK, 3)).toString(), '\0\0\0', 'cut and grown again');
  await caller.poke(address + BLOCK, 'b'.repeat(100));
  await caller.must('ftruncate', fd, BLOCK + 50);
  const page = await caller.peek(address + BLOCK, 100);
  t.equal(page.toString(), 'b'.repeat(50) + '\0'.repeat(50), 'the rest of a cut page is zeros');
  const map = 'use strict; my ($path, $size) = @ARGV; open(my $f, "+<", $path) or die; ';
  const touch =
    map +
    'my $n = $^O && `uname -m` =~ /aarch64/ ? 222 : 9; my $a = syscall($n, 0, 16384, 3, 1, fileno($f), 0); ' +
    'truncate($f, $size) or die; my $x = unpack("P1", pack("Q", $a + 8192)); exit 3;';
  await fileOf(caller, at('cut'), Buffer.alloc(4 * BLOCK, 'c'));
  for (const [size, expected] of [
    [100, SIGBUS_EXIT],
    [2 * BLOCK, SIGBUS_EXIT],
    [2 * BLOCK + 1, 3],
  ] as const) {
    // prettier-ignore
    const { code } = await run('perl', ['-e', touch, at('cut'), String(size)]);
    t.equal(code, expected, `cut to ${size}, then a look at 8192`);
  }
});

await suite.promises('mmap: unlink and close', async ({ t, caller, at }) => {
  const fd = await fileOf(caller, at('file'), Buffer.alloc(4 * BLOCK, 'a'));
  await caller.must('linkat', AT_FDCWD, at('file'), AT_FDCWD, at('second'), 0);
  const address = await mapped(caller, fd, { bytes: 4 * BLOCK });
  await caller.must('unlinkat', AT_FDCWD, at('file'), 0);
  await caller.must('close', fd);
  await caller.poke(address + BLOCK, 'late');
  t.equal((await caller.peek(address + BLOCK, 5)).toString(), 'latea', 'the mapping lives');
  await caller.must('munmap', address, 4 * BLOCK);
  const other = await caller.open(at('second'), O_RDONLY);
  t.equal((await caller.pread(other, 5, BLOCK)).toString(), 'latea', 'seen by the other name');
  const nameless = await fileOf(caller, at('nameless'), Buffer.alloc(4 * BLOCK, 'b'));
  const last = await mapped(caller, nameless, { bytes: 4 * BLOCK });
  await caller.must('unlinkat', AT_FDCWD, at('nameless'), 0);
  await caller.must('close', nameless);
  await caller.poke(last + 3 * BLOCK, 'still');
  await caller.must('msync', last, 4 * BLOCK, MS_SYNC);
  t.equal((await caller.peek(last + 3 * BLOCK, 6)).toString(), 'stillb', 'without any name');
  await caller.must('munmap', last, 4 * BLOCK);
});

await suite.promises('O_DIRECT', async (probe) => {
  const { t, caller, at } = probe;
  const plain = await fileOf(caller, at('file'), Buffer.alloc(4 * BLOCK, 'a'));
  await caller.must('fsync', plain);
  const direct = await caller.open(at('file'), O_RDWR | O_DIRECT);
  const buffer = await memory(caller, 4 * BLOCK);
  await caller.poke(buffer, 'd'.repeat(4 * BLOCK));
  const write =
    (...args: [number, number, number]) =>
    async (): Promise<Answer> =>
      caller.call('pwrite64', direct, ...args);
  const read =
    (...args: [number, number, number]) =>
    async (): Promise<Answer> =>
      caller.call('pread64', direct, ...args);
  // Deliberate difference: without a disk below there is nothing to be aligned to.
  const odd = (value: number): { ext4: string; dedupfs: number } => ({ ext4: 'EINVAL', dedupfs: value }); // prettier-ignore
  await rows(probe, [
    { what: 'aligned write', call: write(buffer, BLOCK, BLOCK), expected: BLOCK },
    { what: 'aligned read', call: read(buffer, 2 * BLOCK, 0), expected: 2 * BLOCK },
    { what: 'aligned read at the end', call: read(buffer, BLOCK, 4 * BLOCK), expected: 0 },
    { what: 'odd length', call: write(buffer, 100, 0), expected: odd(100) },
    { what: 'odd offset', call: write(buffer, 512, 100), expected: odd(512) },
    { what: 'odd address', call: write(buffer + 1, 511, 512), expected: odd(511) },
    { what: 'odd length of a read', call: read(buffer, 100, 0), expected: odd(100) },
    { what: 'odd offset of a read', call: read(buffer, 512, 7), expected: odd(512) },
    { what: 'odd address of a read', call: read(buffer + 1, 511, 0), expected: odd(511) },
  ]);
  const file = await fileOf(caller, at('mapped'), Buffer.alloc(4 * BLOCK, 'm'));
  const straight = await caller.open(at('mapped'), O_RDWR | O_DIRECT);
  const address = await mapped(caller, file, { bytes: 4 * BLOCK });
  await caller.poke(address + BLOCK, 'stored');
  await caller.must('pread64', straight, buffer, BLOCK, BLOCK);
  t.equal((await caller.peek(buffer, 7)).toString(), 'storedm', 'a store is seen by O_DIRECT');
  await caller.poke(buffer, 'direct');
  await caller.must('pwrite64', straight, buffer, BLOCK, 2 * BLOCK);
  const seen = (await caller.peek(address + 2 * BLOCK, 7)).toString();
  t.equal(seen, 'directm', 'O_DIRECT is seen mapped');
  const reader = await caller.open(at('mapped'), O_RDONLY);
  t.equal((await caller.pread(reader, 7, 2 * BLOCK)).toString(), 'directm', 'and read');
  await caller.must('munmap', address, 4 * BLOCK);
});

await suite.promises('execution', async ({ t, caller, at, directory }) => {
  await mustRun('cp', ['/bin/true', at('true')]);
  await mustRun('cp', ['/bin/sleep', at('sleep')]);
  t.equal((await run(at('true'), [])).code, 0, 'a program runs');
  const exec = async (path: string): Promise<string> => {
    const script = 'exec { $ARGV[0] } $ARGV[0] or print $!+0';
    const { stdout } = await run('perl', ['-e', script, path]);
    return stdout;
  };
  const errors = { EACCES: '13', ETXTBSY: '26' };
  const fd = await caller.open(at('true'), O_RDWR);
  t.equal(await exec(at('true')), errors.ETXTBSY, 'executing what is open for writing');
  await caller.must('close', fd);
  t.equal(await exec(at('true')), '', 'and when it is closed');
  const reader = await caller.open(at('true'), O_RDONLY);
  t.equal(await exec(at('true')), '', 'what is open for reading');
  await caller.must('close', reader);
  await caller.must('fchmodat', AT_FDCWD, at('true'), 0o644);
  t.equal(await exec(at('true')), errors.EACCES, 'without the x bit');
  t.equal(await exec(directory), errors.EACCES, 'a folder');
  const running = run(at('sleep'), ['1.5'], { timeoutMs: 20_000 });
  const opened = async (flags: number): Promise<string> => {
    const answer = await caller.call('openat', AT_FDCWD, at('sleep'), flags, 0);
    if (answer.errno === '') await caller.must('close', answer.value);
    return answer.errno;
  };
  // Not by opening it for writing: that would keep it from starting.
  const isRunning = (): boolean => programsThatRun().includes(at('sleep'));
  await eventually('the program runs', isRunning, { timeoutMs: 1_400, intervalMs: 5 });
  t.equal(await opened(O_WRONLY), 'ETXTBSY', 'a running program: O_WRONLY');
  t.equal(await opened(O_RDWR | O_CREAT), 'ETXTBSY', 'a running program: O_RDWR');
  t.equal(await opened(O_RDONLY | Flag.O_TRUNC), 'ETXTBSY', 'a running program: O_TRUNC');
  t.equal(await opened(O_RDONLY), '', 'a running program: O_RDONLY');
  t.ok((await sizeOf(caller, at('sleep'))) > 0, 'none of which cuts it');
  const cut = await caller.call('truncate', at('sleep'), 0);
  t.equal(cut.errno, 'ETXTBSY', 'a running program: truncate');
  const removed = await caller.call('unlinkat', AT_FDCWD, at('sleep'), 0);
  t.equal(removed.errno, '', 'a running program can be removed');
  t.equal((await running).code, 0, 'and runs to its end');
  await mustRun('bash', ['-c', `printf '#!/bin/sh\\nexit 7\\n' >'${at('script')}'`]);
  await caller.must('fchmodat', AT_FDCWD, at('script'), 0o755);
  t.equal((await run(at('script'), [])).code, 7, 'a script');
});

await suite.finish();

/** The files that are executed now. */
function programsThatRun(): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      return [readlinkSync(`/proc/${pid}/exe`)];
    } catch {
      return [];
    }
  });
}
