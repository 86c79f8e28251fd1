// Goal: what is left after names were made, moved and removed: counts of links, '..' of moved
// directories, contents behind open handles, whiteouts, files without a name.
//
// Run: node dist/test/conformance/names-links.test.js

import t from 'tap';
import { Flag } from '../support/commands-syscalls.ts';
import { nextEntries } from '../support/commands-statx.ts';
import { Actor, Kind, must } from './actors.ts';
import { Suite } from './suite.ts';

const { AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, O_RDONLY, O_RDWR, O_CREAT, O_TMPFILE } = Flag;
const { O_EXCL, RENAME_EXCHANGE, RENAME_WHITEOUT } = Flag;
/** EXT4_LINK_MAX: the most links of one inode that ext4 stores. */
const EXT4_LINKS_MAX = 65_000;
const LISTING_BYTES = 4096;

t.setTimeout(300_000);
const suite = await Suite.open(t);

/** The inode that a listing of the directory gives for '..'. */
async function listedParent(who: Actor, path: string): Promise<number> {
  const fd = await who.fd(path, O_RDONLY);
  const entries = await nextEntries(who.caller, fd, LISTING_BYTES);
  await who.close(fd);
  return entries.find(({ name }) => name === '..')?.ino ?? 0;
}

async function links(who: Actor, ...paths: string[]): Promise<number[]> {
  return Promise.all(paths.map(async (path) => (await who.stat(path)).nlink));
}

await suite.promises('nlink counts the names of a file', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('d'), who.create('a'));
  t.strictSame(await links(who, 'a'), [1], 'one');
  await must(who.link('a', 'b'), who.link('b', 'd/c'));
  t.strictSame(await links(who, 'a', 'b', 'd/c'), [3, 3, 3], 'three');
  t.equal((await who.stat('d/c')).ino, (await who.stat('a')).ino);
  await must(who.rename('a', 'b'));
  t.strictSame(await links(who, 'a', 'b'), [3, 3], 'a rename between its names does nothing');
  await must(who.create('other'), who.rename('other', 'b'));
  t.strictSame(await links(who, 'a', 'b', 'd/c'), [2, 1, 2], 'one was replaced');
  const fd = await who.fd('a', O_RDONLY);
  await must(who.unlink('a'));
  t.equal((await who.fstat(fd)).nlink, 1);
  await must(who.unlink('d/c'));
  t.equal((await who.fstat(fd)).nlink, 0, 'open without a name');
  const path = `/proc/self/fd/${fd}`;
  t.equal(await who.link(path, 'back', AT_SYMLINK_FOLLOW), 'ENOENT', 'it gets no name again');
});

await suite.promises('link makes one more name of what is no directory', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.symlink('target', 'symlink'), who.mknod('fifo', Kind.FIFO | 0o600));
  await must(who.mknod('device', Kind.BLOCK | 0o600, 0x701), who.mknod('s', Kind.SOCKET | 0o600));
  for (const name of ['symlink', 'fifo', 'device', 's']) {
    t.equal(await who.link(name, `${name}-2`), '', name);
    t.strictSame(await links(who, name), [2], `${name}: two names`);
    t.equal((await who.stat(`${name}-2`)).ino, (await who.stat(name)).ino, `${name}: one inode`);
  }
  await who.put('target', 'x');
  await must(who.link('symlink', 'followed', AT_SYMLINK_FOLLOW));
  t.equal((await who.stat('followed')).ino, (await who.stat('target')).ino);
});

await suite.promises('nlink of a directory counts its subdirectories', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('a'), who.mkdir('b'));
  t.strictSame(await links(who, '.', 'a', 'b'), [4, 2, 2], 'made');
  await must(who.mkdir('a/x'), who.mkdir('a/y'), who.create('a/file'), who.mkdir('b/z'));
  t.strictSame(await links(who, '.', 'a', 'b'), [4, 4, 3], 'filled');
  await must(who.rename('a/x', 'b/x'));
  t.strictSame(await links(who, 'a', 'b', 'b/x'), [3, 4, 2], 'moved');
  await must(who.rename('a/y', 'b/z'));
  t.strictSame(await links(who, 'a', 'b', 'b/z'), [2, 4, 2], 'moved over an empty one');
  await must(who.rename('a/file', 'b/x', RENAME_EXCHANGE));
  t.strictSame(await links(who, 'a', 'b', 'a/file', 'b/x'), [3, 3, 2, 1], 'exchanged with a file');
  await must(who.rename('a/file', 'b/z', RENAME_EXCHANGE));
  t.strictSame(await links(who, 'a', 'b'), [3, 3], 'exchanged with a directory');
  await must(who.rmdir('b/z'));
  t.strictSame(await links(who, 'a', 'b', '.'), [3, 2, 4], 'removed');
  await must(who.rename('b', 'a/b'));
  t.strictSame(await links(who, 'a', '.'), [4, 3], 'a moved into its sister');
});

await suite.promises('.. of a moved directory is its new parent', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('a'), who.mkdir('b'), who.mkdir('a/moved'), who.mkdir('b/other'));
  const [a, b] = [(await who.stat('a')).ino, (await who.stat('b')).ino];
  t.equal((await who.stat('a/moved/..')).ino, a);
  t.equal(await listedParent(who, 'a/moved'), a, 'listed before');
  const fd = await who.fd('a/moved', O_RDONLY);
  await must(who.rename('a/moved', 'b/moved'));
  t.equal((await who.stat('b/moved/..')).ino, b);
  t.equal(await listedParent(who, 'b/moved'), b, 'listed after');
  const entries = await nextEntries(who.caller, fd, LISTING_BYTES);
  t.equal(entries.find(({ name }) => name === '..')?.ino, b, 'listed by a handle of before');
  await must(who.mkdir('a/other'), who.rename('b/moved', 'a/other', RENAME_EXCHANGE));
  t.equal((await who.stat('a/other/..')).ino, a, 'exchanged');
  t.equal((await who.stat('b/moved/..')).ino, b, 'exchanged the other way');
  t.equal(await listedParent(who, 'a/other'), a, 'listed after the exchange');
  t.equal(await listedParent(who, 'b/moved'), b, 'listed after the exchange, the other way');
});

await suite.promises('a process keeps a working directory that moves or goes', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('a'), who.mkdir('b'), who.mkdir('a/here'));
  const b = await who.stat('b');
  const other = await Actor.root({ ...probe, caller: probe.startCaller() });
  await other.caller.must('chdir', 'a/here');
  await must(who.rename('a/here', 'b/there'));
  t.equal((await other.stat('..')).ino, b.ino, '.. follows');
  await must(other.create('made'));
  t.equal(await who.statErrno('b/there/made'), '', 'what it makes lands in the new place');
  await must(who.unlink('b/there/made'), who.rmdir('b/there'));
  t.equal((await other.stat('.')).nlink, 0, 'removed');
  t.equal(await other.create('more'), 'ENOENT');
  t.equal(await other.mkdir('more'), 'ENOENT');
  t.equal(await other.symlink('x', 'more'), 'ENOENT');
  t.equal(await other.mknod('more', Kind.FIFO | 0o600), 'ENOENT');
  t.equal(await other.link('../file', 'more'), 'ENOENT');
});

await suite.promises('RENAME_EXCHANGE swaps any two types', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const makers: [string, (path: string) => Promise<string>][] = [
    ['file', async (path) => who.create(path)],
    ['directory', async (path) => who.mkdir(path)],
    ['symlink', async (path) => who.symlink('x', path)],
    ['fifo', async (path) => who.mknod(path, Kind.FIFO | 0o600)],
    ['device', async (path) => who.mknod(path, Kind.CHARACTER | 0o600, 0x103)],
  ];
  await must(who.mkdir('left'), who.mkdir('right'));
  for (const [first, makeFirst] of makers) {
    for (const [second, makeSecond] of makers) {
      const [a, b] = [`left/${first}-${second}`, `right/${first}-${second}`];
      await must(makeFirst(a), makeSecond(b));
      const before = [(await who.stat(b)).ino, (await who.stat(a)).ino];
      t.equal(await who.rename(a, b, RENAME_EXCHANGE), '', `${first} with ${second}`);
      t.strictSame([(await who.stat(a)).ino, (await who.stat(b)).ino], before, 'they swapped');
    }
  }
  // Each type but the directory meets it twice: 5 directories on each side, whoever holds them.
  t.strictSame(await links(who, 'left', 'right'), [7, 7]);
});

await suite.promises('RENAME_WHITEOUT leaves a device 0/0 behind', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('d'), who.mkdir('directory'), who.mkdir('directory/full'));
  await who.put('file', 'moved');
  await must(who.rename('file', 'd/file', RENAME_WHITEOUT));
  t.equal(await who.content('d/file'), 'moved');
  const whiteout = await who.stat('file');
  t.equal(whiteout.mode & Kind.SYMLINK, Kind.CHARACTER, 'a character device');
  t.equal(whiteout.mode & 0o7777, 0, 'without permissions');
  t.equal(whiteout.rdev, 0, 'number 0/0');
  t.equal(whiteout.nlink, 1);
  await must(who.rename('directory', 'd/directory', RENAME_WHITEOUT));
  t.equal((await who.stat('directory')).mode, Kind.CHARACTER, 'of a directory too');
  t.strictSame(await links(who, '.', 'd', 'd/directory'), [3, 3, 3], 'links of the directories');
  await who.put('over', 'new');
  await who.put('d/over', 'old');
  await must(who.rename('over', 'd/over', RENAME_WHITEOUT));
  t.equal(await who.content('d/over'), 'new', 'it replaces');
  t.equal((await who.stat('over')).mode, Kind.CHARACTER);
  await must(who.unlink('over'), who.mkdir('over'));
});

await suite.promises('O_TMPFILE and linkat', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const fd = await who.fd('.', O_TMPFILE | O_RDWR, 0o640);
  const unnamed = await who.fstat(fd);
  t.equal(unnamed.nlink, 0);
  t.equal(unnamed.mode, Kind.FILE | 0o640);
  await must(who.write(fd, 'content'));
  const path = `/proc/self/fd/${fd}`;
  const { caller } = who;
  t.equal((await caller.call('linkat', fd, '', AT_FDCWD, 'named', AT_EMPTY_PATH)).errno, '');
  t.equal(await who.content('named'), 'content');
  t.equal((await who.fstat(fd)).nlink, 1);
  t.equal((await who.stat('named')).ino, unnamed.ino);
  t.equal(await who.link(path, 'named', AT_SYMLINK_FOLLOW), 'EEXIST');
  t.equal(await who.link(path, 'second', AT_SYMLINK_FOLLOW), '');
  t.equal((await who.fstat(fd)).nlink, 2);
  const exclusive = await who.fd('.', O_TMPFILE | O_EXCL | O_RDWR);
  const refused = await who.link(`/proc/self/fd/${exclusive}`, 'never', AT_SYMLINK_FOLLOW);
  t.equal(refused, 'ENOENT', 'O_EXCL: it never gets a name');
  t.equal(await who.statErrno('never'), 'ENOENT');
});

await suite.promises('files in use outlive their names', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const ways: [string, () => Promise<string>][] = [
    ['unlink', async () => who.unlink('file')],
    ['rename over it', async () => who.rename('other', 'file')],
    ['rename away', async () => who.rename('file', 'away')],
    ['exchange', async () => who.rename('file', 'other', RENAME_EXCHANGE)],
  ];
  for (const [way, act] of ways) {
    await who.put('file', 'before');
    await who.put('other', 'other');
    const fd = await who.fd('file', O_RDWR);
    const before = await who.fstat(fd);
    await must(act());
    await who.caller.pwrite(fd, ' after', 6);
    t.equal((await who.caller.pread(fd, 99, 0)).toString(), 'before after', `${way}: content`);
    const after = await who.fstat(fd);
    t.equal(after.ino, before.ino, `${way}: inode`);
    t.equal(after.size, 12, `${way}: size`);
    t.equal((await who.caller.call('fchmod', fd, 0o600)).errno, '', `${way}: fchmod`);
    t.equal((await who.caller.call('ftruncate', fd, 3)).errno, '', `${way}: ftruncate`);
    t.equal((await who.caller.call('fsync', fd)).errno, '', `${way}: fsync`);
    t.equal((await who.fstat(fd)).size, 3, `${way}: size after`);
    await must(who.close(fd));
  }
});

await suite.promises('a name is free as soon as it was removed', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  for (let round = 0; round < 3; round++) {
    await must(who.mkdir('name'), who.rmdir('name'), who.create('name'), who.unlink('name'));
    await must(who.symlink('x', 'name'), who.unlink('name'));
    await must(who.mknod('name', Kind.FIFO | 0o600), who.rename('name', 'other'));
    t.equal(await who.open('name', O_RDONLY), 'ENOENT', `round ${round}`);
    await must(who.unlink('other'));
  }
  await must(who.open('name', O_CREAT | O_RDWR));
  t.equal(await who.statErrno('name'), '');
});

await suite.promises('a file has 65,000 names', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.create('file'), who.mkdir('links'));
  let errno = '';
  for (let count = 1; count < EXT4_LINKS_MAX && errno === ''; count += 1000) {
    const batch = Array.from({ length: Math.min(1000, EXT4_LINKS_MAX - count) }, (_, index) =>
      who.link('file', `links/${count + index}`),
    );
    errno = (await Promise.all(batch)).find((one) => one !== '') ?? '';
  }
  t.equal(errno, '');
  t.strictSame(await links(who, 'file'), [EXT4_LINKS_MAX]);
  // Deliberate difference: dedupfs has room for more links than ext4's 65,000.
  t.equal(await who.link('file', 'one-more'), probe.isExt4 ? 'EMLINK' : '');
});

await suite.finish();
