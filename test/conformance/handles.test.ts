// Goal: file handles as open_by_handle_at(2) says: they find the file whatever its name, after the
// cache forgot it and after a remount, and are stale once it is deleted.
//
// Run: node dist/test/conformance/handles.test.js

import t from 'tap';
import { mustRun } from '../support/commands.ts';
import { Caller, Flag, type Answer } from '../support/commands-syscalls.ts';
import { Actor, must } from './actors.ts';
import { Suite } from './suite.ts';

const { AT_FDCWD, AT_EMPTY_PATH, O_RDONLY, O_RDWR, O_CREAT } = Flag;
/** MAX_HANDLE_SZ, behind handle_bytes and handle_type. */
const HANDLE_BYTES_MAX = 128;
const HEAD_BYTES = 8;

t.setTimeout(300_000);
const suite = await Suite.open(t);

/** struct file_handle with room for that many bytes. */
function room(bytes = HANDLE_BYTES_MAX): Buffer {
  const handle = Buffer.alloc(HEAD_BYTES + bytes);
  handle.writeUInt32LE(bytes, 0);
  return handle;
}

/** The call with an input buffer that is output too: a Caller gives back only what it made itself. */
async function handleOf(who: Actor, path: string): Promise<Buffer> {
  const address = await who.caller.must('mmap', 0, 4096, 3, 0x22, -1, 0);
  await who.caller.poke(address.value, room());
  const mount = { outputBytes: 4 };
  const flags = path === '' ? AT_EMPTY_PATH : 0;
  await who.caller.must('name_to_handle_at', AT_FDCWD, path, address.value, mount, flags);
  const handle = await who.caller.peek(address.value, HEAD_BYTES + HANDLE_BYTES_MAX);
  await who.caller.must('munmap', address.value, 4096);
  return handle.subarray(0, HEAD_BYTES + handle.readUInt32LE(0));
}

/** Opens by a handle, relative to the mount that the working directory is on. */
async function openHandle(who: Actor, handle: Buffer, flags: number): Promise<Answer> {
  const here = await who.fd('.', O_RDONLY);
  const answer = await who.caller.call('open_by_handle_at', here, handle, flags);
  await must(who.close(here));
  return answer;
}

async function contentOf(who: Actor, handle: Buffer): Promise<string> {
  const { value, errno } = await openHandle(who, handle, O_RDONLY);
  if (errno !== '') return errno;
  const bytes = await who.caller.pread(value, 100, 0);
  await must(who.close(value));
  return bytes.toString();
}

/** Drops the dentries and inodes that nobody uses. */
async function dropCaches(): Promise<void> {
  await mustRun('sh', ['-c', 'echo 2 > /proc/sys/vm/drop_caches']);
}

await suite.promises('a handle opens its file under every name', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await who.put('file', 'content');
  await must(who.mkdir('d'));
  const handle = await handleOf(who, 'file');
  t.equal(await contentOf(who, handle), 'content');
  await must(who.rename('file', 'd/renamed'));
  t.equal(await contentOf(who, handle), 'content', 'renamed');
  await must(who.link('d/renamed', 'second'), who.unlink('d/renamed'));
  t.equal(await contentOf(who, handle), 'content', 'by its other name');
  t.same(await handleOf(who, 'second'), handle, 'it has one handle');
  const { value } = await openHandle(who, handle, O_RDWR);
  await must(who.write(value, 'written'));
  t.equal(await who.content('second'), 'written');
});

await suite.promises('a handle outlives the cache', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('d'), who.mkdir('d/e'));
  await who.put('d/e/file', 'deep');
  const handles = [await handleOf(who, 'd/e/file'), await handleOf(who, 'd/e')];
  const [file, directory] = handles as [Buffer, Buffer];
  await must(who.mkdir('elsewhere'));
  await dropCaches();
  t.equal(await contentOf(who, file), 'deep', 'a file');
  const opened = await openHandle(who, directory, O_RDONLY | Flag.O_DIRECTORY);
  t.equal(opened.errno, '', 'a directory');
  const below = await who.caller.call('openat', opened.value, 'file', O_RDONLY, 0);
  t.equal(below.errno, '', 'a name below it');
  const above = await who.caller.call('openat', opened.value, '..', O_RDONLY, 0);
  t.equal(above.errno, '', 'its ..');
  t.equal((await who.fstat(above.value)).ino, (await who.stat('d')).ino);
  await must(who.close(opened.value), who.close(below.value), who.close(above.value));
  await must(who.rename('d/e', 'elsewhere/e'), who.rmdir('d'));
  await dropCaches();
  t.equal(await contentOf(who, file), 'deep', 'its directory moved');
});

await suite.promises('the handle of what is deleted is stale', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await who.put('file', 'content');
  await must(who.mkdir('d'));
  const [file, directory] = [await handleOf(who, 'file'), await handleOf(who, 'd')];
  await must(who.unlink('file'), who.rmdir('d'));
  t.equal(await contentOf(who, file), 'ESTALE', 'a file');
  t.equal((await openHandle(who, directory, O_RDONLY)).errno, 'ESTALE', 'a directory');
  await dropCaches();
  t.equal(await contentOf(who, file), 'ESTALE', 'a file, later');
  for (let index = 0; index < 50; index++) await who.put(`new-${index}`, 'new');
  t.equal(await contentOf(who, file), 'ESTALE', 'a new file in its place');
});

await suite.promises(
  'the handle of a file without a name is stale once it is closed',
  async (probe) => {
    const { t } = probe;
    const who = await Actor.root(probe);
    await who.put('file', 'content');
    const handle = await handleOf(who, 'file');
    const fd = await who.fd('file', O_RDONLY);
    await must(who.unlink('file'));
    t.equal((await who.fstat(fd)).nlink, 0);
    await must(who.close(fd));
    t.equal(await contentOf(who, handle), 'ESTALE', 'closed');
  },
);

await suite.promises('errors', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const user = await Actor.user(probe, { uid: 1000, gid: 1000 });
  await who.put('file', 'content');
  await must(who.symlink('file', 'symlink'));
  const handle = await handleOf(who, 'file');
  const name = async (path: string, head: Buffer, flags = 0): Promise<string> => {
    const mount = { outputBytes: 4 };
    return (await who.caller.call('name_to_handle_at', AT_FDCWD, path, head, mount, flags)).errno;
  };
  t.equal(await name('file', room(0)), 'EOVERFLOW', 'no room');
  t.equal(await name('file', room(2)), 'EOVERFLOW', 'too little room');
  t.equal(await name('file', room(129)), 'EINVAL', 'more than MAX_HANDLE_SZ');
  t.equal(await name('absent', room()), 'ENOENT');
  t.equal(await name('file/x', room()), 'ENOTDIR');
  t.equal(await name('', room()), 'ENOENT', 'no name');
  t.equal(await name('file', room(), 0x8000), 'EINVAL', 'an unknown flag');
  t.notSame(await handleOf(who, 'symlink'), handle, 'a symlink has its own');
  t.equal((await openHandle(user, handle, O_RDONLY)).errno, 'EPERM', 'without the capability');
  const bad = await who.caller.call('open_by_handle_at', 9_999, handle, O_RDONLY);
  t.equal(bad.errno, 'EBADF', 'no mount');
  const empty = Buffer.from(handle);
  empty.writeUInt32LE(0, 0);
  t.equal((await openHandle(who, empty, O_RDONLY)).errno, 'EINVAL', 'an empty handle');
  const wild = Buffer.concat([handle.subarray(0, HEAD_BYTES), Buffer.alloc(handle.length, 0xee)]);
  t.equal((await openHandle(who, wild, O_RDONLY)).errno, 'ESTALE', 'a handle of nothing');
});

await t.test('dedupfs: handles outlive a remount', async (t) => {
  const probe = {
    t,
    isExt4: false,
    directory: suite.store.path(),
    at: (...names: string[]) => suite.store.path(...names),
  };
  const during = async (body: (who: Actor) => Promise<void>): Promise<void> => {
    const caller = Caller.start(() => suite.store.abort());
    try {
      await body(await Actor.root({ ...probe, caller, startCaller: () => caller }));
    } finally {
      await caller[Symbol.asyncDispose]();
    }
  };
  const handles: Buffer[] = [];
  await during(async (who) => {
    for (const name of ['kept', 'renamed', 'deleted']) await who.put(name, name);
    await must(who.mkdir('directory'), who.open('directory/file', O_CREAT | O_RDWR));
    for (const name of ['kept', 'renamed', 'deleted', 'directory']) {
      handles.push(await handleOf(who, name));
    }
  });
  await suite.store.remount('-o', 'allow_other');
  await during(async (who) => {
    await must(who.rename('renamed', 'directory/renamed'), who.unlink('deleted'));
  });
  await suite.store.remount('-o', 'allow_other');
  await during(async (who) => {
    const [kept, renamed, deleted, directory] = handles as [Buffer, Buffer, Buffer, Buffer];
    t.equal(await contentOf(who, kept), 'kept');
    t.equal(await contentOf(who, renamed), 'renamed');
    t.equal(await contentOf(who, deleted), 'ESTALE');
    t.same(await handleOf(who, 'kept'), kept, 'the same as before');
    const opened = await openHandle(who, directory, O_RDONLY);
    t.equal(opened.errno, '', 'a directory');
    const below = await who.caller.call('openat', opened.value, 'file', O_RDONLY, 0);
    t.equal(below.errno, '', 'a name in it');
  });
});

await suite.finish();
