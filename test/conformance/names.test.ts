// Goal: calls that make, move and remove names fail as the manual pages say, in their order of
// precedence, and a call that fails changes nothing. Method: a table of calls on one small tree.
//
// Run: node dist/test/conformance/names.test.js

import t from 'tap';
import { Flag } from '../support/commands-syscalls.ts';
import { Actor, Kind, must } from './actors.ts';
import { changedTimes } from './changes.ts';
import { Suite } from './suite.ts';

const { AT_FDCWD, O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_EXCL, O_DIRECTORY, O_TMPFILE } = Flag;
const { RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT } = Flag;
const NAME_255 = 'n'.repeat(255);
const NAME_256 = 'n'.repeat(256);
/** 4096 bytes: one too many for a path, which ends with a NUL. */
const PATH_4096 = 'p/'.repeat(2048);
/** The directory that holds the mount: another filesystem. */
const ELSEWHERE = '../../elsewhere';
const NO_SUCH_FLAG = 0x8000;

type Row = readonly [what: string, call: (who: Actor) => Promise<string>, errno: string];

/** The tree that the rows are about: no row may change it. */
async function makeTree(who: Actor): Promise<void> {
  await who.put('file', 'content');
  await must(
    who.link('file', 'second'),
    who.mkdir('empty'),
    who.mkdir('full'),
    who.mkdir('full/inner'),
    who.mkdir('full/inner/below'),
    who.create('full/file'),
    who.symlink('file', 'to-file'),
    who.symlink('full', 'to-full'),
    who.symlink('absent', 'dangling'),
    who.symlink('loop', 'loop'),
    who.mknod('fifo', Kind.FIFO | 0o644),
  );
}
const TREE = ['.', 'file', 'empty', 'full', 'full/inner', 'full/inner/below', 'full/file', 'fifo'];

const mkdirRows: Row[] = [
  ['of a file', (who) => who.mkdir('file'), 'EEXIST'],
  ['of a directory', (who) => who.mkdir('empty'), 'EEXIST'],
  ['of a file with a slash', (who) => who.mkdir('file/'), 'EEXIST'],
  ['of a dangling symlink', (who) => who.mkdir('dangling'), 'EEXIST'],
  ['of .', (who) => who.mkdir('.'), 'EEXIST'],
  ['of ..', (who) => who.mkdir('..'), 'EEXIST'],
  ['of the root', (who) => who.mkdir('/'), 'EEXIST'],
  ['of no name', (who) => who.mkdir(''), 'ENOENT'],
  ['below nothing', (who) => who.mkdir('absent/new'), 'ENOENT'],
  ['below a dangling symlink', (who) => who.mkdir('dangling/new'), 'ENOENT'],
  ['below a file', (who) => who.mkdir('file/new'), 'ENOTDIR'],
  ['below a fifo', (who) => who.mkdir('fifo/new'), 'ENOTDIR'],
  ['below a loop', (who) => who.mkdir('loop/new'), 'ELOOP'],
  ['of 256 bytes', (who) => who.mkdir(NAME_256), 'ENAMETOOLONG'],
  ['of a path of 4096 bytes', (who) => who.mkdir(PATH_4096), 'ENAMETOOLONG'],
  ['below a name of 256 bytes', (who) => who.mkdir(`${NAME_256}/new`), 'ENAMETOOLONG'],
  ['below an absent name of 255 bytes', (who) => who.mkdir(`${NAME_255}/new`), 'ENOENT'],
];

const mknodRows: Row[] = [
  ['of a file', (who) => who.mknod('file', Kind.FIFO | 0o644), 'EEXIST'],
  ['of a dangling symlink', (who) => who.mknod('dangling', Kind.FIFO | 0o644), 'EEXIST'],
  ['of a directory', (who) => who.mknod('new', Kind.DIRECTORY | 0o755), 'EPERM'],
  ['of a symlink', (who) => who.mknod('new', Kind.SYMLINK | 0o777), 'EINVAL'],
  ['of no type there is', (who) => who.mknod('new', 0o150000 | 0o644), 'EINVAL'],
  ['below nothing', (who) => who.mknod('absent/new', Kind.FIFO | 0o644), 'ENOENT'],
  ['below a file', (who) => who.mknod('file/new', Kind.SOCKET | 0o644), 'ENOTDIR'],
  ['below a loop', (who) => who.mknod('loop/new', Kind.FIFO | 0o644), 'ELOOP'],
  ['with a slash at its end', (who) => who.mknod('new/', Kind.FIFO | 0o644), 'ENOENT'],
  ['of 256 bytes', (who) => who.mknod(NAME_256, Kind.FIFO | 0o644), 'ENAMETOOLONG'],
];

const openRows: Row[] = [
  ['O_EXCL of a file', (who) => who.create('file'), 'EEXIST'],
  ['O_EXCL of a directory', (who) => who.create('empty'), 'EEXIST'],
  ['O_EXCL of a dangling symlink', (who) => who.create('dangling'), 'EEXIST'],
  ['O_CREAT of a directory', (who) => who.open('empty', O_CREAT | O_WRONLY), 'EISDIR'],
  ['O_CREAT with a slash', (who) => who.open('new/', O_CREAT | O_WRONLY), 'EISDIR'],
  ['O_CREAT below nothing', (who) => who.open('absent/new', O_CREAT | O_WRONLY), 'ENOENT'],
  ['O_CREAT below a file', (who) => who.open('file/new', O_CREAT | O_WRONLY), 'ENOTDIR'],
  ['O_CREAT of 256 bytes', (who) => who.open(NAME_256, O_CREAT | O_WRONLY), 'ENAMETOOLONG'],
  ['O_CREAT through a loop', (who) => who.open('loop', O_CREAT | O_WRONLY), 'ELOOP'],
  ['absent', (who) => who.open('absent', O_RDONLY), 'ENOENT'],
  ['dangling', (who) => who.open('dangling', O_RDONLY), 'ENOENT'],
  ['no name', (who) => who.open('', O_RDONLY), 'ENOENT'],
  ['a file with a slash', (who) => who.open('file/', O_RDONLY), 'ENOTDIR'],
  ['O_DIRECTORY of a file', (who) => who.open('file', O_DIRECTORY), 'ENOTDIR'],
  ['O_NOFOLLOW of a symlink', (who) => who.open('to-file', Flag.O_NOFOLLOW), 'ELOOP'],
  ['a directory to write', (who) => who.open('empty', O_WRONLY), 'EISDIR'],
  ['a directory to read and write', (who) => who.open('empty', O_RDWR), 'EISDIR'],
  ['O_TRUNC of a directory', (who) => who.open('empty', O_WRONLY | Flag.O_TRUNC), 'EISDIR'],
  ['O_TMPFILE to read', (who) => who.open('empty', O_TMPFILE | O_RDONLY), 'EINVAL'],
  ['O_TMPFILE in a file', (who) => who.open('file', O_TMPFILE | O_RDWR), 'ENOTDIR'],
  ['O_TMPFILE in nothing', (who) => who.open('absent', O_TMPFILE | O_RDWR), 'ENOENT'],
];

const linkRows: Row[] = [
  ['of a directory', (who) => who.link('empty', 'new'), 'EPERM'],
  ['to a file', (who) => who.link('file', 'full/file'), 'EEXIST'],
  ['to itself', (who) => who.link('file', 'file'), 'EEXIST'],
  ['to a directory', (who) => who.link('file', 'empty'), 'EEXIST'],
  ['to a dangling symlink', (who) => who.link('file', 'dangling'), 'EEXIST'],
  ['of nothing', (who) => who.link('absent', 'new'), 'ENOENT'],
  ['of no name', (who) => who.link('', 'new'), 'ENOENT'],
  ['to no name', (who) => who.link('file', ''), 'ENOENT'],
  ['below nothing', (who) => who.link('file', 'absent/new'), 'ENOENT'],
  ['to a name with a slash', (who) => who.link('file', 'new/'), 'ENOENT'],
  ['below a file', (who) => who.link('file', 'file/new'), 'ENOTDIR'],
  ['of a file with a slash', (who) => who.link('file/', 'new'), 'ENOTDIR'],
  ['of a loop that is followed', (who) => who.link('loop', 'new', 0x400), 'ELOOP'],
  ['of a dangling link, followed', (who) => who.link('dangling', 'new', 0x400), 'ENOENT'],
  ['below a loop', (who) => who.link('file', 'loop/new'), 'ELOOP'],
  ['to 256 bytes', (who) => who.link('file', NAME_256), 'ENAMETOOLONG'],
  ['elsewhere', (who) => who.link('file', ELSEWHERE), 'EXDEV'],
  ['with an unknown flag', (who) => who.link('file', 'new', NO_SUCH_FLAG), 'EINVAL'],
];

const symlinkRows: Row[] = [
  ['over a file', (who) => who.symlink('x', 'file'), 'EEXIST'],
  ['over a directory', (who) => who.symlink('x', 'empty'), 'EEXIST'],
  ['over a dangling symlink', (who) => who.symlink('x', 'dangling'), 'EEXIST'],
  ['to nothing at all', (who) => who.symlink('', 'new'), 'ENOENT'],
  ['of no name', (who) => who.symlink('x', ''), 'ENOENT'],
  ['below nothing', (who) => who.symlink('x', 'absent/new'), 'ENOENT'],
  ['with a slash at its end', (who) => who.symlink('x', 'new/'), 'ENOENT'],
  ['below a file', (who) => who.symlink('x', 'file/new'), 'ENOTDIR'],
  ['below a loop', (who) => who.symlink('x', 'loop/new'), 'ELOOP'],
  ['of 256 bytes', (who) => who.symlink('x', NAME_256), 'ENAMETOOLONG'],
  ['to 4096 bytes', (who) => who.symlink(PATH_4096, 'new'), 'ENAMETOOLONG'],
];

const readlinkRows: Row[] = [
  ['of a file', (who) => who.readlink('file'), 'EINVAL'],
  ['of a directory', (who) => who.readlink('empty'), 'EINVAL'],
  ['of a symlink with a slash', (who) => who.readlink('to-full/'), 'EINVAL'],
  ['of nothing', (who) => who.readlink('absent'), 'ENOENT'],
  ['below a file', (who) => who.readlink('file/x'), 'ENOTDIR'],
  ['below a loop', (who) => who.readlink('loop/x'), 'ELOOP'],
  ['of 256 bytes', (who) => who.readlink(NAME_256), 'ENAMETOOLONG'],
  ['into no room', async (who) => readlinkInto(who, 0), 'EINVAL'],
  ['into less than no room', async (who) => readlinkInto(who, -1), 'EINVAL'],
];

const unlinkRows: Row[] = [
  ['of nothing', (who) => who.unlink('absent'), 'ENOENT'],
  ['of no name', (who) => who.unlink(''), 'ENOENT'],
  ['of nothing with a slash', (who) => who.unlink('absent/'), 'ENOENT'],
  ['of a directory', (who) => who.unlink('empty'), 'EISDIR'],
  ['of a full directory', (who) => who.unlink('full'), 'EISDIR'],
  ['of a directory with a slash', (who) => who.unlink('empty/'), 'EISDIR'],
  ['of .', (who) => who.unlink('.'), 'EISDIR'],
  ['of ..', (who) => who.unlink('full/..'), 'EISDIR'],
  ['of a file with a slash', (who) => who.unlink('file/'), 'ENOTDIR'],
  ['of a symlink with a slash', (who) => who.unlink('to-full/'), 'ENOTDIR'],
  ['below a file', (who) => who.unlink('file/x'), 'ENOTDIR'],
  ['below a loop', (who) => who.unlink('loop/x'), 'ELOOP'],
  ['of 256 bytes', (who) => who.unlink(NAME_256), 'ENAMETOOLONG'],
  ['with an unknown flag', async (who) => unlinkWith(who, NO_SUCH_FLAG), 'EINVAL'],
];

const rmdirRows: Row[] = [
  ['of a full directory', (who) => who.rmdir('full'), 'ENOTEMPTY'],
  ['of nothing', (who) => who.rmdir('absent'), 'ENOENT'],
  ['of a file', (who) => who.rmdir('file'), 'ENOTDIR'],
  ['of a fifo', (who) => who.rmdir('fifo'), 'ENOTDIR'],
  ['of a symlink', (who) => who.rmdir('to-full'), 'ENOTDIR'],
  ['of a symlink with a slash', (who) => who.rmdir('to-full/'), 'ENOTDIR'],
  ['of .', (who) => who.rmdir('empty/.'), 'EINVAL'],
  ['of ..', (who) => who.rmdir('empty/..'), 'ENOTEMPTY'],
  ['of the root', (who) => who.rmdir('/'), 'EBUSY'],
  ['below a loop', (who) => who.rmdir('loop/x'), 'ELOOP'],
  ['of 256 bytes', (who) => who.rmdir(NAME_256), 'ENAMETOOLONG'],
];

const renameRows: Row[] = [
  ['of nothing', (who) => who.rename('absent', 'new'), 'ENOENT'],
  ['of nothing over a file', (who) => who.rename('absent', 'file'), 'ENOENT'],
  ['of no name', (who) => who.rename('', 'new'), 'ENOENT'],
  ['below nothing', (who) => who.rename('file', 'absent/new'), 'ENOENT'],
  ['below a file', (who) => who.rename('fifo', 'file/new'), 'ENOTDIR'],
  ['of a file over a directory', (who) => who.rename('file', 'empty'), 'EISDIR'],
  ['of a file over a full directory', (who) => who.rename('file', 'full'), 'EISDIR'],
  ['of a symlink over a directory', (who) => who.rename('to-full', 'empty'), 'EISDIR'],
  ['of a directory over a file', (who) => who.rename('empty', 'file'), 'ENOTDIR'],
  ['of a directory over a symlink', (who) => who.rename('empty', 'to-full'), 'ENOTDIR'],
  ['of a directory over a full one', (who) => who.rename('empty', 'full'), 'ENOTEMPTY'],
  ['of a directory into itself', (who) => who.rename('full', 'full/new'), 'EINVAL'],
  ['of a directory below itself', (who) => who.rename('full', 'full/inner/below/new'), 'EINVAL'],
  ['of a directory over its child', (who) => who.rename('full', 'full/inner'), 'EINVAL'],
  ['of a directory over its parent', (who) => who.rename('full/inner', 'full'), 'ENOTEMPTY'],
  ['of a file over its parent', (who) => who.rename('full/file', 'full'), 'ENOTEMPTY'],
  ['of .', (who) => who.rename('.', 'new'), 'EBUSY'],
  ['of ..', (who) => who.rename('full/..', 'new'), 'EBUSY'],
  ['over .', (who) => who.rename('empty', 'full/.'), 'EBUSY'],
  ['over ..', (who) => who.rename('empty', 'full/..'), 'EBUSY'],
  ['of a file with a slash', (who) => who.rename('file/', 'new'), 'ENOTDIR'],
  ['of a file to a name with a slash', (who) => who.rename('file', 'new/'), 'ENOTDIR'],
  ['of a directory over a file/', (who) => who.rename('empty', 'file/'), 'ENOTDIR'],
  ['below a loop', (who) => who.rename('file', 'loop/new'), 'ELOOP'],
  ['to 256 bytes', (who) => who.rename('file', NAME_256), 'ENAMETOOLONG'],
  ['of 256 bytes', (who) => who.rename(NAME_256, 'new'), 'ENAMETOOLONG'],
  ['elsewhere', (who) => who.rename('file', ELSEWHERE), 'EXDEV'],
  ['of nothing elsewhere', (who) => who.rename('absent', ELSEWHERE), 'EXDEV'],
  ['to itself', (who) => who.rename('file', 'file'), ''],
  ['to another link of the file', (who) => who.rename('file', 'second'), ''],
  ['of a directory to itself', (who) => who.rename('full', 'full'), ''],
];

const renameFlagRows: Row[] = [
  ['NOREPLACE', (who) => who.rename('file', 'fifo', RENAME_NOREPLACE), 'EEXIST'],
  ['NOREPLACE, a directory', (who) => who.rename('empty', 'full', RENAME_NOREPLACE), 'EEXIST'],
  ['NOREPLACE, other type', (who) => who.rename('file', 'empty', RENAME_NOREPLACE), 'EEXIST'],
  ['NOREPLACE, itself', (who) => who.rename('file', 'file', RENAME_NOREPLACE), 'EEXIST'],
  ['NOREPLACE, its link', (who) => who.rename('file', 'second', RENAME_NOREPLACE), 'EEXIST'],
  ['NOREPLACE, dangling', (who) => who.rename('file', 'dangling', RENAME_NOREPLACE), 'EEXIST'],
  ['NOREPLACE, nothing', (who) => who.rename('absent', 'file', RENAME_NOREPLACE), 'ENOENT'],
  ['NOREPLACE, over .', (who) => who.rename('file', 'full/.', RENAME_NOREPLACE), 'EEXIST'],
  ['NOREPLACE, into itself', (who) => who.rename('full', 'full/n', RENAME_NOREPLACE), 'EINVAL'],
  ['EXCHANGE, nothing', (who) => who.rename('absent', 'file', RENAME_EXCHANGE), 'ENOENT'],
  ['EXCHANGE with nothing', (who) => who.rename('file', 'absent', RENAME_EXCHANGE), 'ENOENT'],
  ['EXCHANGE, its child', (who) => who.rename('full', 'full/inner', RENAME_EXCHANGE), 'EINVAL'],
  ['EXCHANGE, its parent', (who) => who.rename('full/inner', 'full', RENAME_EXCHANGE), 'EINVAL'],
  ['EXCHANGE, deep', (who) => who.rename('full/inner/below', 'full', RENAME_EXCHANGE), 'EINVAL'],
  ['EXCHANGE, file and its parent', (who) => who.rename('full/file', 'full', 2), 'EINVAL'],
  ['EXCHANGE, file/', (who) => who.rename('file/', 'fifo', RENAME_EXCHANGE), 'ENOTDIR'],
  ['EXCHANGE elsewhere', (who) => who.rename('file', ELSEWHERE, RENAME_EXCHANGE), 'EXDEV'],
  ['EXCHANGE, itself', (who) => who.rename('file', 'file', RENAME_EXCHANGE), ''],
  ['EXCHANGE, its link', (who) => who.rename('file', 'second', RENAME_EXCHANGE), ''],
  ['EXCHANGE and NOREPLACE', (who) => who.rename('file', 'fifo', 3), 'EINVAL'],
  ['EXCHANGE and WHITEOUT', (who) => who.rename('file', 'fifo', 6), 'EINVAL'],
  ['WHITEOUT of nothing', (who) => who.rename('absent', 'new', RENAME_WHITEOUT), 'ENOENT'],
  ['WHITEOUT, wrong type', (who) => who.rename('file', 'empty', RENAME_WHITEOUT), 'EISDIR'],
  ['WHITEOUT and NOREPLACE', (who) => who.rename('file', 'fifo', 5), 'EEXIST'],
  ['unknown flag', (who) => who.rename('file', 'new', NO_SUCH_FLAG), 'EINVAL'],
];

async function readlinkInto(who: Actor, bytes: number): Promise<string> {
  const room = { outputBytes: 1 };
  return (await who.caller.call('readlinkat', AT_FDCWD, 'to-file', room, bytes)).errno;
}

async function unlinkWith(who: Actor, flags: number): Promise<string> {
  return (await who.caller.call('unlinkat', AT_FDCWD, 'file', flags)).errno;
}

t.setTimeout(300_000);
const suite = await Suite.open(t);

const tables: [string, readonly Row[]][] = [
  ['mkdir', mkdirRows],
  ['mknod', mknodRows],
  ['open', openRows],
  ['link', linkRows],
  ['symlink', symlinkRows],
  ['readlink', readlinkRows],
  ['unlink', unlinkRows],
  ['rmdir', rmdirRows],
  ['rename', renameRows],
  ['renameat2', renameFlagRows],
];
for (const [name, rows] of tables) {
  await suite.promises(`${name}: its errors, which change nothing`, async (probe) => {
    const { t } = probe;
    const who = await Actor.root(probe);
    await makeTree(who);
    const before = await Promise.all(TREE.map(async (path) => who.stat(path)));
    for (const [what, call, errno] of rows) t.equal(await call(who), errno, `${name} ${what}`);
    for (const [index, path] of TREE.entries()) {
      const [was, is] = [before[index], await who.stat(path)];
      t.equal(was === undefined ? 'absent' : changedTimes(was, is), '', `times of ${path}`);
      t.equal(is.nlink, was?.nlink, `nlink of ${path}`);
    }
  });
}

await suite.promises('the longest name, path and symlink', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir(NAME_255), who.rmdir(NAME_255));
  await must(who.symlink('t', NAME_255), who.rename(NAME_255, 'n'), who.rename('n', NAME_255));
  await must(who.mkdir('d'));
  t.equal(await who.statErrno(`${'d/../'.repeat(818)}d/../`), '', '4095 bytes of path');
  t.equal(await who.statErrno(`${'d/../'.repeat(818)}d/..//`), 'ENAMETOOLONG', '4096 bytes');
  const target = 'x'.repeat(4095);
  await must(who.symlink(target, 'long'));
  t.equal(await who.linkTarget('long'), target);
  t.equal((await who.stat('long')).size, 4095);
  const short = await who.caller.must('readlinkat', AT_FDCWD, 'long', { outputBytes: 9 }, 3);
  t.equal(short.value, 3, 'readlink cuts what has no room');
  t.equal(short.outputs[0]?.toString('latin1'), 'xxx\0\0\0\0\0\0');
});

await suite.promises('40 symlinks are followed, 41 are not', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await who.put('link-0', 'the end');
  for (let depth = 1; depth <= 41; depth++) {
    await must(who.symlink(`link-${depth - 1}`, `link-${depth}`));
  }
  t.equal(await who.content('link-40'), 'the end');
  t.equal(await who.open('link-41', O_RDONLY), 'ELOOP');
});

await suite.promises('O_CREAT through a dangling symlink makes its target', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.symlink('target', 'dangling'), who.open('dangling', O_CREAT | O_WRONLY));
  t.equal((await who.stat('target')).mode & Kind.SYMLINK, Kind.FILE);
  t.equal(await who.open('dangling', O_CREAT | O_EXCL | O_WRONLY), 'EEXIST');
});

await suite.finish();
