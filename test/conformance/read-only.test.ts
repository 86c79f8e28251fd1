// Goal: a mount with -o ro refuses every change with EROFS, in ext4's order of errors, and reads on.
// Bind mounts, mount namespaces and chroot work as on any filesystem.
// Method: both filesystems are filled, then mounted read-only; tables of raw calls.
//
// Run: node dist/test/conformance/read-only.test.js

import t from 'tap';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun, run } from '../support/commands.ts';
import { timespecs } from '../support/commands-statx.ts';
import {
  Caller,
  Flag,
  type Answer,
  type Argument,
  type SyscallName,
} from '../support/commands-syscalls.ts';
import { More, fileOf } from './calls.ts';
import { Suite } from './suite.ts';

const { AT_FDCWD, AT_REMOVEDIR, O_APPEND, O_CREAT, O_EXCL } = Flag;
const { O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY } = Flag;
const { MAP_PRIVATE, O_PATH } = More;

t.setTimeout(300_000);
const suite = await Suite.open(t);
const [ext4Directory, storeDirectory] = [suite.ext4.path('data'), suite.store.path('data')];

await suite.promises('filling, while it can be written', async (probe) => {
  const { t, caller } = probe;
  const root = rootOf(probe);
  mkdirSync(root);
  await fileOf(caller, join(root, 'file'), 'content');
  await caller.must('mkdirat', AT_FDCWD, join(root, 'folder'), 0o755);
  await fileOf(caller, join(root, 'folder', 'inner'), 'inner');
  await caller.must('symlinkat', 'file', AT_FDCWD, join(root, 'link'));
  await caller.must('mknodat', AT_FDCWD, join(root, 'fifo'), 0o010600, 0);
  await caller.must('lsetxattr', join(root, 'file'), 'user.name', 'value', 5, 0);
  t.pass('filled');
});

await suite.promises('bind mounts, namespaces, chroot', async (probe) => {
  const { t } = probe;
  const root = rootOf(probe);
  // All in a mount namespace of its own, so that nothing is left behind.
  const script = [
    'set -eu',
    'mount --make-rprivate /',
    'mkdir -p "$1/bound" "$1/ro"',
    'mount --bind "$1/folder" "$1/bound"',
    'test "$(cat "$1/bound/inner")" = inner',
    'echo written > "$1/bound/new"',
    'test "$(cat "$1/folder/new")" = written',
    'mount --bind "$1/folder" "$1/ro"',
    'mount -o remount,bind,ro "$1/ro"',
    '! echo no 2>/dev/null > "$1/ro/other"',
    'echo yes > "$1/bound/other"',
    'test "$(cat "$1/ro/other")" = yes',
    '! mv "$1/folder" "$1/elsewhere" 2>/dev/null || mv "$1/elsewhere" "$1/folder"',
    'rm "$1/folder/new" "$1/folder/other"',
    'test "$(ls "$1/bound")" = inner',
    'mkdir "$1/jail" && cp --parents /bin/true "$1/jail"',
    'for lib in $(ldd /bin/true | grep -o "/[^ ]*"); do cp --parents "$lib" "$1/jail"; done',
    'chroot "$1/jail" /bin/true',
    'umount "$1/bound" "$1/ro"',
    'rm -r "$1/jail" "$1/bound" "$1/ro"',
  ].join('\n');
  const { code, stderr } = await run('unshare', ['-m', 'bash', '-c', script, 'bash', root]);
  t.equal(code, 0, `all of it: ${stderr}`);
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  t.notMatch(mounts, `${root}/`, 'nothing is left mounted');
});

await suite.promises('remount,ro and remount,rw', async (probe) => {
  const { t, caller, isExt4 } = probe;
  const root = rootOf(probe);
  const mountpoint = join(root, '..');
  const remount = async (option: string): Promise<number> =>
    (await run('mount', ['-i', '-o', `remount,${option}`, mountpoint])).code;
  const create = async (name: string): Promise<string> => {
    const answer = await caller.call('openat', AT_FDCWD, join(root, name), O_CREAT | O_RDWR, 0o600);
    if (answer.errno === '') await caller.must('close', answer.value);
    return answer.errno;
  };
  const code = await remount('ro');
  // fs/fuse/inode.c takes a remount whose options it ignores, and the kernel switches SB_RDONLY.
  t.equal(code, 0, `remount,ro ${isExt4 ? 'of ext4' : 'of dedupfs'}`);
  t.equal(await create('while-ro'), 'EROFS', 'refuses');
  t.equal(await remount('rw'), 0, 'remount,rw');
  t.equal(await create('while-rw'), '', 'takes');
  await caller.must('unlinkat', AT_FDCWD, join(root, 'while-rw'), 0);
  const open = await caller.open(join(root, 'file'), O_RDWR);
  t.not(await remount('ro'), 0, 'refused while a file is open for writing');
  await caller.must('close', open);
});

// A test of its own, since tap takes an idle file for finished and tears down.
await t.test('both are mounted read-only', async (t) => {
  await suite.store.remount('-o', 'ro,allow_other');
  await mustRun('mount', ['-o', 'remount,ro', suite.ext4.mountpoint]);
  t.pass('mounted');
});

for (const isExt4 of [true, false]) {
  await t.test(`${isExt4 ? 'ext4' : 'dedupfs'}: read-only`, async (t) => {
    const caller = Caller.start(() => suite.store.abort());
    try {
      const at = (name: string): string =>
        name === '' ? rootOf({ isExt4 }) : `${rootOf({ isExt4 })}/${name}`;
      const call = async (name: SyscallName, args: Argument[]): Promise<Answer> =>
        caller.call(name, ...args);
      for (const [what, name, args, expected] of changes(at)) {
        t.equal((await call(name, args)).errno, expected, what);
      }
      const reader = await caller.open(at('file'), O_RDONLY);
      t.equal((await caller.pread(reader, 9, 0)).toString(), 'content', 'reading');
      for (const [what, name, args, expected] of descriptors(reader)) {
        t.equal((await call(name, args)).errno, expected, what);
      }
      const names = (await run('ls', [at('')])).stdout.trim().split('\n').sort();
      t.strictSame(names, ['fifo', 'file', 'folder', 'link'], 'listing');
      t.equal((await run('cat', [at('folder/inner')])).stdout, 'inner', 'cat');
      t.equal((await run('sha256sum', [at('link')])).code, 0, 'through a link');
      const value = { outputBytes: 16 };
      const got = await caller.must('lgetxattr', at('file'), 'user.name', value, 16);
      t.equal(got.outputs[0]?.subarray(0, 5).toString(), 'value', 'xattrs');
      // The object that a fifo stands for is not on the filesystem: it can be written.
      const fifo = await caller.call('openat', AT_FDCWD, at('fifo'), O_RDWR, 0);
      t.equal(fifo.errno, '', 'a fifo opens for writing');
      t.equal((await caller.call('write', fifo.value, 'x', 1)).value, 1, 'and takes data');
      const options = (await mustRun('findmnt', ['-no', 'OPTIONS', '-T', at('')])).stdout;
      t.match(options, /^ro,/, 'the mount table says so');
    } finally {
      await caller[Symbol.asyncDispose]();
    }
  });
}

await suite.finish();

function rootOf({ isExt4 }: { readonly isExt4: boolean }): string {
  return isExt4 ? ext4Directory : storeDirectory;
}

type Change = [what: string, name: SyscallName, args: Argument[], expected: string];

/** Calls by a path: those that would fail anyway say so before or after EROFS, as Linux has it. */
function changes(at: (name: string) => string): Change[] {
  const open = (name: string, flags: number): Argument[] => [AT_FDCWD, at(name), flags, 0o600];
  const rename = (from: string, to: string, flags = 0): Argument[] =>
    [AT_FDCWD, at(from), AT_FDCWD, at(to), flags]; // prettier-ignore
  const times = timespecs(1n, 1n);
  return [
    ['open O_WRONLY', 'openat', open('file', O_WRONLY), 'EROFS'],
    ['open O_RDWR', 'openat', open('file', O_RDWR), 'EROFS'],
    ['open O_APPEND', 'openat', open('file', O_WRONLY | O_APPEND), 'EROFS'],
    ['open O_RDONLY | O_TRUNC', 'openat', open('file', O_RDONLY | O_TRUNC), 'EROFS'],
    ['open a folder O_WRONLY', 'openat', open('folder', O_WRONLY), 'EISDIR'],
    ['open an absent name', 'openat', open('absent', O_WRONLY), 'ENOENT'],
    ['open a link O_WRONLY', 'openat', open('link', O_WRONLY), 'EROFS'],
    ['create', 'openat', open('fresh', O_CREAT | O_WRONLY), 'EROFS'],
    ['create, to read', 'openat', open('fresh', O_CREAT | O_RDONLY), 'EROFS'],
    ['O_CREAT of what is there, to read', 'openat', open('file', O_CREAT | O_RDONLY), ''],
    ['O_CREAT of what is there, to write', 'openat', open('file', O_CREAT | O_WRONLY), 'EROFS'],
    ['O_EXCL of what is there', 'openat', open('file', O_CREAT | O_EXCL | O_RDWR), 'EEXIST'],
    ['O_EXCL', 'openat', open('fresh', O_CREAT | O_EXCL | O_RDWR), 'EROFS'],
    ['O_TMPFILE', 'openat', open('', O_TMPFILE | O_RDWR), 'EROFS'],
    ['O_PATH', 'openat', open('file', O_PATH), ''],
    ['create in an absent folder', 'openat', open('absent/name', O_CREAT | O_RDWR), 'ENOENT'],
    ['create in a file', 'openat', open('file/name', O_CREAT | O_RDWR), 'ENOTDIR'],
    ['mkdir', 'mkdirat', [AT_FDCWD, at('fresh'), 0o755], 'EROFS'],
    ['mkdir of what is there', 'mkdirat', [AT_FDCWD, at('folder'), 0o755], 'EEXIST'],
    ['mkdir in an absent folder', 'mkdirat', [AT_FDCWD, at('absent/name'), 0o755], 'ENOENT'],
    ['mknod', 'mknodat', [AT_FDCWD, at('fresh'), 0o010600, 0], 'EROFS'],
    ['mknod of what is there', 'mknodat', [AT_FDCWD, at('fifo'), 0o010600, 0], 'EEXIST'],
    ['symlink', 'symlinkat', ['target', AT_FDCWD, at('fresh')], 'EROFS'],
    ['symlink of what is there', 'symlinkat', ['target', AT_FDCWD, at('link')], 'EEXIST'],
    ['link', 'linkat', [AT_FDCWD, at('file'), AT_FDCWD, at('fresh'), 0], 'EROFS'],
    ['link to what is there', 'linkat', [AT_FDCWD, at('file'), AT_FDCWD, at('link'), 0], 'EEXIST'],
    ['link of an absent name', 'linkat', [AT_FDCWD, at('absent'), AT_FDCWD, at('fresh'), 0], 'ENOENT'], // prettier-ignore
    ['unlink', 'unlinkat', [AT_FDCWD, at('file'), 0], 'EROFS'],
    ['unlink of an absent name', 'unlinkat', [AT_FDCWD, at('absent'), 0], 'EROFS'],
    ['unlink of a folder', 'unlinkat', [AT_FDCWD, at('folder'), 0], 'EROFS'],
    ['rmdir', 'unlinkat', [AT_FDCWD, at('folder'), AT_REMOVEDIR], 'EROFS'],
    ['rmdir of a file', 'unlinkat', [AT_FDCWD, at('file'), AT_REMOVEDIR], 'EROFS'],
    ['rename', 'renameat2', rename('file', 'fresh'), 'EROFS'],
    ['rename of an absent name', 'renameat2', rename('absent', 'fresh'), 'EROFS'],
    ['rename over another', 'renameat2', rename('file', 'link'), 'EROFS'],
    ['exchange', 'renameat2', rename('file', 'link', Flag.RENAME_EXCHANGE), 'EROFS'],
    ['noreplace', 'renameat2', rename('file', 'link', Flag.RENAME_NOREPLACE), 'EROFS'],
    ['truncate', 'truncate', [at('file'), 0], 'EROFS'],
    ['truncate to the same size', 'truncate', [at('file'), 7], 'EROFS'],
    ['truncate of a folder', 'truncate', [at('folder'), 0], 'EISDIR'],
    ['truncate of an absent name', 'truncate', [at('absent'), 0], 'ENOENT'],
    ['truncate to a negative size', 'truncate', [at('file'), -1], 'EINVAL'],
    ['chmod', 'fchmodat', [AT_FDCWD, at('file'), 0o600], 'EROFS'],
    ['chown', 'fchownat', [AT_FDCWD, at('file'), 1, 1, 0], 'EROFS'],
    ['chown to nobody else', 'fchownat', [AT_FDCWD, at('file'), -1, -1, 0], 'EROFS'],
    ['utimensat', 'utimensat', [AT_FDCWD, at('file'), times, 0], 'EROFS'],
    ['utimensat of an absent name', 'utimensat', [AT_FDCWD, at('absent'), times, 0], 'ENOENT'],
    ['setxattr', 'lsetxattr', [at('file'), 'user.x', 'y', 1, 0], 'EROFS'],
    ['setxattr, a bad flag', 'lsetxattr', [at('file'), 'user.x', 'y', 1, 99], 'EINVAL'],
    ['removexattr', 'lremovexattr', [at('file'), 'user.name'], 'EROFS'],
    ['removexattr of an absent one', 'lremovexattr', [at('file'), 'user.absent'], 'EROFS'],
  ];
}

/** Calls on a descriptor that is open for reading. */
function descriptors(reader: number): Change[] {
  const { PROT_READ, PROT_WRITE, MAP_SHARED } = Flag;
  const both = PROT_READ | PROT_WRITE;
  return [
    ['fchmod', 'fchmod', [reader, 0o600], 'EROFS'],
    ['ftruncate', 'ftruncate', [reader, 0], 'EINVAL'],
    ['fallocate', 'fallocate', [reader, 0, 0, 1], 'EBADF'],
    ['write', 'write', [reader, 'x', 1], 'EBADF'],
    ['fsync', 'fsync', [reader], ''],
    ['syncfs', 'syncfs', [reader], ''],
    ['flock', 'flock', [reader, More.LOCK_EX | More.LOCK_NB], ''],
    ['mmap to store, shared', 'mmap', [0, 4096, both, MAP_SHARED, reader, 0], 'EACCES'],
    ['mmap to store, private', 'mmap', [0, 4096, both, MAP_PRIVATE, reader, 0], ''],
    ['mmap to read', 'mmap', [0, 4096, PROT_READ, MAP_SHARED, reader, 0], ''],
  ];
}
