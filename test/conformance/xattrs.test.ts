// Goal: extended attributes as xattr(7), setxattr(2), getxattr(2) and listxattr(2) say: kept as they
// are, in their limits, for whom they are meant. Method: tables of calls, and the usual copy tools.
//
// Run: node dist/test/conformance/xattrs.test.js

import t from 'tap';
import { requirePrograms } from '../support/commands.ts';
import { Actor, Kind, must } from './actors.ts';
import { promiseChanges, type ChangesRow } from './changes.ts';
import { Suite } from './suite.ts';

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const XATTR_SIZE_MAX = 65_536;
/** One number, and libuv has its other name. */
const EOPNOTSUPP = 'ENOTSUP';
const NAME_255 = `user.${'n'.repeat(250)}`;

requirePrograms({ rsync: 'rsync', setfattr: 'attr', tar: 'tar' });
t.setTimeout(300_000);
const suite = await Suite.open(t);

/** One object of each type. */
async function makeAll(who: Actor): Promise<void> {
  await must(who.create('file'), who.mkdir('directory'), who.symlink('file', 'symlink'));
  await must(who.mknod('fifo', Kind.FIFO | 0o644), who.mknod('socket', Kind.SOCKET | 0o644));
  await must(who.mknod('character', Kind.CHARACTER | 0o644, 0x103));
  await must(who.mknod('block', Kind.BLOCK | 0o644, 0x701));
}
const CARRIERS = ['file', 'directory'];
const OTHERS = ['symlink', 'fifo', 'socket', 'character', 'block'];

await suite.promises('values are kept, on every type that may have them', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await makeAll(who);
  const bytes = Buffer.from([0, 255, 10, 0]);
  for (const path of [...CARRIERS, ...OTHERS]) {
    const names = ['security.test', 'trusted.test'];
    if (CARRIERS.includes(path)) names.push('user.test');
    t.strictSame(await who.xattrNames(path), [], `${path}: none at first`);
    for (const name of names) {
      t.equal(await who.setXattr(path, name, bytes), '', `${path}: ${name}`);
      t.same(await who.xattr(path, name), bytes, `${path}: ${name} read back`);
    }
    t.strictSame(await who.xattrNames(path), names, `${path}: listed`);
    for (const name of names) t.equal(await who.removeXattr(path, name), '', `${path}: ${name}`);
    t.strictSame(await who.xattrNames(path), [], `${path}: none again`);
  }
  for (const path of OTHERS) {
    t.equal(await who.setXattr(path, 'user.test', 'x'), 'EPERM', `${path}: user.test`);
    t.equal(await who.xattrErrno(path, 'user.test'), 'ENODATA', `${path}: read of user.test`);
    t.equal(await who.removeXattr(path, 'user.test'), 'EPERM', `${path}: removal of user.test`);
  }
});

await suite.promises('sizes of values', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.create('file'));
  for (const bytes of [0, 1, 255, 4_000, 4_096, 30_000, XATTR_SIZE_MAX, 12, 0]) {
    const value = Buffer.alloc(bytes, `${bytes} `);
    t.equal(await who.setXattr('file', 'user.sized', value), '', `${bytes} bytes`);
    t.ok((await who.xattr('file', 'user.sized')).equals(value), `${bytes} bytes read back`);
    const size = await who.caller.must('lgetxattr', 'file', 'user.sized', 0, 0);
    t.equal(size.value, bytes, `a query says ${bytes}`);
  }
  const big = Buffer.alloc(XATTR_SIZE_MAX + 1);
  t.equal(await who.setXattr('file', 'user.big', big), 'E2BIG');
  t.equal(await who.xattrErrno('file', 'user.big'), 'ENODATA', 'nothing of it is left');
});

await suite.promises('names', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.create('file'));
  const rows: [name: string, set: string, get: string][] = [
    [NAME_255, '', ''],
    [`${NAME_255}n`, 'ERANGE', 'ERANGE'],
    ['', 'ERANGE', 'ERANGE'],
    ['user.', 'EINVAL', 'EINVAL'],
    ['trusted.', 'EINVAL', 'EINVAL'],
    ['security.', 'EINVAL', 'EINVAL'],
    ['user', EOPNOTSUPP, EOPNOTSUPP],
    ['other.name', EOPNOTSUPP, EOPNOTSUPP],
    ['USER.name', EOPNOTSUPP, EOPNOTSUPP],
    ['system.name', EOPNOTSUPP, EOPNOTSUPP],
    ['user. ', '', ''],
    ['user.with.dots', '', ''],
    ['user.\xff\n', '', ''],
  ];
  for (const [name, set, get] of rows) {
    const shown = JSON.stringify(name.slice(0, 20));
    t.equal(await who.setXattr('file', name, 'value'), set, `set ${shown}`);
    t.equal(await who.xattrErrno('file', name), get, `get ${shown}`);
    t.equal(await who.removeXattr('file', name), set, `remove ${shown}`);
    t.equal(await who.xattrErrno('file', name), get === '' ? 'ENODATA' : get, `get ${shown} again`);
  }
});

await suite.promises('errors', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.create('file'), who.symlink('loop', 'loop'));
  const set = async (name: string, flags: number): Promise<string> =>
    who.setXattr('file', name, 'value', flags);
  const rows: [what: string, call: () => Promise<string>, errno: string][] = [
    ['remove what is absent', async () => who.removeXattr('file', 'user.a'), 'ENODATA'],
    ['get what is absent', async () => who.xattrErrno('file', 'user.a'), 'ENODATA'],
    ['REPLACE what is absent', async () => set('user.a', XATTR_REPLACE), 'ENODATA'],
    ['CREATE and REPLACE what is absent', async () => set('user.a', 3), 'ENODATA'],
    ['CREATE', async () => set('user.a', XATTR_CREATE), ''],
    ['CREATE what is there', async () => set('user.a', XATTR_CREATE), 'EEXIST'],
    ['CREATE and REPLACE what is there', async () => set('user.a', 3), 'EEXIST'],
    ['REPLACE', async () => set('user.a', XATTR_REPLACE), ''],
    ['an unknown flag', async () => set('user.a', 4), 'EINVAL'],
    ['get into too little', async () => who.xattrErrno('file', 'user.a', 4), 'ERANGE'],
    ['get into just enough', async () => who.xattrErrno('file', 'user.a', 5), ''],
    ['set on nothing', async () => who.setXattr('absent', 'user.a', 'x'), 'ENOENT'],
    ['get of nothing', async () => who.xattrErrno('absent', 'user.a'), 'ENOENT'],
    ['remove of nothing', async () => who.removeXattr('absent', 'user.a'), 'ENOENT'],
    ['set below a file', async () => who.setXattr('file/x', 'user.a', 'x'), 'ENOTDIR'],
    ['set below a loop', async () => who.setXattr('loop/x', 'user.a', 'x'), 'ELOOP'],
    ['list into too little', async () => listInto(who, 6), 'ERANGE'],
    ['list into just enough', async () => listInto(who, 7), ''],
  ];
  for (const [what, call, errno] of rows) t.equal(await call(), errno, what);
  const length = await who.caller.must('llistxattr', 'file', 0, 0);
  t.equal(length.value, 7, 'a query of the list');
});

async function listInto(who: Actor, bytes: number): Promise<string> {
  const room = { outputBytes: bytes };
  return (await who.caller.call('llistxattr', 'file', room, bytes)).errno;
}

await suite.promises('many names', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.create('file'));
  const names = Array.from({ length: 90 }, (_, index) => `user.name-${index}`).sort();
  for (const name of names) await must(who.setXattr('file', name, name.slice(-4)));
  t.strictSame(await who.xattrNames('file'), names);
  for (const name of names) t.equal((await who.xattr('file', name)).toString(), name.slice(-4));
  const [gone, kept] = [names.slice(0, 45), names.slice(45)];
  for (const name of gone) await must(who.removeXattr('file', name));
  t.strictSame(await who.xattrNames('file'), kept);
});

await suite.promises('for whom they are', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  const owner = await Actor.user(probe, { uid: 1000, gid: 1000 });
  const other = await Actor.user(probe, { uid: 1001, gid: 1001 });
  await must(root.create('file'), root.chown('file', 1000, 1000), root.chmod('file', 0o640));
  for (const name of ['user.a', 'trusted.a', 'security.a']) {
    await must(root.setXattr('file', name, 'v'));
  }
  const rows: [what: string, call: () => Promise<string>, errno: string][] = [
    ['the owner sets user.*', async () => owner.setXattr('file', 'user.b', 'v'), ''],
    ['the owner reads user.*', async () => owner.xattrErrno('file', 'user.a'), ''],
    ['another reads user.*', async () => other.xattrErrno('file', 'user.a'), 'EACCES'],
    ['another sets user.*', async () => other.setXattr('file', 'user.a', 'v'), 'EACCES'],
    ['another removes user.*', async () => other.removeXattr('file', 'user.a'), 'EACCES'],
    ['the owner reads trusted.*', async () => owner.xattrErrno('file', 'trusted.a'), 'ENODATA'],
    ['the owner sets trusted.*', async () => owner.setXattr('file', 'trusted.a', 'v'), 'EPERM'],
    ['the owner removes trusted.*', async () => owner.removeXattr('file', 'trusted.a'), 'EPERM'],
    ['the owner reads security.*', async () => owner.xattrErrno('file', 'security.a'), ''],
    ['another reads security.*', async () => other.xattrErrno('file', 'security.a'), ''],
    ['the owner sets security.*', async () => owner.setXattr('file', 'security.a', 'v'), 'EPERM'],
    ['the owner removes security.*', async () => owner.removeXattr('file', 'security.a'), 'EPERM'],
  ];
  for (const [what, call, errno] of rows) t.equal(await call(), errno, what);
  const listed = ['security.a', 'user.a', 'user.b'];
  t.strictSame(await owner.xattrNames('file'), listed, 'trusted.* is not listed');
  t.strictSame(await other.xattrNames('file'), listed, 'who may not read may list');
  t.ok((await root.xattrNames('file')).includes('trusted.a'), 'root sees it');
  await must(root.mkdir('tmp'), root.chmod('tmp', 0o1777));
  t.equal(await other.setXattr('tmp', 'user.a', 'v'), 'EPERM', 'a sticky directory of another');
});

await suite.promises('they belong to the inode', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.create('a'), who.setXattr('a', 'user.x', 'y'), who.link('a', 'b'));
  t.equal((await who.xattr('b', 'user.x')).toString(), 'y');
  await must(who.setXattr('b', 'user.x', 'z'), who.rename('b', 'c'));
  t.equal((await who.xattr('a', 'user.x')).toString(), 'z');
  await must(who.unlink('a'));
  t.equal((await who.xattr('c', 'user.x')).toString(), 'z');
  await must(who.unlink('c'), who.create('c'));
  t.strictSame(await who.xattrNames('c'), [], 'a new file has none');
  await must(who.symlink('c', 's'));
  const follow = await who.caller.call('setxattr', 's', 'user.x', 'followed', 8, 0);
  t.equal(follow.errno, '', 'setxattr follows a symlink');
  t.equal((await who.xattr('c', 'user.x')).toString(), 'followed');
  const fd = await who.fd('c', 0);
  await must(who.unlink('c'));
  const unnamed = await who.caller.call('fsetxattr', fd, 'user.y', 'v', 1, 0);
  t.equal(unnamed.errno, '', 'a file without a name takes one');
});

const prepare = async (who: Actor): Promise<void> => {
  await must(who.create('file'), who.setXattr('file', 'user.x', 'v'));
};
const timeRows: ChangesRow[] = [
  ['set', async (who: Actor) => who.setXattr('file', 'user.new', 'v'), '', 'c'],
  ['set anew', async (who: Actor) => who.setXattr('file', 'user.x', 'other'), '', 'c'],
  ['set of trusted.*', async (who: Actor) => who.setXattr('file', 'trusted.x', 'v'), '', 'c'],
  ['remove', async (who: Actor) => who.removeXattr('file', 'user.x'), '', 'c'],
  ['get', async (who: Actor) => who.xattrErrno('file', 'user.x'), '', ''],
  ['list', async (who: Actor) => listInto(who, 100), '', ''],
  ['CREATE of what is there', async (who: Actor) => who.setXattr('file', 'user.x', 'v', 1), 'EEXIST', ''],
  ['REPLACE of what is absent', async (who: Actor) => who.setXattr('file', 'user.y', 'v', 2), 'ENODATA', ''],
  ['remove of what is absent', async (who: Actor) => who.removeXattr('file', 'user.y'), 'ENODATA', ''],
].map(([what, call, errno, times]) => ({ what, prepare, call, errno, changes: { '.': '', file: times } }) as ChangesRow); // prettier-ignore
await promiseChanges(suite, 'times', timeRows);

for (const [side, place] of Object.entries({ ext4: suite.ext4, dedupfs: suite.store })) {
  await t.test(`${side}: cp -a, rsync -X and tar --xattrs keep them`, async (t) => {
    const from = place.path('tree');
    const listing = `${suite.store.directory}/listing-${side}`;
    const list = (path: string): string =>
      `(cd ${path}; find . -print0 | sort -z | xargs -0 getfattr -hd -m - -e hex)`;
    await suite.store.mustRunScript(`
      mkdir ${from}; cd ${from}; echo content > file; mkdir directory; ln -s file link
      setfattr -n user.a -v 0x00ff0a file; setfattr -n user.long -v ${'x'.repeat(3_000)} file
      setfattr -n user.d -v d directory; setfattr -n trusted.t -v t directory
      setfattr -hn trusted.l -v l link; cd /
      ${list(from)} > ${listing}; test $(grep -c = ${listing}) = 5
      cp -a ${from} ${from}-cp; ${list(`${from}-cp`)} | diff ${listing} - >&2
      rsync -aX ${from}/ ${from}-rsync; ${list(`${from}-rsync`)} | diff ${listing} - >&2
      mkdir ${from}-tar; tar -C ${from} --xattrs --xattrs-include='*' -cf - . |
        tar -C ${from}-tar --xattrs --xattrs-include='*' -xf -
      ${list(`${from}-tar`)} | diff ${listing} - >&2`);
    t.pass('the same four times');
  });
}

await suite.finish();
