// Goal: each way that mounting fails is told with its exit code and its remedy.

import t, { type Test } from 'tap';
import { Errno } from '../../lib/errno.ts';
import { deviceFault } from '../../lib/kernel/device-fault.ts';
import { mountFilesystem, unmount, type Mounter } from '../../lib/kernel/mounting.ts';
import { parseMountOptions } from '../../lib/kernel/mount-options.ts';

function fakeMounter(results: Partial<Mounter>, calls: unknown[][] = []): Mounter {
  return {
    openFuseDevice: () => 9,
    mount: (...args) => {
      calls.push(['mount', ...args]);
      return 0;
    },
    unmount: () => Promise.resolve(0),
    mountByHelper: (...args) => {
      calls.push(['helper', ...args]);
      return { fd: 10, stderr: '' };
    },
    close: (fd) => void calls.push(['close', fd]),
    ...results,
  };
}

function request(t: Test) {
  const target = t.testdir({});
  return { target, source: '/srv/store', options: parseMountOptions(['ro']) };
}

const isRoot = process.geteuid?.() === 0;

t.test('root mounts by itself', { skip: !isRoot }, (t) => {
  const calls: unknown[][] = [];
  const wanted = request(t);
  t.strictSame(mountFilesystem(fakeMounter({}, calls), wanted), { fd: 9, target: wanted.target });
  const data = 'fd=9,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other';
  t.strictSame(calls, [['mount', '/srv/store', wanted.target, 'fuse.dedupfs', 7, data]]);
  t.end();
});

t.test('root without the capability tries the helper', { skip: !isRoot }, (t) => {
  const calls: unknown[][] = [];
  const mounter = fakeMounter({ mount: () => -Errno.EPERM }, calls);
  t.equal(mountFilesystem(mounter, request(t)).fd, 10);
  t.strictSame(
    calls.map(([name]) => name),
    ['close', 'helper'],
  );
  t.end();
});

t.test('faults of mount(2) and of the device', { skip: !isRoot }, (t) => {
  const cases: { results: Partial<Mounter>; exitCode: number; message: RegExp }[] = [
    { results: { mount: () => -Errno.EINVAL }, exitCode: 28, message: /mount\(2\) says EINVAL/ },
    { results: { openFuseDevice: () => -Errno.ENOENT }, exitCode: 20, message: /modprobe fuse/ },
    { results: { openFuseDevice: () => -Errno.EACCES }, exitCode: 21, message: /denied/ },
  ];
  for (const { results, exitCode, message } of cases) {
    t.throws(() => mountFilesystem(fakeMounter(results), request(t)), { exitCode, message });
  }
  t.end();
});

t.test('what fusermount3 says is passed on', (t) => {
  const cases = [
    { says: 'mount failed: Operation not permitted', exitCode: 21, message: /set-uid root/ },
    {
      says: "option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf",
      exitCode: 21,
      message: /needs the line 'user_allow_other' in \/etc\/fuse.conf; add it as root/,
    },
    { says: 'user has no write access to mountpoint /m', exitCode: 21, message: /chown/ },
    { says: 'mountpoint /m not owned by user', exitCode: 21, message: /sticky/ },
    { says: 'mounting over filesystem type 0x9fa0 is forbidden', exitCode: 21, message: /0x9fa0/ },
    { says: 'too many FUSE filesystems mounted; mount_max=N', exitCode: 28, message: /mount_max/ },
    { says: 'failed to open /dev/fuse: Permission denied', exitCode: 21, message: /chmod 666/ },
    { says: 'bad mount point /m: Permission denied', exitCode: 21, message: /bad mount point/ },
    { says: 'something else', exitCode: 28, message: /fusermount3 says: .*something else/ },
    { says: "fuse device not found, try 'modprobe fuse'", exitCode: 20, message: /modprobe fuse/ },
  ];
  for (const { says, exitCode, message } of cases) {
    const answer = { fd: -Errno.EIO, stderr: `fusermount3: ${says}\n` };
    const mounter = fakeMounter({ mount: () => -Errno.EPERM, mountByHelper: () => answer });
    t.throws(() => mountFilesystem(mounter, request(t)), { exitCode, message }, says);
  }
  for (const [errno, exitCode] of [
    [Errno.ENOENT, 21],
    [Errno.EIO, 28],
  ] as const) {
    const answer = { fd: -errno, stderr: '' };
    const mounter = fakeMounter({ mount: () => -Errno.EPERM, mountByHelper: () => answer });
    t.throws(() => mountFilesystem(mounter, request(t)), { exitCode, message: /fusermount3/ });
  }
  t.end();
});

t.test('the device is explained', (t) => {
  t.match(deviceFault(Errno.ENODEV), { exitCode: 20, message: /not found; .*modprobe fuse/ });
  t.match(deviceFault(Errno.EPERM), { exitCode: 21 });
  t.match(deviceFault(Errno.ENOMEM), { exitCode: 20, message: /ENOMEM/ });
  t.end();
});

t.test('unmounting does not follow links and reports errnos', async (t) => {
  const seen: [string, number][] = [];
  const mounter = {
    unmount: (target: string, flags: number) => {
      seen.push([target, flags]);
      return Promise.resolve(-Errno.EBUSY);
    },
  };
  t.equal(await unmount(mounter, '/mnt', 2), -Errno.EBUSY);
  t.strictSame(seen, [['/mnt', 2 | 8]]);
});
