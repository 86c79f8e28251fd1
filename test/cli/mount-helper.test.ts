// Goal: what mount(8) passes becomes the right `dedupfs mount`, and its exit codes. Method: the
// arguments as mount(8) and mount.fuse were seen to pass them.

import t from 'tap';

import {
  helperArguments,
  mountExitCode,
  mountWords,
  parseHelperCall,
} from '../../lib/cli/mount-helper.ts';
import { ExitCode } from '../../lib/errors.ts';

const words = (args: readonly string[], isRoot = true): string[] =>
  mountWords(parseHelperCall(args, isRoot));

/** What fstab(5) may have, and none of it for us. */
const FOR_OTHERS =
  'defaults,noauto,users,user=me,nofail,_netdev,x-systemd.automount,X-a=b,comment=c,ro';

t.test('arguments become those of dedupfs mount', (t) => {
  const end = ['--no-create', '--quiet', '--', '/srv/s', '/mnt'];
  const cases = [
    {
      args: ['/srv/s', '/mnt', '-o', 'rw', '-t', 'fuse.dedupfs'],
      want: ['mount', '-o', 'suid,dev,rw', ...end],
      why: 'mount -t fuse.dedupfs, by root',
    },
    {
      args: ['/srv/s', '/mnt', '-o', 'rw,nosuid,nodev', '-t', 'fuse.dedupfs'],
      want: ['mount', '-o', 'suid,dev,rw,nosuid,nodev', ...end],
      why: 'the last one counts',
    },
    {
      args: ['-n', '-o', 'ro', '-o', 'noatime', '/srv/s', '/mnt'],
      want: ['mount', '-o', 'suid,dev,ro,noatime', ...end],
      why: 'options first, twice',
    },
    {
      args: ['/srv/s', '/mnt', '-snvoro'],
      want: ['mount', '-o', 'suid,dev,ro', '--no-create', '--', '/srv/s', '/mnt'],
      why: 'switches in one word',
    },
    {
      args: ['/srv/s', '/mnt', '-r'],
      want: ['mount', '-o', 'suid,dev,ro', ...end],
      why: 'mount -r',
    },
    {
      args: ['dedupfs#/srv/s', '/mnt'],
      want: ['mount', '-o', 'suid,dev', ...end],
      why: 'the older form of the source',
    },
    {
      args: ['/srv/s', '/mnt', '-o', 'create,relatime'],
      want: ['mount', '-o', 'suid,dev,relatime', '--quiet', '--', '/srv/s', '/mnt'],
      why: 'create on demand',
    },
    {
      args: ['/srv/s', '/mnt', '-o', FOR_OTHERS],
      want: ['mount', '-o', 'suid,dev,ro', ...end],
      why: 'what is for mount(8) and systemd',
    },
  ];
  for (const { args, want, why } of cases) t.strictSame(words(args), want, why);
  t.strictSame(
    words(['/srv/s', '/mnt', '-o', 'rw,noexec,nosuid,nodev'], false),
    ['mount', '-o', 'rw,noexec,nosuid,nodev', ...end],
    'a user gets no suid and dev',
  );
  t.end();
});

t.test('-s drops what is unknown, without it mount refuses', (t) => {
  const args = ['/srv/s', '/mnt', '-o', 'ro,frob,max_read=8192,frob=1,compression=zstd'];
  const sloppy = parseHelperCall([...args, '-s'], false);
  t.strictSame(sloppy.options, ['ro', 'max_read=8192', 'compression=zstd']);
  t.strictSame(sloppy.dropped, ['frob', 'frob=1']);
  const strict = parseHelperCall(args, false);
  t.strictSame(strict.options, ['ro', 'frob', 'max_read=8192', 'frob=1', 'compression=zstd']);
  t.end();
});

t.test('-f and remount are told apart', (t) => {
  t.match(parseHelperCall(['/s', '/m', '-f'], false), { isFake: true, isRemount: false });
  const remount = parseHelperCall(['/s', '/m', '-o', 'remount,ro'], false);
  t.match(remount, { isFake: false, isRemount: true, options: ['ro'] });
  t.end();
});

t.test('wrong arguments are named', (t) => {
  const cases = [
    { args: [], message: /expected STORE and DIR, found 0 arguments/ },
    { args: ['/s', '/m', '/n'], message: /found 3 arguments/ },
    { args: ['/s', '/m', '-x'], message: /unknown option -x/ },
    { args: ['/s', '/m', '--verbose'], message: /unknown option --verbose/ },
    { args: ['/s', '/m', '-o'], message: /option -o needs a value/ },
    { args: ['/s', '/m', '-N', '/proc/1/ns/mnt'], message: /-N is not supported; use nsenter/ },
  ];
  for (const { args, message } of cases) {
    t.throws(() => parseHelperCall(args, true), { exitCode: ExitCode.USAGE, message });
  }
  t.end();
});

t.test('a call of mount(8) is told from a command', (t) => {
  t.strictSame(helperArguments(['mount-helper', '/s', '/m']), ['/s', '/m']);
  t.strictSame(helperArguments(['/s', '/m', '-o', 'rw']), ['/s', '/m', '-o', 'rw'], 'mount.fuse');
  t.equal(helperArguments(['mount', '/s', '/m']), undefined);
  t.equal(helperArguments([]), undefined);
  t.equal(helperArguments(['/s']), undefined, 'a mistake of a person');
  t.equal(helperArguments(['/s', '-o', 'rw']), undefined);
  t.end();
});

t.test('exit codes are those of mount(8)', (t) => {
  const cases = [
    [ExitCode.OK, 0],
    [ExitCode.USAGE, 1],
    [ExitCode.NO_PERMISSION, 1],
    [ExitCode.NO_FUSE_DEVICE, 2],
    [ExitCode.INTERRUPTED, 8],
    [ExitCode.LOCKED, 32],
    [ExitCode.NO_STORE, 32],
    [ExitCode.FAILED, 32],
  ] as const;
  for (const [ours, theirs] of cases) t.equal(mountExitCode(ours), theirs, `${ours}`);
  t.end();
});
