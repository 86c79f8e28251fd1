// Goal: requests about names and attributes reach the filesystem as meant, and come back so.

import t from 'tap';
import { Errno } from '../../lib/errno.ts';
import type { AttributeChanges, FileSystem } from '../../lib/filesystem/contract.ts';
import * as replies from '../../lib/protocol/reply-structs.ts';
import * as requests from '../../lib/protocol/request-structs.ts';
import { build, FakeKernel, nul, parse } from '../support/fake-kernel.ts';
import { fakeFileSystem } from './fake-filesystem.ts';

function served(replacements: Partial<FileSystem> = {}) {
  const fs = fakeFileSystem(replacements);
  const kernel = new FakeKernel(fs);
  t.teardown(() => kernel.session.end());
  kernel.init();
  return { fs, kernel };
}

function nodeid(body: Buffer): number {
  return parse(replies.entryOut, body)['nodeid'] ?? 0;
}

t.test('an absent name is a negative entry', (t) => {
  const { kernel } = served();
  const reply = kernel.lookup(1, 'absent');
  t.equal(reply.errno, 0);
  t.match(parse(replies.entryOut, reply.body), { nodeid: 0, entry_valid: 86400 });
  t.end();
});

t.test('names are made, found, linked, moved and removed', (t) => {
  const { kernel } = served();
  const directory = nodeid(kernel.mkdir(1, 'd').body);
  const mknod = [build(requests.mknodIn, { mode: 0o010644, rdev: 0 }), nul('fifo')];
  const fifo = kernel.callSync('MKNOD', { nodeid: directory, body: mknod });
  t.equal(parse(replies.entryOut, fifo.body).nested['attr']?.['mode'], 0o010644);

  const link = [build(requests.linkIn, { oldnodeid: nodeid(fifo.body) }), nul('hard')];
  t.equal(nodeid(kernel.callSync('LINK', { nodeid: 1, body: link }).body), nodeid(fifo.body));

  const rename = [build(requests.renameIn, { newdir: 1 }), nul('fifo'), nul('moved')];
  t.equal(kernel.callSync('RENAME', { nodeid: directory, body: rename }).errno, 0);
  t.equal(nodeid(kernel.lookup(1, 'moved').body), nodeid(fifo.body));

  const keep = [build(requests.rename2In, { newdir: 1, flags: 1 }), nul('moved'), nul('hard')];
  t.equal(kernel.callSync('RENAME2', { nodeid: 1, body: keep }).errno, Errno.EEXIST);

  t.equal(kernel.callSync('UNLINK', { body: [nul('moved')] }).errno, 0);
  t.equal(kernel.callSync('RMDIR', { body: [nul('d')] }).errno, 0);
  t.equal(nodeid(kernel.lookup(1, 'd').body), 0);
  t.end();
});

t.test('a symbolic link keeps its target', (t) => {
  const { kernel } = served();
  const made = kernel.callSync('SYMLINK', { body: [nul('l'), nul('../target')] });
  t.equal(parse(replies.entryOut, made.body).nested['attr']?.['size'], 9);
  const read = kernel.callSync('READLINK', { nodeid: nodeid(made.body) });
  t.equal(read.body.toString(), '../target', 'without a NUL');
  t.end();
});

t.test('names of more than 255 bytes are ENAMETOOLONG everywhere', (t) => {
  const { kernel, fs } = served();
  const long = nul('x'.repeat(256));
  const cases = [
    kernel.callSync('LOOKUP', { body: [long] }),
    kernel.callSync('UNLINK', { body: [long] }),
    kernel.callSync('RMDIR', { body: [long] }),
    kernel.callSync('SYMLINK', { body: [long, nul('t')] }),
    kernel.callSync('SYMLINK', { body: [nul('l'), nul('t'.repeat(4096))] }),
    kernel.callSync('MKDIR', { body: [build(requests.mkdirIn), long] }),
    kernel.callSync('MKNOD', { body: [build(requests.mknodIn), long] }),
    kernel.callSync('LINK', { body: [build(requests.linkIn), long] }),
    kernel.callSync('CREATE', { body: [build(requests.createIn), long] }),
    kernel.callSync('RENAME', { body: [build(requests.renameIn), nul('a'), long] }),
    kernel.callSync('RENAME2', { body: [build(requests.rename2In), long, nul('a')] }),
    kernel.callSync('GETXATTR', { body: [build(requests.getxattrIn), long] }),
  ];
  for (const { errno } of cases) t.equal(errno, Errno.ENAMETOOLONG);
  t.strictSame(fs.calls, [], 'nothing reaches the filesystem');
  t.equal(kernel.lookup(1, 'x'.repeat(255)).errno, 0);
  t.end();
});

t.test('SETATTR passes on what is valid, and who asks', (t) => {
  const seen: unknown[] = [];
  const { kernel } = served({
    setAttributes(_ino, changes, { uid, gid, pid }) {
      seen.push([changes, uid, gid, pid]);
      return fs.getAttributes(1 as never);
    },
  });
  const fs = fakeFileSystem();
  const set = (valid: number): void => {
    const body = [build(requests.setattrIn, { valid, size: 9 })];
    kernel.callSync('SETATTR', { uid: 5, gid: 6, pid: 7, body });
  };
  set(0);
  set(1 << 3);
  const want: [AttributeChanges, number, number, number][] = [
    [{}, 5, 6, 7],
    [{ size: 9 }, 5, 6, 7],
  ];
  t.strictSame(seen, want);
  t.end();
});

t.test('GETATTR and STATX show one inode', (t) => {
  const { kernel } = served();
  const getattr = kernel.callSync('GETATTR', { body: [build(requests.getattrIn)] });
  t.match(parse(replies.attrOut, getattr.body).nested['attr'], { ino: 1, mode: 0o040755 });
  const statx = kernel.callSync('STATX', { body: [build(requests.statxIn, { sx_mask: 0xfff })] });
  t.equal(statx.body.length, 288);
  t.match(parse(replies.statxOut, statx.body).nested['stat'], { ino: 1, mode: 0o040755 });
  t.equal(
    kernel.callSync('STATX', { nodeid: 99, body: [build(requests.statxIn)] }).errno,
    Errno.ENOENT,
  );
  t.end();
});

t.test('FORGET and BATCH_FORGET reach the filesystem without a reply', (t) => {
  const forgotten: number[][] = [];
  const { kernel } = served({ forget: (ino, count) => void forgotten.push([ino, count]) });
  kernel.post('FORGET', { nodeid: 5, body: [build(requests.forgetIn, { nlookup: 2 })] });
  const batch = [
    build(requests.batchForgetIn, { count: 2 }),
    build(requests.forgetOne, { nodeid: 6, nlookup: 1 }),
    build(requests.forgetOne, { nodeid: 7, nlookup: 3 }),
  ];
  const unique = kernel.post('BATCH_FORGET', { nodeid: 0, body: batch });
  t.equal(kernel.repliesTo(unique).length, 0);
  t.strictSame(forgotten, [
    [5, 2],
    [6, 1],
    [7, 3],
  ]);
  t.end();
});
