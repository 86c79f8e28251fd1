// Goal: mounting and unmounting answer with errnos and texts that say what is wrong. Where this
// process may mount, a real mount is made; nothing here touches a file below it, because nobody
// answers its requests.

import { chmodSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants as os, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';

import { native } from '../../lib/native.ts';

const MNT_DETACH = 2;
const INIT_OPCODE = 26;

const isRoot = process.getuid?.() === 0;
const probe = native.openFuseDevice();
if (probe >= 0) native.close(probe);
const cannotMount = !isRoot || probe < 0 ? 'needs root and /dev/fuse' : false;

/** Not t.testdir, whose removal would look into the mount if a test left one behind. */
function makeMountPoint(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'dedupfs mount '));
  t.teardown(async () => {
    await native.unmount(path, MNT_DETACH);
    rmSync(path, { recursive: true });
  });
  return path;
}

function usePath(t: Test, path: string): void {
  const before = process.env['PATH'];
  process.env['PATH'] = path;
  t.teardown(() => {
    process.env['PATH'] = before;
  });
}

t.test('a target that is missing is ENOENT', async (t) => {
  t.equal(native.mount('none', '/nonexistent/target', 'tmpfs', 0, ''), -os.errno.ENOENT);
  t.equal(await native.unmount('/nonexistent/target', 0), -os.errno.ENOENT);
});

t.test('data the kernel would cut short is refused', (t) => {
  t.equal(native.mount('none', '/', 'tmpfs', 0, 'x'.repeat(65536)), -os.errno.E2BIG);
  t.end();
});

t.test('fuse without its four options is EINVAL', { skip: cannotMount }, (t) => {
  const target = makeMountPoint(t);
  t.equal(native.mount('none', target, 'fuse.dedupfs', 0, 'fd=0'), -os.errno.EINVAL);
  t.equal(native.mount('none', target, 'no-such-type', 0, ''), -os.errno.ENODEV);
  t.end();
});

t.test('a folder that is no mount point is EINVAL', { skip: cannotMount }, async (t) => {
  t.equal(await native.unmount(makeMountPoint(t), 0), -os.errno.EINVAL);
});

t.test('a mount sends INIT, and its end shows on the device', { skip: cannotMount }, async (t) => {
  const target = makeMountPoint(t);
  const fd = native.openFuseDevice();
  const data = `fd=${fd},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other`;
  t.equal(native.mount('/the store', target, 'fuse.dedupfs', 6, data), 0);
  t.match(readFileSync('/proc/self/mounts', 'utf8'), /^\/the\\040store .* fuse\.dedupfs /m);
  await assertInitAndEnd(t, fd, target);
});

t.test('fusermount3 mounts and hands the device over', { skip: cannotMount }, async (t) => {
  const target = makeMountPoint(t);
  const { fd, stderr } = native.mountByHelper(target, 'fsname=a\\,b,subtype=dedupfs,nosuid,nodev');
  if (fd === -os.errno.ENOENT) return t.comment('skipped: no fusermount3 here');
  t.equal(stderr, '');
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
  const flags = parseInt(/flags:\s*(\d+)/.exec(info)?.[1] ?? '', 8);
  t.equal(flags & constants.O_NONBLOCK, constants.O_NONBLOCK);
  t.equal(flags & 0o2000000, 0o2000000, 'O_CLOEXEC');
  t.match(readFileSync('/proc/self/mounts', 'utf8'), /^a,b .* fuse\.dedupfs /m);
  await assertInitAndEnd(t, fd, target);
});

/** The first request of a fresh mount is INIT; after an unmount the poller reports an error. */
async function assertInitAndEnd(t: Test, fd: number, target: string): Promise<void> {
  const request = Buffer.alloc(8192);
  const statuses: number[] = [];
  const poller = native.createPoller(fd, (status) => {
    statuses.push(status);
    if (status === 0) native.read(fd, request, 0, request.length);
  });
  poller.start();
  while (statuses.length === 0) await setTimeout(1);
  t.equal(statuses[0], 0);
  t.equal(request.readUInt32LE(4), INIT_OPCODE);
  t.equal(await native.unmount(target, 0), 0);
  while (statuses.length === 1) await setTimeout(1);
  t.ok((statuses[1] ?? 0) < 0, 'the poll failed');
  t.equal(native.read(fd, request, 0, request.length), -os.errno.ENODEV);
  poller.close();
  native.close(fd);
}

/** A fusermount3 that does what the script says, alone in PATH with the system's tools. */
function installHelper(t: Test, script: string): void {
  const folder = t.testdir();
  writeFileSync(join(folder, 'fusermount3'), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, 'fusermount3'), 0o755);
  usePath(t, `${folder}${delimiter}/usr/bin${delimiter}/bin`);
}

t.test('the helper gets its options and target as single words', (t) => {
  installHelper(t, 'for word; do echo "[$word]" >&2; done; exit 1');
  t.same(native.mountByHelper('-a target', 'x,y z'), {
    fd: -os.errno.EIO,
    stderr: '[-o]\n[x,y z]\n[--]\n[-a target]\n',
  });
  t.end();
});

t.test('a helper that ends well without a descriptor has failed', (t) => {
  installHelper(
    t,
    'test -n "$_FUSE_COMMFD" && test -S /proc/self/fd/$_FUSE_COMMFD && echo sock >&2',
  );
  t.same(native.mountByHelper('/x', 'y'), { fd: -os.errno.EIO, stderr: 'sock\n' });
  t.end();
});

t.test('a helper that talks without end is cut short', (t) => {
  installHelper(t, 'head -c 300000 /dev/zero | tr "\\0" x >&2; exit 1');
  const { fd, stderr } = native.mountByHelper('/x', 'y');
  t.equal(fd, -os.errno.EIO);
  t.equal(stderr.length, 65536);
  t.end();
});

t.test('without a helper in PATH the answer is ENOENT', (t) => {
  usePath(t, '/nonexistent');
  t.same(native.mountByHelper('/x', 'y'), { fd: -os.errno.ENOENT, stderr: '' });
  t.end();
});

t.test('fusermount is used when there is no fusermount3', (t) => {
  const folder = t.testdir();
  writeFileSync(join(folder, 'fusermount'), '#!/bin/sh\necho old >&2\nexit 1\n');
  chmodSync(join(folder, 'fusermount'), 0o755);
  usePath(t, folder);
  t.same(native.mountByHelper('/x', 'y'), { fd: -os.errno.EIO, stderr: 'old\n' });
  t.end();
});
