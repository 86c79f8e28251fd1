// Goal: POSIX ACLs as acl(5) says: kept, tied to the mode, inherited, obeyed. Method: the raw
// extended attributes system.posix_acl_access and system.posix_acl_default.
//
// Run: node dist/test/conformance/acls.test.js

import t from 'tap';
import { requirePrograms } from '../support/commands.ts';
import { Flag } from '../support/commands-syscalls.ts';
import { Actor, Kind, must, type Identity } from './actors.ts';
import { promiseChanges, type ChangesRow } from './changes.ts';
import { Suite } from './suite.ts';

const { O_RDONLY, O_WRONLY, O_RDWR } = Flag;
const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';
/** linux/posix_acl_xattr.h */
const VERSION = 2;
/** One number, and libuv has its other name. */
const EOPNOTSUPP = 'ENOTSUP';
const TAGS = { u: 1, U: 2, g: 4, G: 8, m: 16, o: 32 } as const;
const NO_ID = 0xffffffff;

/** 'u:rwx U1000:r-x g:r-x G2000:--- m:rwx o:---' as the kernel stores it. */
function acl(text: string, version = VERSION): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt32LE(version);
  const entries = text.split(' ').filter((word) => word !== '');
  return Buffer.concat([header, ...entries.map(entryOf)]);
}

function entryOf(word: string): Buffer {
  const [, letter = '', id = '', permissions = ''] = /^(\D)(\d*):(.*)$/.exec(word) ?? [];
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE((TAGS as Record<string, number>)[letter] ?? 0x40, 0);
  const bits = ['r', 'w', 'x', '!'].map((bit, index) =>
    permissions.includes(bit) ? [4, 2, 1, 8][index] : 0,
  );
  bytes.writeUInt16LE(
    bits.reduce<number>((sum, bit) => sum + (bit ?? 0), 0),
    2,
  );
  bytes.writeUInt32LE(id === '' ? NO_ID : Number(id), 4);
  return bytes;
}

/** The other way round; the errno if there is none. */
async function aclOf(who: Actor, path: string, name = ACCESS): Promise<string> {
  const errno = await who.xattrErrno(path, name);
  if (errno !== '') return errno;
  const bytes = await who.xattr(path, name);
  const words: string[] = [];
  for (let offset = 4; offset < bytes.length; offset += 8) {
    const tag = bytes.readUInt16LE(offset);
    const letter = Object.entries(TAGS).find(([, value]) => value === tag)?.[0] ?? '?';
    const bits = bytes.readUInt16LE(offset + 2);
    const id = bytes.readUInt32LE(offset + 4);
    const permissions = ['r', 'w', 'x'].map((bit, at) => ((bits & (4 >> at)) === 0 ? '-' : bit));
    words.push(`${letter}${id === NO_ID ? '' : id}:${permissions.join('')}`);
  }
  return words.join(' ');
}

requirePrograms({ setfacl: 'acl', rsync: 'rsync' });
t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('an ACL is kept and makes the mode', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const rows: [string, number][] = [
    ['u:rw- U1000:r-- g:r-- m:rw- o:---', 0o660],
    ['u:rwx U1000:rwx g:--- m:r-x o:--x', 0o751],
    ['u:--- U1000:--- U1001:rwx g:rwx G5:r-x m:--- o:rwx', 0o007],
    ['u:r-- g:r-- G2000:-w- G2001:--x m:rwx o:r--', 0o474],
  ];
  await must(who.create('file'), who.mkdir('directory'), who.mknod('fifo', Kind.FIFO | 0o600));
  for (const path of ['file', 'directory', 'fifo']) {
    t.strictSame(await who.xattrNames(path), [], `${path}: none at first`);
    t.equal(await aclOf(who, path), 'ENODATA', path);
    for (const [text, mode] of rows) {
      t.equal(await who.setXattr(path, ACCESS, acl(text)), '', `${path}: ${text}`);
      t.equal(await aclOf(who, path), text, `${path}: read back`);
      t.equal(await who.mode(path), mode, `${path}: mode of ${text}`);
      t.strictSame(await who.xattrNames(path), [ACCESS], `${path}: listed`);
    }
  }
});

await suite.promises('chmod changes the mask, not the group', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.create('file'));
  await must(who.setXattr('file', ACCESS, acl('u:rw- U1000:rw- g:r-- m:rw- o:---')));
  const rows: [number, string][] = [
    [0o640, 'u:rw- U1000:rw- g:r-- m:r-- o:---'],
    [0o707, 'u:rwx U1000:rw- g:r-- m:--- o:rwx'],
    [0o070, 'u:--- U1000:rw- g:r-- m:rwx o:---'],
    [0o4755, 'u:rwx U1000:rw- g:r-- m:r-x o:r-x'],
  ];
  for (const [mode, text] of rows) {
    await must(who.chmod('file', mode));
    t.equal(await aclOf(who, 'file'), text, mode.toString(8));
    t.equal(await who.mode('file'), mode);
  }
});

await suite.promises('an ACL that says what a mode says is none', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.create('file'));
  await must(who.setXattr('file', ACCESS, acl('u:rw- U1000:rw- g:r-- m:rw- o:---')));
  await must(who.setXattr('file', ACCESS, acl('u:rwx g:r-x o:--x')));
  t.equal(await who.mode('file'), 0o751);
  t.equal(await aclOf(who, 'file'), 'ENODATA');
  t.strictSame(await who.xattrNames('file'), []);
  await must(who.setXattr('file', ACCESS, acl('u:rw- g:r-- m:rwx o:---')));
  t.equal(await aclOf(who, 'file'), 'u:rw- g:r-- m:rwx o:---', 'a mask makes it one');
  t.equal(await who.mode('file'), 0o670);
});

await suite.promises('an ACL goes and leaves the mode', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const ways: [string, (path: string) => Promise<string>][] = [
    ['removexattr', async (path) => who.removeXattr(path, ACCESS)],
    ['no bytes', async (path) => who.setXattr(path, ACCESS, '')],
    ['no entries', async (path) => who.setXattr(path, ACCESS, acl(''))],
  ];
  for (const [way, remove] of ways) {
    await who.put(way, '');
    await must(who.setXattr(way, ACCESS, acl('u:rw- U1000:rw- g:r-- m:rwx o:---')));
    t.equal(await remove(way), '', way);
    t.equal(await aclOf(who, way), 'ENODATA', `${way}: gone`);
    t.equal(await who.mode(way), 0o670, `${way}: the mask stays as the group's bits`);
    t.equal(await remove(way), '', `${way}: once more`);
  }
  await must(who.mkdir('d'), who.setXattr('d', DEFAULT, acl('u:rwx g:r-x o:---')));
  t.equal(await who.removeXattr('d', DEFAULT), '');
  t.equal(await aclOf(who, 'd', DEFAULT), 'ENODATA');
  t.equal(await who.removeXattr('d', DEFAULT), '', 'no default: nothing to remove');
});

await suite.promises('what is refused', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const good = acl('u:rw- g:r-- o:r--');
  await must(who.create('file'), who.mkdir('directory'), who.symlink('file', 'symlink'));
  const malformed: [string, Buffer, string][] = [
    ['one byte', Buffer.from([2]), 'EINVAL'],
    ['half an entry', good.subarray(0, good.length - 4), 'EINVAL'],
    ['another version', acl('u:rw- g:r-- o:r--', 1), EOPNOTSUPP],
    ['no owner', acl('g:r-- o:r--'), 'EINVAL'],
    ['no group', acl('u:rw- o:r--'), 'EINVAL'],
    ['no others', acl('u:rw- g:r--'), 'EINVAL'],
    ['two owners', acl('u:rw- u:rw- g:r-- o:r--'), 'EINVAL'],
    ['two masks', acl('u:rw- U1:r-- g:r-- m:r-- m:r-- o:r--'), 'EINVAL'],
    ['a named user without a mask', acl('u:rw- U1:r-- g:r-- o:r--'), 'EINVAL'],
    ['a named group without a mask', acl('u:rw- g:r-- G1:r-- o:r--'), 'EINVAL'],
    ['wrong order', acl('g:r-- u:rw- o:r--'), 'EINVAL'],
    ['an entry after the others', acl('u:rw- g:r-- o:r-- m:r--'), 'EINVAL'],
    ['an unknown tag', acl('u:rw- x:r-- g:r-- o:r--'), 'EINVAL'],
    ['an unknown permission', acl('u:rw-! g:r-- o:r--'), 'EINVAL'],
  ];
  for (const [what, value, errno] of malformed) {
    for (const name of [ACCESS, DEFAULT]) {
      t.equal(await who.setXattr('directory', name, value), errno, `${name}: ${what}`);
    }
  }
  t.equal(await who.mode('directory'), 0o755, 'nothing happened');
  t.strictSame(await who.xattrNames('directory'), []);
  t.equal(await who.setXattr('file', DEFAULT, good), 'EACCES', 'a default for a file');
  t.equal(await aclOf(who, 'file', DEFAULT), 'ENODATA');
  for (const name of [ACCESS, DEFAULT]) {
    t.equal(await who.setXattr('symlink', name, good), EOPNOTSUPP, `set for a symlink: ${name}`);
    t.equal(await who.xattrErrno('symlink', name), EOPNOTSUPP, `read of a symlink: ${name}`);
    t.equal(await who.removeXattr('symlink', name), EOPNOTSUPP, `removed of a symlink: ${name}`);
  }
  await must(who.setXattr('file', ACCESS, acl('u:rw- U1:r-- g:r-- m:r-- o:r--')));
  t.equal(await who.xattrErrno('file', ACCESS, 3), 'ERANGE');
  const size = await who.caller.must('lgetxattr', 'file', ACCESS, 0, 0);
  t.equal(size.value, 4 + 5 * 8, 'size of a query');
});

await suite.promises('a default ACL is inherited, and umask is not asked', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const given = 'u:rwx U1000:rwx g:r-x m:rwx o:r--';
  await must(who.mkdir('d'), who.setXattr('d', DEFAULT, acl(given)));
  t.equal(await aclOf(who, 'd', DEFAULT), given);
  t.equal(await who.mode('d'), 0o755, 'it changes no mode');
  t.strictSame(await who.xattrNames('d'), [DEFAULT]);
  await who.caller.must('umask', 0o077);
  const rows: [string, (path: string) => Promise<string>, number, string][] = [
    ['file', async (p) => who.create(p, 0o666), 0o664, 'u:rw- U1000:rwx g:r-x m:rw- o:r--'],
    ['strict', async (p) => who.create(p, 0o600), 0o600, 'u:rw- U1000:rwx g:r-x m:--- o:---'],
    ['directory', async (p) => who.mkdir(p, 0o777), 0o774, given],
    ['tight', async (p) => who.mkdir(p, 0o750), 0o750, 'u:rwx U1000:rwx g:r-x m:r-x o:---'],
    ['fifo', async (p) => who.mknod(p, Kind.FIFO | 0o640), 0o640, 'u:rw- U1000:rwx g:r-x m:r-- o:---'],
  ]; // prettier-ignore
  for (const [name, make, mode, text] of rows) {
    await must(make(`d/${name}`));
    t.equal(await who.mode(`d/${name}`), mode, `${name}: mode`);
    t.equal(await aclOf(who, `d/${name}`), text, `${name}: ACL`);
  }
  for (const name of ['directory', 'tight']) {
    t.equal(await aclOf(who, `d/${name}`, DEFAULT), given, `${name}: default`);
  }
  t.equal(await aclOf(who, 'd/file', DEFAULT), 'ENODATA', 'a file has no default');
  await must(who.symlink('x', 'd/symlink'));
  t.strictSame(await who.xattrNames('d/symlink'), [], 'a symlink inherits nothing');
  const unnamed = await who.fd('d', Flag.O_TMPFILE | O_RDWR, 0o666);
  t.equal((await who.fstat(unnamed)).mode & 0o777, 0o664, 'O_TMPFILE inherits');
  await must(who.create('file', 0o666), who.rename('file', 'd/moved'));
  t.equal(await who.mode('d/moved'), 0o600, 'what is moved in inherits nothing');
  t.equal(await aclOf(who, 'd/moved'), 'ENODATA');
});

await suite.promises('a minimal default ACL only replaces the umask', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('d'), who.setXattr('d', DEFAULT, acl('u:rwx g:rwx o:---')));
  await must(who.create('d/file', 0o666), who.mkdir('d/directory', 0o777));
  t.equal(await who.mode('d/file'), 0o660);
  t.equal(await aclOf(who, 'd/file'), 'ENODATA');
  t.equal(await who.mode('d/directory'), 0o770);
  t.equal(await aclOf(who, 'd/directory'), 'ENODATA');
  t.equal(await aclOf(who, 'd/directory', DEFAULT), 'u:rwx g:rwx o:---');
});

await suite.promises('ACLs are obeyed', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  const people: Record<string, Identity> = {
    owner: { uid: 1000, gid: 1000 },
    named: { uid: 1001, gid: 1001 },
    group: { uid: 1002, gid: 2000 },
    supplementary: { uid: 1003, gid: 1003, groups: [7, 2001] },
    twoGroups: { uid: 1004, gid: 2001, groups: [2002] },
    other: { uid: 1005, gid: 1005 },
  };
  const rows: [text: string, readers: string, writers: string][] = [
    ['u:r-- U1001:-w- g:r-- G2001:-w- m:rwx o:---', 'owner group', 'named supplementary twoGroups'],
    ['u:rw- U1001:rw- g:rw- G2001:rw- m:r-- o:rw-', 'owner named group supplementary twoGroups other', 'owner other'],
    ['u:--- U1001:--- g:--- G2001:--- m:rwx o:rw-', 'other', 'other'],
    ['u:rw- g:--- G2001:r-- G2002:-w- m:rwx o:---', 'owner supplementary twoGroups', 'owner twoGroups'],
    // A mask of --- would not do: Linux asks no ACL when the mode's group bits are 0.
    ['u:rw- U1001:rw- g:r-- m:--x o:r--', 'owner supplementary twoGroups other', 'owner'],
  ]; // prettier-ignore
  for (const [index, [text]] of rows.entries()) {
    await must(root.create(`file-${index}`), root.chown(`file-${index}`, 1000, 2000));
    await must(root.setXattr(`file-${index}`, ACCESS, acl(text)));
  }
  for (const [name, identity] of Object.entries(people)) {
    const who = await Actor.user(probe, identity);
    for (const [index, [text, readers, writers]] of rows.entries()) {
      const verdict = (list: string): string => (list.split(' ').includes(name) ? '' : 'EACCES');
      const path = `file-${index}`;
      t.equal(await who.open(path, O_RDONLY), verdict(readers), `${name} reads ${text}`);
      t.equal(await who.open(path, O_WRONLY), verdict(writers), `${name} writes ${text}`);
      t.equal(await who.access(path, 4), verdict(readers), `access(2): ${name} reads ${text}`);
    }
  }
  // No single entry of a group with two allows both.
  const two = await Actor.user(probe, { uid: 1004, gid: 2001, groups: [2002] });
  t.equal(await two.open('file-3', O_RDWR), 'EACCES', 'read by one group, write by the other');
  t.equal(await root.open('file-2', O_RDWR), '', 'root passes');
});

await suite.promises('ACLs guard directories', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  await must(root.mkdir('d', 0o700), root.create('d/file'));
  await must(root.setXattr('d', ACCESS, acl('u:rwx U1000:-wx U1001:r-- g:--- m:rwx o:---')));
  const [maker, reader] = [
    await Actor.user(probe, { uid: 1000, gid: 1000 }),
    await Actor.user(probe, { uid: 1001, gid: 1001 }),
  ];
  t.equal(await maker.create('d/made'), '');
  t.equal(await maker.open('d', O_RDONLY), 'EACCES');
  t.equal(await maker.unlink('d/file'), '');
  t.equal(await reader.open('d', O_RDONLY), '');
  t.equal(await reader.open('d/made', O_RDONLY), 'EACCES', 'no search');
  t.equal(await reader.create('d/other'), 'EACCES');
});

await suite.promises('who may set an ACL', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  await must(root.create('file', 0o666), root.chown('file', 1000, 1000));
  const value = acl('u:rw- U1001:rw- g:r-- m:rw- o:r--');
  const owner = await Actor.user(probe, { uid: 1000, gid: 1000 });
  const other = await Actor.user(probe, { uid: 1001, gid: 1000 });
  t.equal(await other.setXattr('file', ACCESS, value), 'EPERM');
  t.equal(await owner.setXattr('file', ACCESS, value), '');
  t.equal(await aclOf(other, 'file'), 'u:rw- U1001:rw- g:r-- m:rw- o:r--', 'all may read it');
  t.equal(await other.removeXattr('file', ACCESS), 'EPERM', 'even who may write');
  t.equal(await owner.removeXattr('file', ACCESS), '');
  await must(root.mkdir('d', 0o777));
  t.equal(await other.setXattr('d', DEFAULT, acl('u:rwx g:rwx o:rwx')), 'EPERM');
});

await suite.promises('setting an ACL clears S_ISGID outside of the group', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  const owner = await Actor.user(probe, { uid: 1000, gid: 1000, groups: [3000] });
  const rows: [string, Actor, number, number][] = [
    ['own', owner, 1000, 0o2775],
    ['supplementary', owner, 3000, 0o2775],
    ['foreign', owner, 4000, 0o775],
    ['root', root, 4000, 0o2775],
  ];
  for (const [name, who, gid, mode] of rows) {
    await must(root.create(name), root.chown(name, 1000, gid), root.chmod(name, 0o2755));
    await must(who.setXattr(name, ACCESS, acl('u:rwx U5:r-x g:r-x m:rwx o:r-x')));
    t.equal((await root.mode(name)).toString(8), mode.toString(8), name);
  }
});

await suite.promises('the set-ID bits of a file with an ACL', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  const owner = await Actor.user(probe, { uid: 1000, gid: 1000 });
  const named = await Actor.user(probe, { uid: 1001, gid: 1001 });
  const text = 'u:rwx U1001:rw- g:r-x m:rwx o:r-x';
  const fresh = async (gid: number): Promise<void> => {
    await root.put('file', 'content');
    await must(root.setXattr('file', ACCESS, acl(text)), root.chown('file', 1000, gid));
    await must(root.chmod('file', 0o6775));
  };
  const rows: [string, () => Promise<string>, number, number][] = [
    ['a write by a named user', async () => named.truncate('file', 3), 1000, 0o775],
    ['chown', async () => root.chown('file', 1001, 1001), 1000, 0o775],
    ['chmod in the group', async () => owner.chmod('file', 0o6770), 1000, 0o6770],
    ['chmod outside of the group', async () => owner.chmod('file', 0o6770), 4000, 0o4770],
    ['chmod by root', async () => root.chmod('file', 0o6770), 4000, 0o6770],
  ];
  for (const [what, call, gid, mode] of rows) {
    await fresh(gid);
    t.equal(await call(), '', `${what}: errno`);
    t.equal((await root.mode('file')).toString(8), mode.toString(8), `${what}: mode`);
    t.equal((await aclOf(root, 'file')).slice(0, 28), text.slice(0, 28), `${what}: the ACL stays`);
    await must(root.unlink('file'));
  }
});

await suite.promises('a set-group-ID directory with a default ACL', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  const other = await Actor.user(probe, { uid: 1001, gid: 1001 });
  await must(root.mkdir('d'), root.chown('d', 0, 4000), root.chmod('d', 0o2777));
  await must(root.setXattr('d', DEFAULT, acl('u:rwx U5:rwx g:rwx m:rwx o:r-x')));
  await must(other.create('d/file', 0o2777), other.mkdir('d/directory', 0o777));
  await must(other.mknod('d/fifo', Kind.FIFO | 0o666));
  for (const name of ['file', 'directory', 'fifo']) {
    const { uid, gid } = await root.stat(`d/${name}`);
    t.strictSame([uid, gid], [1001, 4000], `${name}: owner and group`);
  }
  t.equal((await root.mode('d/file')).toString(8), '775', 'not in the group: no S_ISGID');
  t.equal((await root.mode('d/directory')).toString(8), '2775');
  t.equal((await root.mode('d/fifo')).toString(8), '664');
  t.equal(await aclOf(root, 'd/directory', DEFAULT), 'u:rwx U5:rwx g:rwx m:rwx o:r-x');
});

const VALUE = acl('u:rw- U1000:rw- g:r-- m:rw- o:---');
const timeRows: ChangesRow[] = [
  {
    what: 'setting an ACL',
    prepare: async (who) => must(who.create('file')),
    call: (who) => who.setXattr('file', ACCESS, VALUE),
    changes: { '.': '', file: 'c' },
  },
  {
    what: 'setting a default ACL',
    prepare: async (who) => must(who.mkdir('d')),
    call: (who) => who.setXattr('d', DEFAULT, VALUE),
    changes: { '.': '', d: 'c' },
  },
  {
    what: 'removing an ACL',
    prepare: async (who) => must(who.create('file'), who.setXattr('file', ACCESS, VALUE)),
    call: (who) => who.removeXattr('file', ACCESS),
    changes: { '.': '', file: 'c' },
  },
  {
    what: 'reading an ACL',
    prepare: async (who) => must(who.create('file'), who.setXattr('file', ACCESS, VALUE)),
    call: (who) => who.xattrErrno('file', ACCESS),
    changes: { '.': '', file: '' },
  },
  {
    what: 'a malformed ACL',
    prepare: async (who) => must(who.create('file')),
    call: (who) => who.setXattr('file', ACCESS, 'nonsense'),
    errno: EOPNOTSUPP,
    changes: { '.': '', file: '' },
  },
  {
    what: 'creating by a default ACL',
    prepare: async (who) => must(who.mkdir('d'), who.setXattr('d', DEFAULT, VALUE)),
    call: (who) => who.create('d/file'),
    changes: { '.': '', d: 'mc' },
  },
];
await promiseChanges(suite, 'times', timeRows);

await t.test('dedupfs: setfacl, a remount, cp -a and rsync -A keep ACLs', async (t) => {
  const { store } = suite;
  const kept = store.path('kept');
  const before = `${store.directory}/before`;
  const list = (path: string): string => `(cd ${path}; getfacl -nR . | diff ${before} - >&2)`;
  await store.mustRunScript(`
    mkdir ${kept}; touch ${kept}/file
    setfacl -m u:1000:rw-,g:2000:r-x ${kept}/file
    setfacl -m d:u:1000:rwx ${kept}
    (cd ${kept}; getfacl -nR . > ${before})
    grep -q default:user:1000:rwx ${before}; grep -q ^group:2000:r-x ${before}`);
  await store.remount('-o', 'allow_other');
  await store.mustRunScript(`
    ${list(kept)}
    cp -a ${kept} ${kept}.copy; ${list(`${kept}.copy`)}
    rsync -aA ${kept}/ ${kept}.rsync; ${list(`${kept}.rsync`)}`);
  t.pass('the same three times');
});

await suite.finish();
