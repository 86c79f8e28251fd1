// Goal: names, links, renames and listings behave on the mount as POSIX and Linux say. Method: raw
// system calls, so that every errno and flag is seen as the kernel gives it.
//
// Run: node dist/test/acceptance/semantics-names.test.js

import t from 'tap';
import { requirePrograms, requireRoot } from '../support/commands.ts';
import { Flag, type Caller } from '../support/commands-syscalls.ts';
import { nextEntries, statusOf } from '../support/commands-statx.ts';
import { behaves, type Bench } from '../support/mounted-store-behaviour.ts';
import { MountedStore } from '../support/mounted-store.ts';

const { AT_FDCWD, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, O_DIRECTORY } = Flag;
const LISTED_ENTRIES = 5_000;
const CHANGES_MAX = 500;

t.setTimeout(300_000);
requireRoot();
requirePrograms({ perl: 'perl' });
const store = await MountedStore.mounted(t);
const behavesWhen = async (name: string, body: (bench: Bench) => Promise<void>): Promise<void> =>
  behaves(t, store, name, body);

await behavesWhen('renameat2 NOREPLACE keeps what is there', async ({ t, caller, at }) => {
  await put(caller, at('a'), 'from');
  await put(caller, at('b'), 'kept');
  t.equal(await rename(caller, at('a'), at('b'), Flag.RENAME_NOREPLACE), 'EEXIST');
  t.equal(await contentAt(caller, at('b')), 'kept');
  t.equal(await rename(caller, at('a'), at('c'), Flag.RENAME_NOREPLACE), '');
  t.equal(await contentAt(caller, at('c')), 'from');
  t.equal(await rename(caller, at('a'), at('d'), Flag.RENAME_NOREPLACE), 'ENOENT');
});

await behavesWhen('renameat2 EXCHANGE swaps a file and a directory', async ({ t, caller, at }) => {
  await put(caller, at('file'), 'file');
  await mkdir(caller, at('directory'));
  await put(caller, at('directory/inner'), 'inner');
  t.equal(await rename(caller, at('file'), at('directory'), Flag.RENAME_EXCHANGE), '');
  t.equal(await contentAt(caller, at('directory')), 'file');
  t.equal(await contentAt(caller, at('file/inner')), 'inner');
  t.equal(await rename(caller, at('file'), at('absent'), Flag.RENAME_EXCHANGE), 'ENOENT');
  await mkdir(caller, at('file/below'));
  t.equal(await rename(caller, at('file'), at('file/below'), Flag.RENAME_EXCHANGE), 'EINVAL');
});

await behavesWhen('a rename replaces a file that is open', async ({ t, caller, at }) => {
  await put(caller, at('old'), 'old content');
  await put(caller, at('new'), 'new content');
  const fd = await caller.open(at('old'), O_RDWR);
  t.equal(await rename(caller, at('new'), at('old'), 0), '');
  t.equal((await caller.pread(fd, 100, 0)).toString(), 'old content', 'the handle keeps its file');
  t.equal(await caller.pwrite(fd, 'written', 4), 7);
  t.equal((await caller.pread(fd, 100, 0)).toString(), 'old written');
  t.equal(await contentAt(caller, at('old')), 'new content');
});

await behavesWhen('renames over directories follow the rules', async ({ t, caller, at }) => {
  for (const name of ['empty', 'full', 'moved']) await mkdir(caller, at(name));
  await put(caller, at('full/file'), '');
  await put(caller, at('file'), '');
  t.match(await rename(caller, at('moved'), at('full'), 0), /ENOTEMPTY|EEXIST/);
  t.equal(await rename(caller, at('moved'), at('empty'), 0), '');
  t.equal(await rename(caller, at('file'), at('empty'), 0), 'EISDIR');
  t.equal(await rename(caller, at('empty'), at('file'), 0), 'ENOTDIR');
  t.equal(await rename(caller, at('full'), at('full/below'), 0), 'EINVAL');
  await caller.must('linkat', AT_FDCWD, at('file'), AT_FDCWD, at('link'), 0);
  t.equal(await rename(caller, at('file'), at('link'), 0), '', 'same file: nothing happens');
  t.equal((await statusOf(caller, at('file'))).nlink, 2);
});

await behavesWhen('directories: ENOTEMPTY, EEXIST, ENOTDIR, EISDIR', async ({ t, caller, at }) => {
  await mkdir(caller, at('directory'));
  await put(caller, at('directory/file'), '');
  const rmdir = async (path: string): Promise<string> =>
    (await caller.call('unlinkat', AT_FDCWD, path, Flag.AT_REMOVEDIR)).errno;
  t.equal(await rmdir(at('directory')), 'ENOTEMPTY');
  t.equal(await rmdir(at('directory/file')), 'ENOTDIR');
  t.equal((await caller.call('mkdirat', AT_FDCWD, at('directory'), 0o755)).errno, 'EEXIST');
  t.equal((await caller.call('unlinkat', AT_FDCWD, at('directory'), 0)).errno, 'EISDIR');
  t.equal(await openErrno(caller, at('directory/file/x'), O_RDONLY), 'ENOTDIR');
  await unlink(caller, at('directory/file'));
  t.equal(await rmdir(at('directory')), '');
  t.equal(await rmdir(at('directory')), 'ENOENT');
});

await behavesWhen('O_EXCL creates once', async ({ t, caller, at, startCaller }) => {
  const fd = await caller.open(at('lock'), O_CREAT | O_EXCL | O_WRONLY, 0o600);
  t.ok(fd >= 0);
  const other = startCaller();
  t.equal(await openErrno(other, at('lock'), O_CREAT | O_EXCL | O_WRONLY), 'EEXIST');
  await caller.must('symlinkat', 'absent', AT_FDCWD, at('dangling'));
  t.equal(await openErrno(caller, at('dangling'), O_CREAT | O_EXCL | O_WRONLY), 'EEXIST');
});

await behavesWhen('O_TMPFILE gets a name by linkat', async ({ t, caller, at, directory }) => {
  const fd = await caller.open(directory, Flag.O_TMPFILE | O_RDWR, 0o640);
  await caller.pwrite(fd, 'nameless', 0);
  t.strictSame(await namesOf(caller, directory), [], 'it has no name yet');
  const link = `/proc/self/fd/${fd}`;
  await caller.must('linkat', AT_FDCWD, link, AT_FDCWD, at('named'), Flag.AT_SYMLINK_FOLLOW);
  t.equal(await contentAt(caller, at('named')), 'nameless');
  t.equal((await statusOf(caller, at('named'))).nlink, 1);
});

await behavesWhen('an unlinked file lives as long as it is open', async ({ t, caller, at }) => {
  const fd = await caller.open(at('file'), O_CREAT | O_RDWR);
  await caller.pwrite(fd, 'before', 0);
  await unlink(caller, at('file'));
  t.equal(await openErrno(caller, at('file'), O_RDONLY), 'ENOENT');
  await caller.pwrite(fd, ' and after', 6);
  t.equal((await caller.must('fsync', fd)).value, 0);
  t.equal((await caller.pread(fd, 100, 0)).toString(), 'before and after');
  await put(caller, at('file'), 'another');
  t.equal((await caller.pread(fd, 100, 0)).toString(), 'before and after');
});

await behavesWhen('hard links share one inode and count it', async ({ t, caller, at }) => {
  await put(caller, at('first'), 'shared');
  await mkdir(caller, at('directory'));
  for (const name of ['second', 'directory/third']) {
    await caller.must('linkat', AT_FDCWD, at('first'), AT_FDCWD, at(name), 0);
  }
  const [first, third] = [at('first'), at('directory/third')];
  t.equal((await statusOf(caller, third)).nlink, 3);
  t.equal((await statusOf(caller, third)).ino, (await statusOf(caller, first)).ino);
  await put(caller, third, 'written by another name');
  t.equal(await contentAt(caller, first), 'written by another name');
  await unlink(caller, first);
  t.equal((await statusOf(caller, third)).nlink, 2);
  const toDirectory = await caller.call('linkat', AT_FDCWD, at('directory'), AT_FDCWD, at('x'), 0);
  t.equal(toDirectory.errno, 'EPERM', 'a directory has one name');
  const over = await caller.call('linkat', AT_FDCWD, third, AT_FDCWD, at('second'), 0);
  t.equal(over.errno, 'EEXIST');
});

await behavesWhen('names are bytes, up to 255 of them', async ({ t, caller, at, directory }) => {
  t.equal(await openErrno(caller, at('x'.repeat(255)), O_CREAT | O_WRONLY), '');
  t.equal(await openErrno(caller, at('x'.repeat(256)), O_CREAT | O_WRONLY), 'ENAMETOOLONG');
  const odd = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0x0a, 0xc3])]);
  await put(caller, odd, 'odd');
  t.equal(await contentAt(caller, odd), 'odd');
  t.ok((await namesOf(caller, directory)).includes('\xff\n\xc3'), 'the listing has the bytes');
});

await behavesWhen('symlinks hold up to 4095 bytes', async ({ t, caller, at }) => {
  const target = 'a/'.repeat(2047);
  await caller.must('symlinkat', target, AT_FDCWD, at('long'));
  const room = { outputBytes: 5000 };
  const answer = await caller.must('readlinkat', AT_FDCWD, at('long'), room, 5000);
  t.equal(answer.value, target.length);
  t.equal(answer.outputs[0]?.subarray(0, answer.value).toString(), target);
  t.equal((await statusOf(caller, at('long'))).size, target.length);
  await caller.must('symlinkat', 'loop', AT_FDCWD, at('loop'));
  t.equal(await openErrno(caller, at('loop'), O_RDONLY), 'ELOOP');
});

await behavesWhen('a listing of 5,000 entries survives changes', async (bench) => {
  const { t, caller, at, directory, startCaller } = bench;
  for (let index = 0; index < LISTED_ENTRIES; index++) {
    await caller.must('mknodat', AT_FDCWD, at(`stable-${index}`), 0o100644, 0);
    if (index % 5 === 0) await caller.must('mknodat', AT_FDCWD, at(`old-${index}`), 0o100644, 0);
  }
  const other = startCaller();
  const fd = await caller.open(directory, O_RDONLY | O_DIRECTORY);
  const seen: string[] = [];
  for (let round = 0; ; round++) {
    const entries = await nextEntries(caller, fd, 2048);
    if (entries.length === 0) break;
    seen.push(...entries.map((entry) => entry.name));
    // An entry made while the last ones are listed may be listed too, and so on without end.
    if (round < CHANGES_MAX) await changeDirectory(other, at, round);
  }
  const stable = seen.filter((name) => name.startsWith('stable-'));
  t.equal(stable.length, LISTED_ENTRIES, 'no stable entry is missing or listed twice');
  t.equal(new Set(stable).size, LISTED_ENTRIES, 'each stable entry is listed once');
  const rest = seen.filter((name) => !name.startsWith('stable-'));
  t.equal(new Set(rest).size, rest.length, 'an entry that came or went is listed once at most');
  t.ok(seen.includes('.') && seen.includes('..'), 'the dot entries are listed');
});

await t.test('the store is clean', async () => store.finish());

/** Removes an old entry, makes a new one and renames another. */
async function changeDirectory(caller: Caller, at: Bench['at'], round: number): Promise<void> {
  await caller.call('unlinkat', AT_FDCWD, at(`old-${round * 5}`), 0);
  await caller.must('mknodat', AT_FDCWD, at(`new-${round}`), 0o100644, 0);
  const renamed = at(`old-${LISTED_ENTRIES - 5 - round * 5}`);
  await caller.call('renameat2', AT_FDCWD, renamed, AT_FDCWD, at(`renamed-${round}`), 0);
}

async function rename(caller: Caller, from: string, to: string, flags: number): Promise<string> {
  return (await caller.call('renameat2', AT_FDCWD, from, AT_FDCWD, to, flags)).errno;
}

async function mkdir(caller: Caller, path: string): Promise<void> {
  await caller.must('mkdirat', AT_FDCWD, path, 0o755);
}

async function unlink(caller: Caller, path: string): Promise<void> {
  await caller.must('unlinkat', AT_FDCWD, path, 0);
}

async function openErrno(caller: Caller, path: string, flags: number): Promise<string> {
  const answer = await caller.call('openat', AT_FDCWD, path, flags, 0o644);
  if (answer.errno === '') await caller.must('close', answer.value);
  return answer.errno;
}

async function put(caller: Caller, path: string | Uint8Array, content: string): Promise<void> {
  const fd = await caller.open(path, O_CREAT | O_WRONLY | Flag.O_TRUNC);
  await caller.pwrite(fd, content, 0);
  await caller.must('close', fd);
}

async function contentAt(caller: Caller, path: string | Uint8Array): Promise<string> {
  const fd = await caller.open(path, O_RDONLY);
  const content = await caller.pread(fd, 4096, 0);
  await caller.must('close', fd);
  return content.toString();
}

async function namesOf(caller: Caller, path: string): Promise<string[]> {
  const fd = await caller.open(path, O_RDONLY | O_DIRECTORY);
  const names = (await nextEntries(caller, fd, 32_768)).map((entry) => entry.name);
  await caller.must('close', fd);
  return names.filter((name) => name !== '.' && name !== '..');
}
