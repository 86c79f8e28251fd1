// Goal: owners, modes, times, xattrs and statfs behave on the mount as POSIX and Linux say. Method:
// raw system calls, also by processes that are not root.
//
// Run: node dist/test/acceptance/semantics-attributes.test.js

import t from 'tap';
import { eventually, requirePrograms, requireRoot } from '../support/commands.ts';
import { Flag, type Caller } from '../support/commands-syscalls.ts';
import { filesystemStatusOf, statusOf, timespecs } from '../support/commands-statx.ts';
import { behaves, type Bench } from '../support/mounted-store-behaviour.ts';
import { MountedStore, isReferenceRun } from '../support/mounted-store.ts';
import { randomBytesOf } from '../support/random.ts';
import { MB } from '../support/sizes.ts';

const { AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_CREAT, O_RDONLY, O_RDWR, O_WRONLY } = Flag;
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const [ALICE, BOB, GROUP] = [40_001, 40_002, 50_001];

t.setTimeout(300_000);
requireRoot();
requirePrograms({ perl: 'perl' });
const store = await MountedStore.mounted(t);
await store.mustRun('chmod', ['755', store.directory]);
const behavesWhen = async (name: string, body: (bench: Bench) => Promise<void>): Promise<void> =>
  behaves(t, store, name, body);

await behavesWhen('times keep every nanosecond, also before 1970', async ({ t, caller, at }) => {
  await caller.open(at('file'), O_CREAT | O_RDWR);
  await caller.must('symlinkat', 'file', AT_FDCWD, at('link'));
  const cases = [
    0n,
    1n,
    -1n,
    -999_999_999n,
    1_700_000_000_123_456_789n,
    -2_000_000_000_000_000_001n,
  ];
  for (const name of ['file', 'link', '.']) {
    for (const timeNs of cases) {
      const times = timespecs(timeNs + 5n, timeNs);
      await caller.must('utimensat', AT_FDCWD, at(name), times, AT_SYMLINK_NOFOLLOW);
      const status = await statusOf(caller, at(name));
      t.equal(status.mtimeNs, timeNs, `mtime of ${name}`);
      t.equal(status.atimeNs, timeNs + 5n, `atime of ${name}`);
    }
  }
});

await behavesWhen('changes move the times that POSIX names', async ({ t, caller, at }) => {
  const fd = await caller.open(at('file'), O_CREAT | O_RDWR);
  const moved = async (action: () => Promise<unknown>, path: string): Promise<string> => {
    await caller.must('utimensat', AT_FDCWD, path, timespecs(1_000n, 1_000n), AT_SYMLINK_NOFOLLOW);
    const before = await statusOf(caller, path);
    await eventually('the clock of file times has ticked', clockHasTicked(), { timeoutMs: 1_000 });
    await action();
    const after = await statusOf(caller, path);
    const fields = [after.mtimeNs > before.mtimeNs && 'm', after.ctimeNs > before.ctimeNs && 'c'];
    return fields.filter((field) => field !== false).join('');
  };
  const [file, directory] = [at('file'), at('.')];
  t.equal(await moved(() => caller.pwrite(fd, 'x', 0), file), 'mc', 'write');
  t.equal(await moved(() => caller.must('ftruncate', fd, 100), file), 'mc', 'truncate');
  t.equal(await moved(() => caller.must('fchmod', fd, 0o600), file), 'c', 'chmod');
  t.equal(await moved(() => setXattr(caller, file, 'user.a', 'b'), file), 'c', 'setxattr');
  const link = (): Promise<unknown> =>
    caller.must('linkat', AT_FDCWD, file, AT_FDCWD, at('link'), 0);
  t.equal(await moved(link, file), 'c', 'link');
  t.equal(await moved(() => caller.open(at('new'), O_CREAT), directory), 'mc', 'create in it');
  const unlink = (): Promise<unknown> => caller.must('unlinkat', AT_FDCWD, at('new'), 0);
  t.equal(await moved(unlink, directory), 'mc', 'remove from it');
  t.equal(await moved(() => caller.pread(fd, 1, 0), file), '', 'reading changes neither');
});

await behavesWhen('statx knows the birth time, which never moves', async ({ t, caller, at }) => {
  const before = BigInt(Date.now() - 1_000) * 1_000_000n;
  const fd = await caller.open(at('file'), O_CREAT | O_RDWR);
  const born = await statusOf(caller, at('file'));
  t.ok(born.hasBirthTime, 'the birth time is valid');
  t.ok(born.btimeNs > before && born.btimeNs <= BigInt(Date.now() + 1_000) * 1_000_000n);
  await caller.must('utimensat', AT_FDCWD, at('file'), timespecs(0n, 0n), 0);
  await caller.pwrite(fd, 'later', 0);
  t.equal((await statusOf(caller, at('file'))).btimeNs, born.btimeNs);
});

await behavesWhen(
  'the umask is applied, set-gid directories inherit',
  async ({ t, caller, at }) => {
    const modeOf = async (name: string): Promise<string> =>
      ((await statusOf(caller, at(name))).mode & 0o7777).toString(8);
    await caller.must('umask', 0o027);
    await caller.open(at('file'), O_CREAT | O_WRONLY, 0o666);
    t.equal(await modeOf('file'), '640');
    await caller.must('mkdirat', AT_FDCWD, at('directory'), 0o777);
    t.equal(await modeOf('directory'), '750');
    await caller.must('mknodat', AT_FDCWD, at('fifo'), 0o010666, 0);
    t.equal(await modeOf('fifo'), '640');

    await caller.must('fchownat', AT_FDCWD, at('directory'), 0, GROUP, 0);
    await caller.must('fchmodat', AT_FDCWD, at('directory'), 0o2777);
    await caller.open(at('directory/file'), O_CREAT | O_WRONLY, 0o666);
    await caller.must('mkdirat', AT_FDCWD, at('directory/below'), 0o755);
    t.equal((await statusOf(caller, at('directory/file'))).gid, GROUP, 'a file gets the group');
    t.equal((await statusOf(caller, at('directory/below'))).gid, GROUP, 'a directory too');
    t.equal(await modeOf('directory/below'), '2750', 'and passes it on');
  },
);

await behavesWhen('chown and foreign writes clear set-uid', async (bench) => {
  const { t, caller, at, startCaller } = bench;
  const mode = async (): Promise<string> =>
    ((await statusOf(caller, at('file'))).mode & 0o7777).toString(8);
  await caller.open(at('file'), O_CREAT | O_WRONLY);
  await caller.must('fchmodat', AT_FDCWD, at('file'), 0o6777);
  await caller.must('fchownat', AT_FDCWD, at('file'), ALICE, GROUP, 0);
  t.equal(await mode(), '777', 'chown clears both');
  const bob = await become(startCaller(), BOB);
  await caller.must('fchmodat', AT_FDCWD, at('file'), 0o6777);
  const fd = await bob.open(at('file'), O_WRONLY);
  await bob.pwrite(fd, 'x', 0);
  t.equal(await mode(), '777', 'a write clears both');
  await caller.must('fchmodat', AT_FDCWD, at('file'), 0o6777);
  await bob.must('truncate', at('file'), 0);
  t.equal(await mode(), '777', 'truncate clears both');
});

await behavesWhen('permissions hold for everyone but root', async (bench) => {
  const { t, caller, at, startCaller } = bench;
  const [alice, bob] = [await become(startCaller(), ALICE), await become(startCaller(), BOB)];
  await caller.must('fchmodat', AT_FDCWD, at('.'), 0o1777);
  await alice.open(at('private'), O_CREAT | O_WRONLY, 0o600);
  t.equal((await statusOf(caller, at('private'))).uid, ALICE, 'the creator owns the file');
  const errnoOf = async (path: string, flags: number): Promise<string> =>
    (await bob.call('openat', AT_FDCWD, at(path), flags, 0)).errno;
  t.equal(await errnoOf('private', O_RDONLY), 'EACCES');
  t.equal((await bob.call('fchmodat', AT_FDCWD, at('private'), 0o666)).errno, 'EPERM');
  t.equal((await bob.call('unlinkat', AT_FDCWD, at('private'), 0)).errno, 'EPERM', 'sticky');
  await alice.must('fchmodat', AT_FDCWD, at('private'), 0o644);
  t.equal(await errnoOf('private', O_RDONLY), '');
  t.equal(await errnoOf('private', O_WRONLY), 'EACCES');
  const times = timespecs(0n, 0n);
  t.equal((await bob.call('utimensat', AT_FDCWD, at('private'), times, 0)).errno, 'EPERM');
});

await behavesWhen('xattrs: all values, flags and errors', async ({ t, caller, at }) => {
  const fd = await caller.open(at('file'), O_CREAT | O_WRONLY);
  await caller.must('close', fd);
  // ext4, the reference, has less room than the 64 KiB that the VFS allows.
  const largest = isReferenceRun ? 2_000 : 65_536;
  for (const bytes of [0, 1, 255, largest]) {
    await setXattr(caller, at('file'), 'user.value', randomBytesOf(bytes, bytes));
    const value = await getXattr(caller, at('file'), 'user.value', 65_536);
    t.ok(value?.equals(randomBytesOf(bytes, bytes)), `a value of ${bytes} bytes`);
  }
  const errno = async (name: string, flags: number): Promise<string> =>
    (await caller.call('lsetxattr', at('file'), name, 'new', 3, flags)).errno;
  t.equal(await errno('user.value', XATTR_CREATE), 'EEXIST');
  t.equal(await errno('user.absent', XATTR_REPLACE), 'ENODATA');
  t.equal(await errno(`user.${'n'.repeat(251)}`, 0), 'ERANGE', 'a name of 256 bytes');
  t.equal(await errno('user.value', XATTR_REPLACE), '');
  const short = await caller.call('lgetxattr', at('file'), 'user.value', { outputBytes: 1 }, 1);
  t.equal(short.errno, 'ERANGE', 'a buffer that is too small');
  const removed = await caller.call('lremovexattr', at('file'), 'user.absent');
  t.equal(removed.errno, 'ENODATA');
  await caller.must('lremovexattr', at('file'), 'user.value');
  const list = await caller.must('llistxattr', at('file'), { outputBytes: 1000 }, 1000);
  t.equal(list.value, 0, 'nothing is left');
});

await behavesWhen('writing drops file capabilities', async ({ t, caller, at }) => {
  const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
  const fd = await caller.open(at('file'), O_CREAT | O_WRONLY);
  const isSet = async (): Promise<boolean> =>
    (await getXattr(caller, at('file'), 'security.capability', 100)) !== undefined;
  await setXattr(caller, at('file'), 'security.capability', capability);
  t.ok(await isSet());
  await caller.pwrite(fd, 'changed', 0);
  t.notOk(await isSet(), 'after a write');
  await setXattr(caller, at('file'), 'security.capability', capability);
  await caller.must('fchownat', AT_FDCWD, at('file'), 1, 1, 0);
  t.notOk(await isSet(), 'after chown');
});

await behavesWhen('statfs has true numbers', async ({ t, caller, at }) => {
  const before = await filesystemStatusOf(caller, at('.'));
  t.equal(before.nameBytesMax, 255);
  t.ok(before.blockBytes >= 512 && before.blocks > 0, 'a size');
  t.ok(before.freeBlocks <= before.blocks && before.availableBlocks <= before.freeBlocks);
  t.ok(before.files > before.freeFiles && before.freeFiles > 0, 'files are counted');
  const host = await filesystemStatusOf(caller, store.directory);
  const freeOf = (status: typeof host): number => status.availableBlocks * status.blockBytes;
  const usedOf = (status: typeof host): number =>
    (status.blocks - status.freeBlocks) * status.blockBytes;
  t.ok(freeOf(before) <= freeOf(host) + 100 * MB, 'not more room than the host has');
  const fd = await caller.open(at('file'), O_CREAT | O_WRONLY);
  for (let part = 0; part < 50; part++) {
    await caller.pwrite(fd, randomBytesOf(part, MB), part * MB);
  }
  await caller.must('fsync', fd);
  // Others use the host's disk too: only what this mount says it uses can be compared.
  const used = usedOf(await filesystemStatusOf(caller, at('.'))) - usedOf(before);
  t.ok(isReferenceRun || used > 45 * MB, `50 MB of data use ${used} bytes more`);
});

await t.test('the store is clean', async () => store.finish());

/** File times may be as coarse as the ticks of the kernel's clock: 10 ms at most (HZ=100). */
function clockHasTicked(): () => boolean {
  const startedMs = Date.now();
  return () => Date.now() - startedMs > 10;
}

/** Turns a process into one of a plain user, for good. */
async function become(caller: Caller, uid: number): Promise<Caller> {
  await caller.must('setgroups', 0, 0);
  await caller.must('setresgid', uid, uid, uid);
  await caller.must('setresuid', uid, uid, uid);
  return caller;
}

async function setXattr(caller: Caller, path: string, name: string, value: string | Uint8Array) {
  await caller.must('lsetxattr', path, name, value, value.length, 0);
}

async function getXattr(
  caller: Caller,
  path: string,
  name: string,
  bytesMax: number,
): Promise<Buffer | undefined> {
  const answer = await caller.call('lgetxattr', path, name, { outputBytes: bytesMax }, bytesMax);
  return answer.errno === '' ? answer.outputs[0]?.subarray(0, answer.value) : undefined;
}
