// Goal: the real kernel accepts what the session says.
// Method: the null filesystem is served by this process; all I/O on it happens in children, because
// a synchronous call on one's own mount waits for itself. A watchdog detaches the mount when a test
// hangs, so that nothing is left behind.

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { NullFileSystem } from '../../bench/null-tree.ts';
import { Errno } from '../../lib/errno.ts';
import { dedupfsMounts } from '../../lib/kernel/mountinfo.ts';
import { detachStale } from '../../lib/kernel/mounting.ts';
import { parseMountOptions, UnmountFlag } from '../../lib/kernel/mount-options.ts';
import { serveMount, type ServedMount } from '../../lib/kernel/mount-session.ts';
import { silentLog } from '../../lib/log.ts';
import { native, type Native } from '../../lib/native.ts';
import { SlabPool } from '../../lib/slab-pool.ts';
import { eventually } from '../support/commands.ts';

const run = promisify(execFile);
const WATCHDOG_MS = 60_000;
const skip =
  process.geteuid?.() !== 0 || !existsSync('/dev/fuse') ? 'needs root and /dev/fuse' : false;

function mounted(t: Test, options: string[] = [], replaced: Partial<Native> = {}): ServedMount {
  // Not t.testdir: tap removes that before teardowns run, and so would look into the mount.
  const target = mkdtempSync(join(tmpdir(), 'dedupfs-kernel-'));
  const mount = serveMount({
    native: { ...native, ...replaced },
    filesystem: new NullFileSystem(),
    pool: new SlabPool(8),
    target,
    source: '/srv/a store',
    options: parseMountOptions(options),
    log: silentLog(),
  });
  const watchdog = setTimeout(() => mount.abort(), WATCHDOG_MS);
  t.teardown(async () => {
    clearTimeout(watchdog);
    await mount.unmount(UnmountFlag.DETACH);
    await mount.stop(0);
    rmdirSync(target);
  });
  return mount;
}

/** Runs a script in the mountpoint; its standard output. */
async function shell(mount: ServedMount, script: string): Promise<string> {
  const command = `cd "$0" && set -e; ${script}`;
  const { stdout } = await run('/bin/bash', ['-c', command, mount.target], {
    cwd: '/',
    timeout: WATCHDOG_MS / 2,
  });
  return stdout.trim();
}

t.test('a mount serves names, data and attributes until it is unmounted', { skip }, async (t) => {
  const mount = mounted(t);
  await mount.ready;
  const [entry] = dedupfsMounts({ mountpoint: mount.target });
  t.match(entry, { source: '/srv/a store', options: ['rw', 'nosuid', 'nodev'] });
  const cases = [
    { script: 'echo hello > a; stat -c %s a', want: '6' },
    { script: 'cp a b; mv b c; ln c d; stat -c "%h %s" d', want: '2 6' },
    { script: 'ln -s ../x s; readlink s', want: '../x' },
    { script: 'mkdir -p x/y/z; rmdir x/y/z; ls -A x', want: 'y' },
    { script: 'mkdir m; for i in $(seq 2000); do : > m/$i; done; ls m | wc -l', want: '2000' },
    {
      script: "touch -d '1950-01-02 03:04:05.5 UTC' a; stat -c %.Y a",
      want: '-631054554.500000000',
    },
    { script: 'test $(stat -c %W a) -gt 0; mkfifo f; stat -c %F f', want: 'fifo' },
    {
      script: 'dd if=/dev/zero of=big bs=3M count=4 status=none; stat -c %s big',
      want: '12582912',
    },
    { script: 'cat big | wc -c; truncate -s 5 big; cat big | wc -c', want: '12582912\n5' },
    { script: 'cmp <(head -c 12M /dev/zero) <(truncate -s 12M big; cat big); echo $?', want: '0' },
    { script: 'stat -f -c "%S %l" .', want: '4096 255' },
    { script: ': > $(printf "n%.0s" $(seq 256)) || echo refused', want: 'refused' },
    {
      script: 'dd if=/dev/zero of=big oflag=append conv=notrunc,fsync count=1 status=none',
      want: '',
    },
    { script: 'exec 3<>big; rm big; stat -L -c %h /proc/self/fd/3', want: '0' },
  ];
  for (const { script, want } of cases) t.equal(await shell(mount, script), want, script);

  const folder = t.testdir();
  const busy = shell(mount, `touch ${folder}/in; until [ -e ${folder}/out ]; do sleep 0.05; done`);
  await eventually('somebody is in the mount', () => existsSync(`${folder}/in`), {
    timeoutMs: 20_000,
  });
  t.equal(await mount.unmount(0), -Errno.EBUSY);
  writeFileSync(`${folder}/out`, '');
  await busy;
  t.equal(await mount.unmount(0), 0);
  t.equal(await mount.closed, 'unmounted');
  t.strictSame(dedupfsMounts({ mountpoint: mount.target }), []);
});

t.test('root gets more readahead than the kernel gives by itself', { skip }, async (t) => {
  const mount = mounted(t);
  await mount.ready;
  const minor = dedupfsMounts({ mountpoint: mount.target })[0]?.minor;
  t.equal(readFileSync(`/sys/class/bdi/0:${minor}/read_ahead_kb`, 'utf8').trim(), '4096');
});

t.test('a read-only mount refuses writers', { skip }, async (t) => {
  const mount = mounted(t, ['ro', 'noexec']);
  await mount.ready;
  t.match(dedupfsMounts({ mountpoint: mount.target })[0]?.options, ['ro', 'nosuid', 'nodev']);
  await t.rejects(shell(mount, ': > a'), /Read-only file system/);
});

t.test('stop detaches a mount that stays busy, and ends', { skip }, async (t) => {
  const mount = mounted(t);
  await mount.ready;
  const busy = shell(mount, ': > here; sleep 3').catch(() => 'killed');
  await shell(mount, 'until [ -e here ]; do sleep 0.02; done');
  t.equal(await mount.stop(100), 'aborted');
  t.strictSame(dedupfsMounts({ mountpoint: mount.target }), []);
  await busy;
});

t.test('without the right to mount, the helper mounts and unmounts', { skip }, async (t) => {
  if (!existsSync('/usr/bin/fusermount3')) {
    t.comment('skipped: no fusermount3');
    return;
  }
  const mount = mounted(t, ['noexec'], {
    mount: () => -Errno.EPERM,
    unmount: () => Promise.resolve(-Errno.EPERM),
  });
  await mount.ready;
  const [entry] = dedupfsMounts({ mountpoint: mount.target });
  t.match(entry, { source: '/srv/a store', options: ['rw', 'nosuid', 'nodev', 'noexec'] });
  t.equal(await shell(mount, 'echo hello > a; stat -c %s a'), '6');
  const folder = t.testdir();
  const busy = shell(mount, `touch ${folder}/in; until [ -e ${folder}/out ]; do sleep 0.05; done`);
  await eventually('somebody is in the mount', () => existsSync(`${folder}/in`), {
    timeoutMs: 20_000,
  });
  t.equal(await mount.unmount(0), -Errno.EBUSY);
  writeFileSync(`${folder}/out`, '');
  await busy;
  t.equal(await mount.stop(), 'unmounted');
});

t.test('an abort from outside is told from an unmount', { skip }, async (t) => {
  const mount = mounted(t);
  await mount.ready;
  const minor = dedupfsMounts({ mountpoint: mount.target })[0]?.minor;
  const control = `/sys/fs/fuse/connections/${minor}/abort`;
  if (!existsSync(control)) {
    t.comment('skipped: fusectl is not mounted');
    return;
  }
  writeFileSync(control, '1');
  t.equal(await mount.closed, 'aborted');
});

t.test('a second mount on top is refused; a dead one can be detached', { skip }, async (t) => {
  const mount = mounted(t);
  await mount.ready;
  const again = (): unknown =>
    serveMount({
      native,
      filesystem: new NullFileSystem(),
      pool: new SlabPool(2),
      target: mount.target,
      source: 'other',
      options: parseMountOptions([]),
      log: silentLog(),
    });
  t.throws(again, { exitCode: 26, message: /already has \/srv\/a store mounted/ });
  mount.abort();
  t.equal(await mount.closed, 'aborted');
  t.equal(dedupfsMounts({ mountpoint: mount.target }).length, 1, 'dead, and still there');
  await detachStale(native, mount.target);
  t.strictSame(dedupfsMounts({ mountpoint: mount.target }), []);
  await t.rejects(detachStale(native, mount.target), { exitCode: 28, message: /EINVAL/ });
});
