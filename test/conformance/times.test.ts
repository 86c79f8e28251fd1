// Goal: timestamps as utimensat(2), stat(2) and inode(7) say: they keep what is set, and change when
// the object does and only then. Method: tables of calls with the times that each must change.
//
// Run: node dist/test/conformance/times.test.js

import t from 'tap';
import { Flag } from '../support/commands-syscalls.ts';
import { Actor, Kind, must, UTIME_NOW, UTIME_OMIT } from './actors.ts';
import { expectChanges, promiseChanges, type ChangesRow, type Times } from './changes.ts';
import { Suite } from './suite.ts';

const { AT_FDCWD, O_RDONLY, O_RDWR, O_WRONLY, O_TRUNC, O_CREAT, O_APPEND } = Flag;
const NS_PER_S = 1_000_000_000n;
/** What 34 bits of seconds from -2^31 on reach: the year 2446. */
const EXT4_LAST_S = 2n ** 34n - 2n ** 31n - 1n;

t.setTimeout(300_000);
const suite = await Suite.open(t);

type Call = (who: Actor) => Promise<string>;

/** Opens `file`, makes the call, closes. */
function onFile(flags: number, act: (who: Actor, fd: number) => Promise<unknown>): Call {
  return async (who) => {
    const fd = await who.fd('file', flags);
    await act(who, fd);
    return who.close(fd);
  };
}

type Row = readonly [what: string, call: Call, times: Times, errno?: string];

/** About a file of 7 bytes; its directory must not change. */
const fileRows: Row[] = [
  ['write', onFile(O_RDWR, async (who, fd) => who.write(fd, 'x')), 'mc'],
  ['write at the end', onFile(O_WRONLY | O_APPEND, async (who, fd) => who.write(fd, 'x')), 'mc'],
  ['write of what is there', onFile(O_RDWR, async (who, fd) => who.write(fd, 'con')), 'mc'],
  ['write of nothing', onFile(O_RDWR, async (who, fd) => who.write(fd, '')), ''],
  ['open to write, and close', onFile(O_RDWR, async () => undefined), ''],
  ['O_CREAT of what is there', onFile(O_RDWR | O_CREAT, async () => undefined), ''],
  ['O_TRUNC', onFile(O_RDWR | O_TRUNC, async () => undefined), 'mc'],
  ['fsync', onFile(O_RDWR, async (who, fd) => who.caller.must('fsync', fd)), ''],
  ['flock', onFile(O_RDWR, async (who, fd) => who.caller.must('flock', fd, 2)), ''],
  ['lseek', onFile(O_RDWR, async (who, fd) => who.caller.must('lseek', fd, 3, 0)), ''],
  ['truncate to less', async (who) => who.truncate('file', 3), 'mc'],
  ['truncate to more', async (who) => who.truncate('file', 30), 'mc'],
  ['truncate to nothing', async (who) => who.truncate('file', 0), 'mc'],
  ['truncate to the same', async (who) => who.truncate('file', 7), 'mc'],
  ['ftruncate', onFile(O_RDWR, async (who, fd) => who.caller.must('ftruncate', fd, 3)), 'mc'],
  ['ftruncate to the same', onFile(O_RDWR, async (w, fd) => w.caller.must('ftruncate', fd, 7)), 'mc'],
  ['fallocate behind the end', onFile(O_RDWR, async (w, fd) => w.caller.must('fallocate', fd, 0, 0, 99)), 'mc'],
  ['chmod', async (who) => who.chmod('file', 0o600), 'c'],
  ['chmod to the same', async (who) => who.chmod('file', 0o644), 'c'],
  ['fchmod', onFile(O_RDONLY, async (who, fd) => who.caller.must('fchmod', fd, 0o600)), 'c'],
  ['chown', async (who) => who.chown('file', 5, 6), 'c'],
  ['chown to the same', async (who) => who.chown('file', 0, 0), 'c'],
  ['chown of nothing', async (who) => who.chown('file', -1, -1), 'c'],
  ['fchown', onFile(O_RDONLY, async (who, fd) => who.caller.must('fchown', fd, 5, 6)), 'c'],
  ['stat', async (who) => who.statErrno('file'), ''],
  ['access', async (who) => who.access('file', 4), ''],
  ['both times', async (who) => who.setTimes('file', 1n, 2n), 'amc'],
  ['both now', async (who) => who.orderTimes('file', UTIME_NOW, UTIME_NOW), 'amc'],
  ['no times', async (who) => touch(who, 'file'), 'amc'],
  ['atime now', async (who) => who.orderTimes('file', UTIME_NOW, UTIME_OMIT), 'ac'],
  ['mtime now', async (who) => who.orderTimes('file', UTIME_OMIT, UTIME_NOW), 'mc'],
  ['neither', async (who) => who.orderTimes('file', UTIME_OMIT, UTIME_OMIT), ''],
  ['too many ns', async (who) => who.orderTimes('file', NS_PER_S, 0n), '', 'EINVAL'],
  ['too many ns of mtime', async (who) => who.orderTimes('file', 0n, NS_PER_S), '', 'EINVAL'],
  ['negative ns', async (who) => who.orderTimes('file', -1n, 0n), '', 'EINVAL'],
  ['truncate to less than nothing', async (who) => who.truncate('file', -1), '', 'EINVAL'],
  ['truncate to too much', async (who) => tooBig(who), '', 'EFBIG'],
  ['mkdir over it', async (who) => who.mkdir('file'), '', 'EEXIST'],
  ['rmdir of it', async (who) => who.rmdir('file'), '', 'ENOTDIR'],
]; // prettier-ignore

async function touch(who: Actor, path: string): Promise<string> {
  return (await who.caller.call('utimensat', AT_FDCWD, path, 0, 0)).errno;
}

async function tooBig(who: Actor): Promise<string> {
  return (await who.caller.call('truncate', 'file', 2n ** 63n - 1n)).errno;
}

const prepare = async (who: Actor): Promise<void> => who.put('file', 'content');
await promiseChanges(
  suite,
  'what changes the times of a file',
  fileRows.map(([what, call, times, errno = '']) => ({
    what,
    prepare,
    call,
    errno,
    changes: { '.': '', file: times },
  })),
);

const otherRows: ChangesRow[] = [
  ['chmod of a directory', async (who: Actor) => who.chmod('d', 0o700), 'd'],
  ['chown of a directory', async (who: Actor) => who.chown('d', 5, 6), 'd'],
  ['chmod of a fifo', async (who: Actor) => who.chmod('fifo', 0o700), 'fifo'],
  ['chown of a symlink', async (who: Actor) => who.chown('symlink', 5, 6), 'symlink'],
].map(([what, call, path]) => {
  const changes = { '.': '', d: '', file: '', fifo: '', symlink: '', [path as string]: 'c' };
  const make = async (who: Actor): Promise<void> => {
    await must(who.mkdir('d'), who.create('file'), who.symlink('file', 'symlink'));
    await must(who.mknod('fifo', Kind.FIFO | 0o600));
  };
  return { what, prepare: make, call, changes } as ChangesRow;
});
await promiseChanges(suite, 'what changes the ctime of others', otherRows);

await suite.promises('times that are set are kept to the nanosecond', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.create('file'), who.mkdir('directory'), who.symlink('file', 'symlink'));
  const times = [0n, 1n, -1n, -NS_PER_S, 1_600_000_000_123_456_789n, -(2n ** 31n) * NS_PER_S];
  times.push(2n ** 31n * NS_PER_S + 999_999_999n, 2n ** 32n * NS_PER_S - 1n);
  times.push(2n ** 32n * NS_PER_S, EXT4_LAST_S * NS_PER_S, EXT4_LAST_S * NS_PER_S - 1n);
  for (const path of ['file', 'directory', 'symlink']) {
    for (const time of times) {
      t.equal(await who.setTimes(path, time, time), '', `${path}: ${time}`);
      const { atimeNs, mtimeNs } = await who.stat(path);
      t.strictSame([atimeNs, mtimeNs], [time, time], `${path}: ${time} read back`);
    }
  }
  await must(who.setTimes('file', 1n, NS_PER_S + 2n));
  const { atimeNs, mtimeNs } = await who.stat('file');
  t.strictSame([atimeNs, mtimeNs], [1n, NS_PER_S + 2n], 'each its own');
  for (const time of [-(2n ** 31n) - 1n, EXT4_LAST_S + 1n]) {
    await must(who.setTimes('file', time * NS_PER_S, time * NS_PER_S));
    const last = time < 0n ? -(2n ** 31n) : EXT4_LAST_S;
    // Deliberate difference: ext4 keeps 34 bits of seconds, dedupfs keeps any time.
    t.equal((await who.stat('file')).mtimeNs, (probe.isExt4 ? last : time) * NS_PER_S, `${time} s`);
  }
});

await suite.promises('now is now, and no call sets ctime', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;
  const slackNs = 100_000_000n;
  const began = nowNs() - slackNs;
  await must(who.create('file'), who.setTimes('file', 1n, 1n));
  const isNow = (time: bigint): boolean => time >= began && time <= nowNs() + slackNs;
  t.ok(isNow((await who.stat('file')).ctimeNs), 'ctime of utimensat');
  await must(who.orderTimes('file', UTIME_NOW, UTIME_OMIT));
  t.ok(isNow((await who.stat('file')).atimeNs), 'UTIME_NOW');
  t.equal((await who.stat('file')).mtimeNs, 1n, 'UTIME_OMIT');
  await must(who.setTimes('file', 1n, 1n), touch(who, 'file'));
  const { atimeNs, mtimeNs, ctimeNs } = await who.stat('file');
  t.ok(isNow(mtimeNs), 'no times');
  t.strictSame([atimeNs, mtimeNs], [ctimeNs, ctimeNs], 'one time for all three');
});

await suite.promises('who may set times', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  const owner = await Actor.user(probe, { uid: 1000, gid: 1000 });
  const other = await Actor.user(probe, { uid: 1001, gid: 1001 });
  for (const [path, mode] of [['shut', 0o444], ['open', 0o666]] as const) {
    await must(root.create(path), root.chown(path, 1000, 1000), root.chmod(path, mode));
  }
  await must(root.symlink('loop', 'loop'));
  const rows: [what: string, call: () => Promise<string>, errno: string][] = [
    ['the owner, any time', async () => owner.setTimes('shut', 1n, 2n), ''],
    ['the owner, now', async () => touch(owner, 'shut'), ''],
    ['another who may write, any time', async () => other.setTimes('open', 1n, 2n), 'EPERM'],
    ['another who may write, now', async () => touch(other, 'open'), ''],
    ['the same by UTIME_NOW', async () => other.orderTimes('open', UTIME_NOW, UTIME_NOW), ''],
    ['only one of them', async () => other.orderTimes('open', UTIME_NOW, UTIME_OMIT), 'EPERM'],
    ['only the other one', async () => other.orderTimes('open', UTIME_OMIT, UTIME_NOW), 'EPERM'],
    ['another who may not, any time', async () => other.setTimes('shut', 1n, 2n), 'EPERM'],
    ['another who may not, now', async () => touch(other, 'shut'), 'EACCES'],
    ['another, neither', async () => other.orderTimes('shut', UTIME_OMIT, UTIME_OMIT), ''],
    ['root', async () => root.setTimes('shut', 1n, 2n), ''],
    ['nothing', async () => touch(owner, 'absent'), 'ENOENT'],
    ['below a file', async () => touch(owner, 'open/x'), 'ENOTDIR'],
    ['a loop', async () => touch(owner, 'loop'), 'ELOOP'],
  ];
  for (const [what, call, errno] of rows) t.equal(await call(), errno, what);
}); // prettier-ignore

await suite.promises('what was refused changes nothing', async (probe) => {
  const root = await Actor.root(probe);
  const other = await Actor.user(probe, { uid: 1001, gid: 1001 });
  await must(root.mkdir('d'), root.create('d/file'));
  const rows: [what: string, call: Call, errno: string][] = [
    ['chmod', async () => other.chmod('d/file', 0o777), 'EPERM'],
    ['chown', async () => other.chown('d/file', 1001, -1), 'EPERM'],
    ['truncate', async () => other.truncate('d/file', 5), 'EACCES'],
    ['unlink', async () => other.unlink('d/file'), 'EACCES'],
    ['create', async () => other.create('d/new'), 'EACCES'],
    ['rename', async () => other.rename('d/file', 'd/new'), 'EACCES'],
    ['times', async () => other.setTimes('d/file', 1n, 1n), 'EPERM'],
    ['attribute', async () => other.setXattr('d/file', 'user.x', 'y'), 'EACCES'],
  ];
  for (const [what, call, errno] of rows) {
    await expectChanges(probe.t, root, { what, call, errno, changes: { d: '', 'd/file': '' } });
  }
});

await suite.finish();
