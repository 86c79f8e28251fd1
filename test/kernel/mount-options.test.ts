// Goal: options become what mount(2) and fusermount3 are told; unknown ones are a usage error.

import t from 'tap';
import {
  helperMountOptions,
  kernelMountData,
  MountFlag,
  parseMountOptions,
  semanticsOf,
} from '../../lib/kernel/mount-options.ts';

const { NOSUID, NODEV, RDONLY, NOEXEC, NOATIME, RELATIME, NODIRATIME } = MountFlag;

t.test('flags', (t) => {
  const cases = [
    { options: [], want: NOSUID | NODEV },
    { options: ['ro'], want: NOSUID | NODEV | RDONLY },
    { options: ['ro', 'rw'], want: NOSUID | NODEV },
    { options: ['suid,dev'], want: 0 },
    { options: ['dev', 'nodev'], want: NOSUID | NODEV },
    {
      options: ['noexec,noatime', 'nodiratime'],
      want: NOSUID | NODEV | NOEXEC | NOATIME | NODIRATIME,
    },
    { options: ['noexec,exec,relatime'], want: NOSUID | NODEV | RELATIME },
    { options: ['defaults,nofail,_netdev,noauto,x-systemd.automount,x-a=b'], want: NOSUID | NODEV },
    { options: ['', ','], want: NOSUID | NODEV },
  ];
  for (const { options, want } of cases) {
    t.equal(parseMountOptions(options).flags, want, options.join(' '));
  }
  t.end();
});

t.test('other options', (t) => {
  t.match(parseMountOptions([]), {
    allowOther: undefined,
    maxReadBytes: undefined,
    source: undefined,
    allowNonempty: false,
  });
  const list = ['allow_other,default_permissions', 'max_read=131072,fsname=a=b', 'nonempty'];
  t.match(parseMountOptions(list), {
    allowOther: true,
    maxReadBytes: 131_072,
    source: 'a=b',
    allowNonempty: true,
  });
  t.end();
});

t.test('what the options mean to the filesystem', (t) => {
  const usual = { acls: true, accessTimes: 'relative', directoryAccessTimes: true };
  const cases = [
    { options: '', want: usual },
    { options: 'relatime,acl', want: usual },
    { options: 'noacl', want: { ...usual, acls: false } },
    { options: 'noacl,acl', want: usual },
    { options: 'strictatime', want: { ...usual, accessTimes: 'always' } },
    { options: 'noatime', want: { ...usual, accessTimes: 'never' } },
    { options: 'ro', want: { ...usual, accessTimes: 'never' } },
    { options: 'noatime,strictatime', want: { ...usual, accessTimes: 'always' } },
    { options: 'strictatime,noatime', want: { ...usual, accessTimes: 'never' } },
    { options: 'strictatime,relatime', want: usual },
    { options: 'nodiratime', want: { ...usual, directoryAccessTimes: false } },
  ];
  for (const { options, want } of cases) {
    t.strictSame(semanticsOf(parseMountOptions([options])), want, options);
  }
  t.end();
});

t.test('unknown options and bad values are named', (t) => {
  const cases = ['bogus', 'ro=1', 'fsname', 'constructor', 'max_read=1', 'max_read=x', 'remount'];
  for (const option of cases) {
    t.throws(() => parseMountOptions(['rw', option]), { code: 'DEDUPFS_USAGE', exitCode: 2 });
    t.throws(() => parseMountOptions([option]), new RegExp(option));
  }
  t.end();
});

t.test('the data of mount(2)', (t) => {
  const device = { fd: 9, uid: 0, gid: 0 };
  t.equal(
    kernelMountData(parseMountOptions([]), device),
    'fd=9,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other',
  );
  t.match(kernelMountData(parseMountOptions(['max_read=65536']), device), /,max_read=65536$/);
  t.end();
});

t.test('the options of fusermount3', (t) => {
  const names = { source: 'a,b\\c', subtype: 'dedupfs' };
  t.equal(
    helperMountOptions(parseMountOptions([]), names),
    'fsname=a\\,b\\\\c,subtype=dedupfs,default_permissions,nosuid,nodev',
  );
  t.match(
    helperMountOptions(parseMountOptions(['ro,allow_other,noexec,max_read=4096']), names),
    /,ro,nosuid,nodev,noexec,allow_other,max_read=4096$/,
  );
  t.end();
});
