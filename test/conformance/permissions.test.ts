// Goal: who may do what, as path_resolution(7), chmod(2), chown(2), unlink(2) and rename(2) say.
// Method: a tree of root, alice and bob, and a table of calls by each of them.
//
// Run: node dist/test/conformance/permissions.test.js

import t from 'tap';
import { Flag } from '../support/commands-syscalls.ts';
import { Actor, Kind, must } from './actors.ts';
import { Suite } from './suite.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, O_TRUNC, O_CREAT } = Flag;
const ALICE = 1000;
const BOB = 1001;
/** Alice's second group; bob is not in it. */
const TEAM = 3000;
const FOREIGN = 4000;
const [R_OK, W_OK, X_OK] = [4, 2, 1];

interface People {
  readonly root: Actor;
  readonly alice: Actor;
  readonly bob: Actor;
}
type Row = readonly [what: string, call: (who: People) => Promise<string>, errno: string];

async function people(probe: Parameters<typeof Actor.root>[0]): Promise<People> {
  return {
    root: await Actor.root(probe),
    alice: await Actor.user(probe, { uid: ALICE, gid: ALICE, groups: [TEAM] }),
    bob: await Actor.user(probe, { uid: BOB, gid: BOB }),
  };
}

/** A file with owner, group and mode. */
async function file(root: Actor, path: string, uid: number, gid: number, mode: number) {
  await must(root.create(path), root.chown(path, uid, gid), root.chmod(path, mode));
}

async function directory(root: Actor, path: string, uid: number, gid: number, mode: number) {
  await must(root.mkdir(path), root.chown(path, uid, gid), root.chmod(path, mode));
}

/** Name, owner, group, mode: all empty files. */
const FILES: [string, number, number, number][] = [
  ['owner-none', ALICE, ALICE, 0o077],
  ['group-none', 0, ALICE, 0o707],
  ['team-read', 0, TEAM, 0o640],
  ['others-read', 0, 0, 0o604],
  ['nothing', 0, 0, 0],
  ['run-by-other', BOB, BOB, 0o601],
  ['open/locked', ALICE, ALICE, 0o600],
  ['search/file', 0, 0, 0o666],
  ['list/file', 0, 0, 0o666],
  ['alice', ALICE, ALICE, 0o644],
];
const DIRECTORIES: [string, number, number, number][] = [
  ['open', 0, 0, 0o777],
  ['open/of-alice', ALICE, ALICE, 0o555],
  ['open/other', 0, 0, 0o777],
  ['search', 0, 0, 0o711],
  ['list', 0, 0, 0o744],
  ['shut', 0, 0, 0o755],
  ['shut/empty', ALICE, ALICE, 0o777],
];

const rows: Row[] = [
  ['the owner class only', ({ alice }) => alice.open('owner-none', O_RDONLY), 'EACCES'],
  ['others where the owner may not', ({ bob }) => bob.open('owner-none', O_RDWR), ''],
  ['the group class only', ({ alice }) => alice.open('group-none', O_RDONLY), 'EACCES'],
  ['others where the group may not', ({ bob }) => bob.open('group-none', O_RDWR), ''],
  ['a supplementary group reads', ({ alice }) => alice.open('team-read', O_RDONLY), ''],
  ['it does not write', ({ alice }) => alice.open('team-read', O_WRONLY), 'EACCES'],
  ['nor do others read', ({ bob }) => bob.open('team-read', O_RDONLY), 'EACCES'],
  ['others read', ({ bob }) => bob.open('others-read', O_RDONLY), ''],
  ['others do not write', ({ bob }) => bob.open('others-read', O_RDWR), 'EACCES'],
  ['others do not truncate', ({ bob }) => bob.truncate('others-read', 0), 'EACCES'],
  ['nor by O_TRUNC', ({ bob }) => bob.open('others-read', O_RDONLY | O_TRUNC), 'EACCES'],
  ['root reads', ({ root }) => root.open('nothing', O_RDWR), ''],
  ['access: root reads', ({ root }) => root.access('nothing', R_OK | W_OK), ''],
  ['access: root does not run', ({ root }) => root.access('nothing', X_OK), 'EACCES'],
  ['access: root runs what anybody may', ({ root }) => root.access('run-by-other', X_OK), ''],
  ['access: the owner does not run', ({ bob }) => bob.access('run-by-other', X_OK), 'EACCES'],
  ['access: others run', ({ alice }) => alice.access('run-by-other', X_OK), ''],
  ['access: it is there', ({ bob }) => bob.access('nothing', 0), ''],
  ['access: absent', ({ bob }) => bob.access('absent', 0), 'ENOENT'],
  ['access: below a file', ({ bob }) => bob.access('alice/x', 0), 'ENOTDIR'],
  ['access: an unknown mode', ({ bob }) => bob.access('alice', 8), 'EINVAL'],
  ['access: root searches', ({ root }) => root.access('shut', X_OK), ''],
  ['search without read', ({ bob }) => bob.open('search/file', O_RDWR), ''],
  ['no list without read', ({ bob }) => bob.open('search', O_RDONLY), 'EACCES'],
  ['read without search', ({ bob }) => bob.open('list/file', O_RDONLY), 'EACCES'],
  ['stat without search', ({ bob }) => bob.statErrno('list/file'), 'EACCES'],
  ['stat of what is absent without search', ({ bob }) => bob.statErrno('list/no'), 'EACCES'],
  ['a list with read', ({ bob }) => bob.open('list', O_RDONLY), ''],
  ['stat needs no permission', ({ bob }) => bob.statErrno('open/locked'), ''],
  ['mkdir without write', ({ bob }) => bob.mkdir('shut/new'), 'EACCES'],
  ['mkdir of a name that is there', ({ bob }) => bob.mkdir('shut/empty'), 'EEXIST'],
  ['create without write', ({ bob }) => bob.create('shut/new'), 'EACCES'],
  ['symlink without write', ({ bob }) => bob.symlink('x', 'shut/new'), 'EACCES'],
  ['mknod without write', ({ bob }) => bob.mknod('shut/new', Kind.FIFO | 0o644), 'EACCES'],
  ['link without write', ({ bob }) => bob.link('search/file', 'shut/new'), 'EACCES'],
  ['rmdir without write', ({ alice }) => alice.rmdir('shut/empty'), 'EACCES'],
  ['unlink without write', ({ bob }) => bob.unlink('search/file'), 'EACCES'],
  ['unlink of nothing without write', ({ bob }) => bob.unlink('search/no'), 'ENOENT'],
  ['rename without write there', ({ bob }) => bob.rename('open/locked', 'shut/new'), 'EACCES'],
  ['rename without write here', ({ bob }) => bob.rename('search/file', 'open/new'), 'EACCES'],
  ['a device', ({ bob }) => bob.mknod('open/null', Kind.CHARACTER | 0o666, 0x103), 'EPERM'],
  // Its .. changes, so the directory itself must be writable too.
  ['a directory that may not change', (who) => moveOf(who.alice), 'EACCES'],
  ['its rename in place', ({ alice }) => alice.rename('open/of-alice', 'open/renamed'), ''],
  ['chmod by another', ({ bob }) => bob.chmod('alice', 0o777), 'EPERM'],
  ['chown by another', ({ bob }) => bob.chown('alice', BOB, -1), 'EPERM'],
  ['chown away', ({ alice }) => alice.chown('alice', BOB, -1), 'EPERM'],
  ['chown to a group one is not in', ({ alice }) => alice.chown('alice', -1, FOREIGN), 'EPERM'],
  ['chown to a group one is in', ({ alice }) => alice.chown('alice', -1, TEAM), ''],
  ['chown to oneself', ({ alice }) => alice.chown('alice', ALICE, ALICE), ''],
  ['chown of nothing but the ctime', ({ alice }) => alice.chown('alice', -1, -1), ''],
  ['chmod by the owner', ({ alice }) => alice.chmod('alice', 0o400), ''],
  ['the owner no longer writes', ({ alice }) => alice.open('alice', O_WRONLY), 'EACCES'],
  ['chmod of nothing', ({ alice }) => alice.chmod('absent', 0o400), 'ENOENT'],
  ['unlink of a file of another', ({ bob }) => bob.unlink('open/locked'), ''],
];

async function moveOf(alice: Actor): Promise<string> {
  return alice.rename('open/of-alice', 'open/other/of-alice');
}

t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('the classes, directories, owners', async (probe) => {
  const who = await people(probe);
  for (const row of DIRECTORIES) await directory(who.root, ...row);
  for (const row of FILES) await file(who.root, ...row);
  for (const [what, call, errno] of rows) probe.t.equal(await call(who), errno, what);
});

await suite.promises('who opened a file keeps what it may do', async (probe) => {
  const { root, alice } = await people(probe);
  await file(root, 'file', ALICE, ALICE, 0o600);
  const fd = await alice.fd('file', O_RDWR);
  await must(root.chmod('file', 0), root.chown('file', 0, 0));
  probe.t.equal(await alice.write(fd, 'still'), '');
  probe.t.equal((await alice.caller.pread(fd, 9, 0)).toString(), 'still');
  probe.t.equal((await alice.caller.call('fchmod', fd, 0o777)).errno, 'EPERM', 'not the owner');
  probe.t.equal(await alice.open('file', O_RDONLY), 'EACCES');
});

await suite.promises('faccessat2 asks for the real user, or the effective one', async (probe) => {
  const { root, alice } = await people(probe);
  await file(root, 'file', 0, 0, 0o600);
  await must(alice.access('file', 0));
  await root.caller.must('setresuid', ALICE, -1, -1);
  probe.t.equal(await root.access('file', R_OK), 'EACCES', 'real');
  probe.t.equal(await root.access('file', R_OK, Flag.AT_EACCESS), '', 'effective');
  await root.caller.must('setresuid', 0, -1, -1);
});

await suite.promises('umask', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const masks: [umask: number, asked: number, given: number][] = [
    [0, 0o666, 0o666],
    [0o022, 0o777, 0o755],
    [0o027, 0o666, 0o640],
    [0o777, 0o777, 0],
    [0o077, 0o1777, 0o1700],
  ];
  for (const [index, [umask, asked, given]] of masks.entries()) {
    await who.caller.must('umask', umask);
    await must(who.create(`f${index}`, asked), who.mkdir(`d${index}`, asked));
    await must(who.mknod(`p${index}`, Kind.FIFO | asked), who.symlink('x', `s${index}`));
    for (const kind of ['f', 'd', 'p']) t.equal(await who.mode(kind + index), given, kind + index);
    t.equal(await who.mode(`s${index}`), 0o777, 'symlinks have all permissions');
    const fd = await who.fd('.', Flag.O_TMPFILE | O_RDWR, asked);
    t.equal((await who.fstat(fd)).mode & 0o7777, given, 'O_TMPFILE');
    await must(who.close(fd));
  }
});

await suite.promises('a mode that allows nothing does not hinder its creation', async (probe) => {
  const { root, alice } = await people(probe);
  await must(root.chmod('.', 0o777));
  const fd = await alice.fd('file', O_CREAT | O_RDWR, 0);
  probe.t.equal(await alice.write(fd, 'x'), '');
  probe.t.equal(await alice.open('file', O_RDONLY), 'EACCES', 'the next open');
});

await suite.promises('a sticky directory', async (probe) => {
  const { t } = probe;
  const { root, alice, bob } = await people(probe);
  await directory(root, 'tmp', 0, 0, 0o1777);
  await directory(root, 'bobs', BOB, BOB, 0o1777);
  for (const place of ['tmp', 'bobs']) {
    await must(alice.create(`${place}/file`), alice.mkdir(`${place}/dir`));
    await must(alice.create(`${place}/second`), bob.create(`${place}/bob`));
  }
  t.equal(await bob.unlink('tmp/file'), 'EPERM');
  t.equal(await bob.rmdir('tmp/dir'), 'EPERM');
  t.equal(await bob.rename('tmp/file', 'tmp/stolen'), 'EPERM');
  t.equal(await bob.rename('tmp/bob', 'tmp/file'), 'EPERM', 'over the file of another');
  t.equal(await bob.rename('tmp/bob', 'tmp/file', Flag.RENAME_EXCHANGE), 'EPERM', 'exchange');
  t.equal(await bob.unlink('tmp/absent'), 'ENOENT');
  t.equal(await alice.rename('tmp/file', 'tmp/mine'), '', 'the owner of the file');
  t.equal(await alice.unlink('tmp/mine'), '');
  t.equal(await alice.rmdir('tmp/dir'), '');
  t.equal(await root.unlink('tmp/second'), '', 'root');
  t.equal(await bob.rename('bobs/file', 'bobs/taken'), '', 'the owner of the directory');
  t.equal(await bob.unlink('bobs/taken'), '');
  t.equal(await bob.rmdir('bobs/dir'), '');
  t.equal(await alice.rename('bobs/second', 'bobs/bob'), 'EPERM', "over its owner's file");
});

await suite.promises('a set-group-ID directory hands its group down', async (probe) => {
  const { t } = probe;
  const { root, alice, bob } = await people(probe);
  await directory(root, 'team', 0, TEAM, 0o2777);
  await directory(root, 'plain', 0, TEAM, 0o777);
  for (const [name, who, uid] of [['alice', alice, ALICE], ['bob', bob, BOB]] as const) {
    await must(who.create(`team/${name}`, 0o2775), who.mkdir(`team/${name}-d`, 0o755));
    await must(who.symlink('x', `team/${name}-s`), who.mknod(`team/${name}-p`, Kind.FIFO | 0o600));
    for (const suffix of ['', '-d', '-s', '-p']) {
      const { uid: owner, gid } = await root.stat(`team/${name}${suffix}`);
      t.strictSame([owner, gid], [uid, TEAM], `owner and group of ${name}${suffix}`);
    }
    t.equal(await root.mode(`team/${name}-d`), 0o2755, 'directories hand it on');
    await must(who.create(`plain/${name}`), who.mkdir(`plain/${name}-d`, 0o2755));
    t.equal((await root.stat(`plain/${name}`)).gid, uid, 'elsewhere it is the group of the maker');
  }
  t.equal(await root.mode('team/alice'), 0o2755, 'who is in the group may ask for S_ISGID');
  t.equal(await root.mode('team/bob'), 0o755, 'who is not may not');
  const fd = await bob.fd('team', Flag.O_TMPFILE | O_RDWR, 0o2775);
  const unnamed = await bob.fstat(fd);
  t.strictSame([unnamed.gid, unnamed.mode & 0o7777], [TEAM, 0o755], 'O_TMPFILE');
}); // prettier-ignore

await suite.promises('chmod and S_ISGID', async (probe) => {
  const { t } = probe;
  const { root, alice } = await people(probe);
  const groups: [string, Actor, number, number][] = [
    ['own', alice, ALICE, 0o2755],
    ['supplementary', alice, TEAM, 0o2755],
    ['foreign', alice, FOREIGN, 0o755],
    ['root', root, FOREIGN, 0o2755],
  ];
  for (const [name, who, gid, mode] of groups) {
    await file(root, name, ALICE, gid, 0o644);
    await directory(root, `${name}-d`, ALICE, gid, 0o755);
    await must(who.chmod(name, 0o2755), who.chmod(`${name}-d`, 0o2755));
    t.equal(await root.mode(name), mode, name);
    t.equal(await root.mode(`${name}-d`), mode, `${name}: a directory`);
  }
  await file(root, 'all', ALICE, ALICE, 0o644);
  await must(alice.chmod('all', 0o7777));
  t.equal(await root.mode('all'), 0o7777, 'the sticky bit of a file is kept');
});

/** FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of linux/fs.h, and two of the flags. */
const [GETFLAGS, SETFLAGS, IMMUTABLE, APPEND] = [0x80086601, 0x40086602, 0x10, 0x20];

await suite.promises('immutable and append-only files', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await who.put('file', 'content');
  await must(who.mkdir('d'), who.create('d/file'));
  const setFlags = async (path: string, flags: number): Promise<string> => {
    const fd = await who.fd(path, O_RDONLY);
    const value = Buffer.alloc(8);
    value.writeUInt32LE(flags);
    const { errno } = await who.caller.call('ioctl', fd, SETFLAGS, value);
    await must(who.close(fd));
    return errno;
  };
  if (!probe.isExt4) {
    // Deliberate difference: dedupfs keeps no inode flags, and says so instead of forgetting them.
    const fd = await who.fd('file', O_RDONLY);
    const get = await who.caller.call('ioctl', fd, GETFLAGS, { outputBytes: 8 });
    t.match(get.errno, /^(ENOTTY|ENOTSUP)$/, 'FS_IOC_GETFLAGS');
    t.match(await setFlags('file', IMMUTABLE), /^(ENOTTY|ENOTSUP)$/, 'FS_IOC_SETFLAGS');
    return;
  }
  t.equal(await setFlags('file', IMMUTABLE), '');
  t.equal(await who.open('file', O_WRONLY), 'EPERM', 'write');
  t.equal(await who.unlink('file'), 'EPERM', 'unlink');
  t.equal(await who.rename('file', 'other'), 'EPERM', 'rename');
  t.equal(await who.link('file', 'other'), 'EPERM', 'link');
  t.equal(await who.chmod('file', 0), 'EPERM', 'chmod');
  t.equal(await setFlags('file', APPEND), '');
  t.equal(await who.open('file', O_WRONLY), 'EPERM', 'write without O_APPEND');
  t.equal(await who.open('file', O_WRONLY | Flag.O_APPEND), '', 'append');
  t.equal(await setFlags('file', 0), '');
  t.equal(await who.unlink('file'), '');
});

await suite.finish();
