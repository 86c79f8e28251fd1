// Goal: openat(2) refuses what it must, and each of its flags does what open(2) says, no more.
// Method: tables of raw calls, run on ext4 and on dedupfs.
//
// Run: node dist/test/conformance/open.test.js

import t from 'tap';
import { statusOf } from '../support/commands-statx.ts';
import { Flag, type Answer, type Caller } from '../support/commands-syscalls.ts';
import {
  More,
  becomeNobody,
  contentOf,
  fileOf,
  offsetOf,
  outcomeOf,
  rows,
  sizeOf,
  timesChangedBy,
} from './calls.ts';
import { Suite, type Probe } from './suite.ts';

const { AT_FDCWD, O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL } = Flag;
const { O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY } = Flag;
const { F_GETFD, F_GETFL, F_SETFL } = More;
const { O_CLOEXEC, O_DIRECT, O_DSYNC, O_NOATIME, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_SYNC } = More;
const S_IFMT = 0o170000;
const MODE_BITS = 0o7777;
const FD_CLOEXEC = 1;

t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('open: errors by the path', async (probe) => {
  const { caller, at } = probe;
  await furnish(probe);
  const opened = async (path: string, flags: number): Promise<Answer> =>
    closed(caller, await caller.call('openat', AT_FDCWD, path, flags, 0o600));
  const long = 'n'.repeat(256);
  const table: [what: string, path: string, flags: number, expected: string][] = [
    ['an absent name', at('absent'), O_RDONLY, 'ENOENT'],
    ['an absent name, for writing', at('absent'), O_WRONLY, 'ENOENT'],
    ['an absent name, O_TRUNC', at('absent'), O_WRONLY | O_TRUNC, 'ENOENT'],
    ['an absent folder', at('absent', 'name'), O_RDONLY, 'ENOENT'],
    ['an absent folder, O_CREAT', at('absent', 'name'), O_CREAT | O_WRONLY, 'ENOENT'],
    ['the empty path', '', O_RDONLY, 'ENOENT'],
    ['the empty path, O_CREAT', '', O_CREAT | O_WRONLY, 'ENOENT'],
    ['a dangling link', at('dangling'), O_RDONLY, 'ENOENT'],
    ['a file as a folder', `${at('file')}/name`, O_RDONLY, 'ENOTDIR'],
    ['a file as a folder, O_CREAT', `${at('file')}/name`, O_CREAT | O_RDWR, 'ENOTDIR'],
    ['a file with a slash', `${at('file')}/`, O_RDONLY, 'ENOTDIR'],
    ['a file with a slash and a dot', `${at('file')}/.`, O_RDONLY, 'ENOTDIR'],
    ['O_DIRECTORY of a file', at('file'), O_DIRECTORY, 'ENOTDIR'],
    ['O_DIRECTORY of a fifo', at('fifo'), O_DIRECTORY, 'ENOTDIR'],
    ['O_DIRECTORY of a link to a file', at('link'), O_DIRECTORY, 'ENOTDIR'],
    ['a folder for writing', at('folder'), O_WRONLY, 'EISDIR'],
    ['a folder for both', at('folder'), O_RDWR, 'EISDIR'],
    ['a folder, O_TRUNC', at('folder'), O_RDONLY | O_TRUNC, 'EISDIR'],
    ['a folder, O_CREAT', at('folder'), O_CREAT | O_RDONLY, 'EISDIR'],
    ['a folder by its link, for writing', at('folder-link'), O_WRONLY, 'EISDIR'],
    ['O_CREAT of a name with a slash', `${at('fresh')}/`, O_CREAT | O_WRONLY, 'EISDIR'],
    ['O_CREAT of a file with a slash', `${at('file')}/`, O_CREAT | O_WRONLY, 'EISDIR'],
    ['O_EXCL of a file', at('file'), O_CREAT | O_EXCL | O_RDWR, 'EEXIST'],
    ['O_EXCL of a folder', at('folder'), O_CREAT | O_EXCL | O_RDWR, 'EEXIST'],
    ['O_EXCL of a link', at('link'), O_CREAT | O_EXCL | O_RDWR, 'EEXIST'],
    ['O_EXCL of a dangling link', at('dangling'), O_CREAT | O_EXCL | O_RDWR, 'EEXIST'],
    ['O_EXCL of dot', at('.'), O_CREAT | O_EXCL | O_RDWR, 'EEXIST'],
    ['a link to itself', at('loop'), O_RDONLY, 'ELOOP'],
    ['a link to itself on the way', at('loop', 'name'), O_RDONLY, 'ELOOP'],
    ['a link to itself, O_CREAT', at('loop'), O_CREAT | O_WRONLY, 'ELOOP'],
    ['a chain of 41 links', at('chain-41'), O_RDONLY, 'ELOOP'],
    ['O_NOFOLLOW of a link', at('link'), O_NOFOLLOW, 'ELOOP'],
    ['O_NOFOLLOW of a link to a folder', at('folder-link'), O_NOFOLLOW, 'ELOOP'],
    ['O_NOFOLLOW | O_DIRECTORY of it', at('folder-link'), O_NOFOLLOW | O_DIRECTORY, 'ENOTDIR'],
    ['O_NOFOLLOW | O_CREAT of a link', at('link'), O_NOFOLLOW | O_CREAT | O_RDWR, 'ELOOP'],
    ['a fifo nobody reads', at('fifo'), O_WRONLY | O_NONBLOCK, 'ENXIO'],
    ['a socket', at('socket'), O_RDONLY, 'ENXIO'],
    ['a device on a nodev mount', at('device'), O_RDONLY, 'EACCES'],
    ['a name of 256 bytes', at(long), O_RDONLY, 'ENAMETOOLONG'],
    ['a name of 256 bytes, O_CREAT', at(long), O_CREAT | O_RDWR, 'ENAMETOOLONG'],
    ['a name of 256 bytes on the way', at(long, 'name'), O_RDONLY, 'ENAMETOOLONG'],
    ['a path of 4096 bytes', '/'.repeat(4095) + 'a', O_RDONLY, 'ENAMETOOLONG'],
    ['O_TMPFILE for reading', at('.'), O_TMPFILE | O_RDONLY, 'EINVAL'],
    ['O_TMPFILE in a file', at('file'), O_TMPFILE | O_RDWR, 'ENOTDIR'],
    ['O_TMPFILE in an absent folder', at('absent'), O_TMPFILE | O_RDWR, 'ENOENT'],
    ['O_CREAT | O_DIRECTORY', at('fresh'), O_CREAT | O_DIRECTORY, 'EINVAL'],
  ];
  await rows(
    probe,
    table.map(([what, path, flags, expected]) => ({
      what,
      call: async () => opened(path, flags),
      expected,
    })),
  );
  probe.t.equal(await contentOf(caller, at('file')), 'content', 'none of it changed the file');
  const fresh = await caller.call('openat', AT_FDCWD, at('fresh'), O_RDONLY, 0);
  probe.t.equal(fresh.errno, 'ENOENT', 'none of it made the file');
});

await suite.promises('open: what succeeds', async (probe) => {
  const { caller, at } = probe;
  await furnish(probe);
  const folder = await caller.open(at('folder'), O_RDONLY | O_DIRECTORY);
  const table: [what: string, fd: number, path: string, flags: number][] = [
    ['O_DIRECTORY of a folder', AT_FDCWD, at('folder'), O_DIRECTORY],
    ['a folder with a slash', AT_FDCWD, `${at('folder')}/`, O_RDONLY],
    ['O_DIRECTORY of a link to a folder', AT_FDCWD, at('folder-link'), O_DIRECTORY],
    ['O_NOFOLLOW of a link with a slash', AT_FDCWD, `${at('folder-link')}/`, O_NOFOLLOW],
    ['O_NOFOLLOW of a file', AT_FDCWD, at('file'), O_NOFOLLOW],
    ['O_NOFOLLOW of a link on the way', AT_FDCWD, at('folder-link', 'inner'), O_NOFOLLOW],
    ['a chain of 40 links', AT_FDCWD, at('chain-40'), O_RDONLY],
    ['a name of 255 bytes', AT_FDCWD, at('n'.repeat(255)), O_CREAT | O_WRONLY],
    ['O_CREAT through a dangling link', AT_FDCWD, at('dangling'), O_CREAT | O_WRONLY],
    ['its target, which is there now', AT_FDCWD, at('target'), O_RDONLY],
    ['a fifo for reading, O_NONBLOCK', AT_FDCWD, at('fifo'), O_RDONLY | O_NONBLOCK],
    ['a fifo for both', AT_FDCWD, at('fifo'), O_RDWR],
    ['O_PATH of a socket', AT_FDCWD, at('socket'), O_PATH],
    ['O_PATH | O_NOFOLLOW of a link', AT_FDCWD, at('loop'), O_PATH | O_NOFOLLOW],
    ['relative to a folder', folder, 'inner', O_RDWR],
    ['up from a folder', folder, '../file', O_RDWR],
    ['O_EXCL without O_CREAT is ignored', AT_FDCWD, at('file'), O_RDWR | O_EXCL],
    ['O_NOATIME by the owner', AT_FDCWD, at('file'), O_RDONLY | O_NOATIME],
    ['O_DIRECT', AT_FDCWD, at('file'), O_RDWR | O_DIRECT],
    ['an access mode of 3', AT_FDCWD, at('file'), 3],
  ];
  for (const [what, fd, path, flags] of table) {
    const answer = await caller.call('openat', fd, path, flags, 0o600);
    probe.t.equal(answer.errno, '', what);
    await closed(caller, answer);
  }
  const file = await caller.open(at('file'), O_RDONLY);
  const bad: [what: string, fd: number, path: string, expected: string][] = [
    ['relative to no descriptor', 999, 'inner', 'EBADF'],
    ['relative to a file', file, 'inner', 'ENOTDIR'],
    ['an absolute path needs none', 999, at('file'), ''],
  ];
  for (const [what, fd, path, expected] of bad) {
    probe.t.equal((await caller.call('openat', fd, path, O_RDONLY, 0)).errno, expected, what);
  }
  const invalid = await caller.call('openat', AT_FDCWD, 1, O_RDONLY, 0);
  probe.t.equal(invalid.errno, 'EFAULT', 'a path at a bad address');
});

await suite.promises('open: permissions', async (probe) => {
  const { caller, at, startCaller } = probe;
  await fileOf(caller, at('none'), 'secret');
  await caller.must('mkdirat', AT_FDCWD, at('closed'), 0o700);
  await fileOf(caller, at('closed', 'inner'), 'secret');
  await caller.must('mkdirat', AT_FDCWD, at('open'), 0o777);
  for (const [name, mode] of Object.entries({ none: 0, open: 0o777, closed: 0o700 })) {
    await caller.must('fchmodat', AT_FDCWD, at(name), mode);
  }
  await caller.must('fchmodat', AT_FDCWD, at('.'), 0o755);
  await fileOf(caller, at('readable'), 'text');
  const nobody = startCaller();
  // The folders above the mountpoint are closed to others.
  await nobody.must('chdir', at('.'));
  await becomeNobody(nobody);
  const opened = async (path: string, flags: number): Promise<Answer> =>
    closed(nobody, await nobody.call('openat', AT_FDCWD, path, flags, 0o600));
  const table: [what: string, path: string, flags: number, expected: string][] = [
    ['for reading', 'none', O_RDONLY, 'EACCES'],
    ['for writing', 'none', O_WRONLY, 'EACCES'],
    ['O_PATH needs no permission', 'none', O_PATH, ''],
    ['a readable file for reading', 'readable', O_RDONLY, ''],
    ['a readable file for writing', 'readable', O_WRONLY, 'EACCES'],
    ['a readable file, O_TRUNC', 'readable', O_RDONLY | O_TRUNC, 'EACCES'],
    ['O_NOATIME by another than the owner', 'readable', O_RDONLY | O_NOATIME, 'EPERM'],
    ['in a folder without search', 'closed/inner', O_RDONLY, 'EACCES'],
    ['an absent name in it', 'closed/absent', O_RDONLY, 'EACCES'],
    ['creating in a folder without write', 'fresh', O_CREAT | O_WRONLY, 'EACCES'],
    ['O_CREAT of what is there needs none', 'readable', O_CREAT | O_RDONLY, ''],
    ['O_EXCL of it', 'readable', O_CREAT | O_EXCL | O_RDONLY, 'EEXIST'],
    ['O_TMPFILE in a folder without write', '.', O_TMPFILE | O_RDWR, 'EACCES'],
    ['creating in an open folder', 'open/own', O_CREAT | O_WRONLY, ''],
  ];
  for (const [what, path, flags, expected] of table) {
    probe.t.equal((await opened(path, flags)).errno, expected, what);
  }
  probe.t.equal(await contentOf(caller, at('readable')), 'text', 'nothing was cut');
  const answer = await nobody.call('openat', AT_FDCWD, 'open/odd', O_CREAT | O_RDWR, 0);
  probe.t.equal(answer.errno, '', 'a mode of 0 does not stop its creator');
  probe.t.equal((await nobody.call('write', answer.value, 'x', 1)).value, 1, 'nor its writes');
});

await suite.promises('open: the new file', async (probe) => {
  const { t, caller, at } = probe;
  for (const [umask, mode, expected] of [
    [0, 0o777, 0o777],
    [0o022, 0o666, 0o644],
    [0o077, 0o7777, 0o7700],
    [0, 0o4755, 0o4755],
    [0o777, 0o777, 0],
  ] as const) {
    const name = `mode-${umask}-${mode}`;
    await caller.must('umask', umask);
    await caller.open(at(name), O_CREAT | O_WRONLY, mode);
    const status = await statusOf(caller, at(name));
    t.equal(status.mode & MODE_BITS, expected, `umask ${umask.toString(8)}, ${mode.toString(8)}`);
    t.equal(status.mode & S_IFMT, 0o100000, 'it is a regular file');
    t.strictSame([status.size, status.blocks, status.nlink], [0, 0, 1], 'and empty');
  }
  await caller.must('umask', 0o022);
  const status = await statusOf(caller, at('mode-0-511'));
  t.equal(status.mtimeNs, status.ctimeNs, 'mtime is ctime');
  t.equal(status.mtimeNs, status.atimeNs, 'and atime');
  const create = async (): Promise<unknown> => caller.open(at('fresh'), O_CREAT | O_RDWR);
  const parent = at('.');
  t.equal(await timesChangedBy(caller, parent, create), 'mtime ctime', 'of the folder');
  t.equal(await timesChangedBy(caller, parent, create), '', 'O_CREAT of what is there');
  t.equal(await timesChangedBy(caller, at('fresh'), create), '', 'nor of the file');
  const again = await caller.call('openat', AT_FDCWD, at('fresh'), O_CREAT | O_RDWR, 0o777);
  t.equal((await statusOf(caller, at('fresh'))).mode & MODE_BITS, 0o644, 'its mode stays');
  t.equal(again.errno, '');
  const failing = async (): Promise<unknown> =>
    caller.call('openat', AT_FDCWD, at('fresh'), O_CREAT | O_EXCL | O_RDWR, 0);
  t.equal(await timesChangedBy(caller, parent, failing), '', 'a failing O_EXCL');
});

await suite.promises('open: O_TRUNC', async (probe) => {
  const { t, caller, at } = probe;
  const open = (flags: number) => async (): Promise<unknown> =>
    closed(caller, await caller.call('openat', AT_FDCWD, at('file'), flags, 0o600));
  for (const [name, flags] of [
    ['O_WRONLY', O_WRONLY],
    ['O_RDWR', O_RDWR],
    ['O_RDONLY, unspecified but done on Linux', O_RDONLY],
    ['O_CREAT', O_WRONLY | O_CREAT],
    ['O_APPEND', O_WRONLY | O_APPEND],
  ] as const) {
    await fileOf(caller, at('file'), 'x'.repeat(10_000));
    const changed = await timesChangedBy(caller, at('file'), open(flags | O_TRUNC));
    t.equal(changed, 'mtime ctime', `${name}: times`);
    const { size, blocks } = await statusOf(caller, at('file'));
    t.strictSame([size, blocks], [0, 0], `${name}: size and blocks`);
  }
  const empty = await timesChangedBy(caller, at('file'), open(O_WRONLY | O_TRUNC));
  t.equal(empty, 'mtime ctime', 'times of an empty file');
  await fileOf(caller, at('file'), 'text');
  t.equal(await timesChangedBy(caller, at('file'), open(O_RDWR)), '', 'without it nothing');
  t.equal(await sizeOf(caller, at('file')), 4, 'without it the size stays');
  await caller.must('fchmodat', AT_FDCWD, at('file'), 0o6755);
  await open(O_WRONLY | O_TRUNC)();
  const { mode } = await statusOf(caller, at('file'));
  t.equal(mode & MODE_BITS, 0o6755, 'root keeps set-user-ID');
  const reader = await caller.open(at('file'), O_RDONLY);
  await caller.must('write', await caller.open(at('file'), O_WRONLY), 'abcdef', 6);
  t.equal((await caller.pread(reader, 9, 0)).toString(), 'abcdef', 'an older descriptor sees data');
  await open(O_WRONLY | O_TRUNC)();
  t.equal((await caller.pread(reader, 9, 0)).length, 0, 'and sees it go');
});

await suite.promises('open: O_APPEND, also by fcntl', async (probe) => {
  const { t, caller, at } = probe;
  const plain = await fileOf(caller, at('file'), 'base');
  const fd = await caller.open(at('file'), O_RDWR | O_APPEND);
  const flags = async (): Promise<number> => (await caller.must('fcntl', fd, F_GETFL, 0)).value;
  const isAppending = async (): Promise<boolean> => ((await flags()) & O_APPEND) !== 0;
  t.equal(await isAppending(), true, 'F_GETFL shows it');
  t.equal(await offsetOf(caller, fd), 0, 'the offset begins at 0');
  await caller.must('lseek', fd, 1, Flag.SEEK_SET);
  await caller.must('write', fd, '-1', 2);
  t.equal(await contentOf(caller, at('file')), 'base-1', 'write goes to the end');
  t.equal(await offsetOf(caller, fd), 6, 'and leaves the offset there');
  await caller.pwrite(plain, 'longer', 6);
  await caller.must('write', fd, '-2', 2);
  t.equal(await contentOf(caller, at('file')), 'base-1longer-2', 'the end is that of the moment');
  // pwrite(2), BUGS: O_APPEND wins over the offset.
  await caller.pwrite(fd, '-3', 0);
  t.equal(await contentOf(caller, at('file')), 'base-1longer-2-3', 'pwrite appends too');
  t.equal(await offsetOf(caller, fd), 14, 'without moving the offset');
  await caller.must('fcntl', fd, F_SETFL, (await flags()) & ~O_APPEND);
  t.equal(await isAppending(), false, 'switched off');
  await caller.pwrite(fd, 'BASE', 0);
  await caller.must('lseek', fd, 6, Flag.SEEK_SET);
  await caller.must('write', fd, 'LONGER', 6);
  t.equal(await contentOf(caller, at('file')), 'BASE-1LONGER-2-3', 'writes go to their offset');
  await caller.must('fcntl', plain, F_SETFL, O_APPEND);
  await caller.must('write', plain, '-4', 2);
  t.equal(await contentOf(caller, at('file')), 'BASE-1LONGER-2-3-4', 'switched on for another');
  await caller.pwrite(plain, '-5', 1);
  t.equal(await contentOf(caller, at('file')), 'BASE-1LONGER-2-3-4-5', 'pwrite as well');
  await caller.must('fcntl', plain, F_SETFL, 0);
  await caller.pwrite(plain, '.', 0);
  t.equal(await contentOf(caller, at('file')), '.ASE-1LONGER-2-3-4-5', 'and off');
  const copy = (await caller.must('dup', fd)).value;
  await caller.must('fcntl', copy, F_SETFL, O_APPEND);
  t.equal(await isAppending(), true, 'a duplicate shares the status flags');
  const both = (await caller.must('fcntl', fd, F_GETFL, 0)).value;
  t.equal(both & 3, O_RDWR, 'F_SETFL leaves the access mode');
  const direct = await caller.call('fcntl', plain, F_SETFL, O_DIRECT);
  t.equal(outcomeOf(direct), 0, 'F_SETFL takes O_DIRECT');
});

await suite.promises('open: O_PATH', async (probe) => {
  const { caller, at } = probe;
  await fileOf(caller, at('file'), 'text');
  const fd = await caller.open(at('file'), O_PATH);
  const out = { outputBytes: 10 };
  await rows(probe, [
    { what: 'read', call: async () => caller.call('read', fd, out, 10), expected: 'EBADF' },
    { what: 'write', call: async () => caller.call('write', fd, 'x', 1), expected: 'EBADF' },
    { what: 'ftruncate', call: async () => caller.call('ftruncate', fd, 0), expected: 'EBADF' },
    { what: 'fsync', call: async () => caller.call('fsync', fd), expected: 'EBADF' },
    { what: 'lseek', call: async () => caller.call('lseek', fd, 0, 0), expected: 'EBADF' },
    { what: 'fchmod', call: async () => caller.call('fchmod', fd, 0o600), expected: 'EBADF' },
    { what: 'flock', call: async () => caller.call('flock', fd, 1), expected: 'EBADF' },
    { what: 'mmap', call: async () => caller.call('mmap', 0, 9, 1, 1, fd, 0), expected: 'EBADF' },
    { what: 'F_GETFL', call: async () => caller.call('fcntl', fd, F_GETFL, 0), expected: O_PATH },
    {
      what: 'reopening by /proc',
      call: async () => caller.call('openat', AT_FDCWD, `/proc/self/fd/${fd}`, O_RDWR, 0),
      expected: fd + 1,
    },
    {
      what: 'O_TRUNC beside it does nothing',
      call: async () => closed(caller, await truncatingPath(caller, at('file'))),
      expected: fd + 2,
    },
  ]);
  probe.t.equal(await sizeOf(caller, at('file')), 4, 'the file is whole');
});

await suite.promises('open: O_TMPFILE', async (probe) => {
  const { t, caller, at } = probe;
  let fd = 0;
  const make = async (): Promise<unknown> =>
    (fd = await caller.open(at('.'), O_TMPFILE | O_RDWR, 0o640));
  t.equal(await timesChangedBy(caller, at('.'), make), '', 'the folder does not change');
  await caller.must('write', fd, 'nameless', 8);
  t.equal((await caller.pread(fd, 9, 0)).toString(), 'nameless', 'it holds data');
  t.equal((await statusOf(caller, `/proc/${caller.pid}/fd/${fd}`)).nlink, 1, 'the link of /proc');
  const { AT_SYMLINK_FOLLOW } = Flag;
  const link = async (from: number, name: string): Promise<string> =>
    (await caller.call('linkat', AT_FDCWD, `/proc/self/fd/${from}`, AT_FDCWD, at(name), AT_SYMLINK_FOLLOW)).errno; // prettier-ignore
  t.equal(await link(fd, 'named'), '', 'it takes a name');
  t.equal(await contentOf(caller, at('named')), 'nameless');
  const named = await statusOf(caller, at('named'));
  t.strictSame([named.nlink, named.mode & MODE_BITS], [1, 0o640], 'with one link');
  t.equal(await link(fd, 'named'), 'EEXIST', 'but not over another');
  const sealed = await caller.open(at('.'), O_TMPFILE | O_RDWR | O_EXCL, 0o600);
  t.equal(await link(sealed, 'sealed'), 'ENOENT', 'O_EXCL keeps it nameless');
  const writer = await caller.open(at('.'), O_TMPFILE | O_WRONLY, 0o600);
  t.equal((await caller.call('write', writer, 'x', 1)).value, 1, 'O_WRONLY');
});

await suite.promises('open: descriptor flags', async (probe) => {
  const { t, caller, at } = probe;
  await fileOf(caller, at('file'), 'text');
  const get = async (fd: number, command: number): Promise<number> =>
    (await caller.must('fcntl', fd, command, 0)).value;
  const exec = await caller.open(at('file'), O_RDWR | O_CLOEXEC);
  const kept = await caller.open(at('file'), O_RDWR);
  t.equal(await get(exec, F_GETFD), FD_CLOEXEC, 'O_CLOEXEC');
  t.equal(await get(kept, F_GETFD), 0, 'without O_CLOEXEC');
  t.ok(kept > exec, 'the lowest free number');
  await caller.must('close', exec);
  t.equal(await caller.open(at('file'), O_RDONLY), exec, 'which a close frees');
  for (const [name, flag] of Object.entries({ O_SYNC, O_DSYNC, O_NONBLOCK, O_APPEND, O_DIRECT })) {
    const fd = await caller.open(at('file'), O_RDWR | flag);
    t.equal((await get(fd, F_GETFL)) & flag, flag, `F_GETFL shows ${name}`);
  }
  for (const [name, mode] of Object.entries({ O_RDONLY, O_WRONLY, O_RDWR })) {
    const fd = await caller.open(at('file'), mode);
    t.equal((await get(fd, F_GETFL)) & 3, mode, `F_GETFL shows ${name}`);
  }
  for (const [name, flag] of Object.entries({ O_SYNC, O_DSYNC })) {
    const fd = await caller.open(at(name), O_CREAT | O_WRONLY | flag);
    t.equal((await caller.call('write', fd, 'durable', 7)).value, 7, `a write with ${name}`);
    t.equal(await contentOf(caller, at(name)), 'durable');
  }
  const created = await caller.open(at('locked'), O_CREAT | O_WRONLY, 0o400);
  t.equal((await get(created, F_GETFL)) & (O_CREAT | O_EXCL | O_TRUNC), 0, 'no creation flags');
  t.equal((await caller.call('close', created)).errno, '');
  t.equal((await caller.call('close', created)).errno, 'EBADF', 'closing twice');
});

await suite.finish();

/** One of each type that open meets, and links. */
async function furnish({ caller, at }: Probe): Promise<void> {
  await caller.must('close', await fileOf(caller, at('file'), 'content'));
  await caller.must('mkdirat', AT_FDCWD, at('folder'), 0o755);
  await caller.must('close', await fileOf(caller, at('folder', 'inner')));
  for (const [name, mode, device] of [
    ['fifo', 0o010600, 0],
    ['socket', 0o140600, 0],
    ['device', 0o020600, 0x103],
  ] as const) {
    await caller.must('mknodat', AT_FDCWD, at(name), mode, device);
  }
  const links = { link: 'file', 'folder-link': 'folder', loop: 'loop', dangling: 'target' };
  for (const [name, target] of Object.entries(links)) {
    await caller.must('symlinkat', target, AT_FDCWD, at(name));
  }
  for (let depth = 1; depth <= 41; depth++) {
    const target = depth === 1 ? 'file' : `chain-${depth - 1}`;
    await caller.must('symlinkat', target, AT_FDCWD, at(`chain-${depth}`));
  }
}

/** Passes an answer of open on, without its descriptor. */
async function closed(caller: Caller, answer: Answer): Promise<Answer> {
  if (answer.errno === '') await caller.must('close', answer.value);
  return answer;
}

async function truncatingPath(caller: Caller, path: string): Promise<Answer> {
  return caller.call('openat', AT_FDCWD, path, O_PATH | O_TRUNC, 0);
}
