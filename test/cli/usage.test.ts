// Goal: each mistake a user can make is one clear line with its own exit code, and each help text
// tells an example and the exit codes. Method: the compiled program in a child process; nothing here
// needs a mount to succeed.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { ExitCode } from '../../lib/errors.ts';
import { run, type RunResult } from '../support/commands.ts';
import { CLI, dedupfs } from '../support/commands-dedupfs.ts';

function makeFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-cli-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function assertOneLine(t: Test, result: RunResult, code: number, message: RegExp): void {
  t.equal(result.code, code, `exit code of ${result.command}`);
  t.match(result.stderr, message);
  t.match(result.stderr, /^dedupfs: [^\n]+\n$/, 'one line');
  t.notMatch(result.stderr, /\bat .*\.js/, 'no stack trace');
  t.equal(result.stdout, '', 'nothing on standard output');
}

t.test('wrong arguments exit with 2 and name the help', async (t) => {
  const cases = [
    { args: [], message: /no command given; see 'dedupfs --help'/ },
    { args: ['format'], message: /unknown command 'format'; see 'dedupfs --help'/ },
    { args: ['/srv/s'], message: /unknown command '\/srv\/s'; see 'dedupfs --help'/ },
    { args: ['--frob'], message: /unknown option '--frob'; see 'dedupfs --help'/ },
    { args: ['mount'], message: /missing required argument 'store'; see 'dedupfs mount --help'/ },
    { args: ['mount', 'a'], message: /missing required argument 'dir'/ },
    { args: ['mount', 'a', 'b', 'c'], message: /too many arguments/ },
    { args: ['mount', 'a', 'b', '--chunk-size', '48K'], message: /use one of 16K, 32K, 64K, 256K/ },
    { args: ['mount', 'a', 'b', '--compression', 'gzip'], message: /'gzip' is invalid; use lz4/ },
    { args: ['mount', 'a', 'b', '--compression', 'zstd:99'], message: /use lz4, zstd\[:1-19\]/ },
    { args: ['mount', 'a', 'b', '--compression', 'lz4:1'], message: /'lz4:1' is invalid; use lz4/ },
    { args: ['mount', 'a', 'b', '-o'], message: /argument missing/ },
    { args: ['umount'], message: /missing required argument 'dir'/ },
    { args: ['stats', 'x', '--jsn'], message: /unknown option '--jsn' \(Did you mean --json\?\)/ },
    { args: ['gc', 'x', '--threshold', '0'], message: /above 0 and at most 1/ },
    { args: ['fsck', '--dry-run', 'x'], message: /--dry-run goes with --repair/ },
    { args: ['fsck', '--repair', '--quick', 'x'], message: /leave --quick out/ },
    { args: ['fsck', '--repair', '--rebuild', 'x'], message: /one at a time/ },
    { args: ['fsck', '--rebuild', '--rebuild-index', 'x'], message: /one at a time/ },
    { args: ['fsck'], message: /see 'dedupfs fsck --help'/ },
  ];
  for (const { args, message } of cases) {
    assertOneLine(t, await dedupfs(args), ExitCode.USAGE, message);
  }
});

t.test('each help text has an example and the exit codes of its command', async (t) => {
  const cases = [
    {
      command: 'mount',
      codes: [0, 1, 2, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25, 26, 28, 130],
    },
    { command: 'umount', codes: [0, 1, 2, 21, 26, 27, 130] },
    { command: 'stats', codes: [0, 1, 2, 10, 11, 12, 15, 21] },
    { command: 'fsck', codes: [0, 1, 2, 3, 4, 10, 11, 12, 14, 15, 21, 25, 26, 130] },
    { command: 'gc', codes: [0, 1, 2, 10, 11, 12, 15, 21, 25, 26, 130] },
  ];
  for (const { command, codes } of cases) {
    const { code, stdout, stderr } = await dedupfs([command, '--help']);
    t.equal(code, ExitCode.OK);
    t.equal(stderr, '');
    t.match(stdout, new RegExp(`Examples?:\n  dedupfs ${command} `), `${command} has an example`);
    const listed = [...stdout.slice(stdout.indexOf('Exit codes:')).matchAll(/^ +(\d+) {2}/gm)];
    t.strictSame(
      listed.map(([, number]) => Number(number)),
      codes,
      `exit codes of ${command}`,
    );
  }
  const { stdout } = await dedupfs(['--help']);
  for (const { command } of cases) t.match(stdout, new RegExp(`^  ${command} `, 'm'));
  t.notMatch(stdout, /daemon/, 'the hidden command stays hidden');
});

t.test('--version prints the version of the package', async (t) => {
  const { code, stdout } = await dedupfs(['--version']);
  t.equal(code, ExitCode.OK);
  t.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

t.test('with --json an error is one JSON object', async (t) => {
  const { code, stdout, stderr } = await dedupfs(['stats', '--json']);
  t.equal(code, ExitCode.USAGE);
  t.equal(stdout, '');
  t.match(JSON.parse(stderr), {
    error: {
      code: 'DEDUPFS_USAGE',
      exitCode: ExitCode.USAGE,
      message: /missing required argument/,
    },
  });
});

t.test('what is wrong with a mount is told before anything is started', async (t) => {
  const folder = makeFolder(t);
  const store = join(folder, 'store');
  const empty = join(folder, 'empty');
  const full = join(folder, 'full');
  for (const path of [empty, full]) mkdirSync(path);
  writeFileSync(join(full, 'file'), '');
  symlinkSync(empty, join(folder, 'link'));
  const cases = [
    { dir: join(folder, 'no'), code: ExitCode.NO_MOUNTPOINT, message: /does not exist/ },
    { dir: join(full, 'file'), code: ExitCode.NO_MOUNTPOINT, message: /is not a directory/ },
    { dir: full, code: ExitCode.MOUNTPOINT_NOT_EMPTY, message: /is not empty/ },
    { dir: folder, code: ExitCode.STORE_INSIDE_MOUNT, message: /lies inside mount point/ },
    {
      dir: empty,
      store: join(empty, 'deep', 'store'),
      code: ExitCode.STORE_INSIDE_MOUNT,
      message: /lies inside mount point/,
    },
    {
      dir: join(folder, 'link'),
      store: join(empty, 'store'),
      code: ExitCode.STORE_INSIDE_MOUNT,
      message: /lies inside mount point/,
    },
    { dir: empty, store: folder, code: ExitCode.STORE_INSIDE_MOUNT, message: /lies inside store/ },
    { dir: empty, store: empty, code: ExitCode.STORE_INSIDE_MOUNT, message: /mount point/ },
    { dir: empty, extra: ['-o', 'frob'], code: ExitCode.USAGE, message: /mount option 'frob'/ },
    { dir: empty, extra: ['-o', 'fsname=x'], code: ExitCode.USAGE, message: /fsname/ },
    {
      dir: empty,
      extra: ['--log', join(empty, 'log')],
      code: ExitCode.USAGE,
      message: /inside the mount point; choose another with --log/,
    },
  ];
  for (const { dir, store: at = store, extra = [], code, message } of cases) {
    const log = extra.includes('--log') ? [] : ['--log', join(folder, 'log')];
    assertOneLine(t, await dedupfs(['mount', at, dir, ...log, ...extra]), code, message);
  }
});

t.test('a path that is no mount cannot be unmounted', async (t) => {
  const folder = makeFolder(t);
  for (const dir of [folder, join(folder, 'no'), '/']) {
    assertOneLine(t, await dedupfs(['umount', dir]), ExitCode.NOT_MOUNTED, /not a dedupfs mount/);
  }
});

t.test('a folder that is no store is told so', async (t) => {
  const folder = makeFolder(t);
  writeFileSync(join(folder, 'file'), '');
  for (const command of ['stats', 'fsck', 'gc']) {
    for (const path of [folder, join(folder, 'no'), join(folder, 'file')]) {
      assertOneLine(t, await dedupfs([command, path]), ExitCode.NO_STORE, /store/);
    }
  }
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  const result = await dedupfs(['mount', folder, empty, '--log', join(empty, '../empty.log')]);
  t.not(result.code, ExitCode.OK, 'a folder with other files does not become a store');
});

t.test('without fusermount3 or permission a user learns what to do', async (t) => {
  if (process.getuid?.() !== 0) {
    t.pass('only root can become somebody else');
    return;
  }
  const folder = makeFolder(t);
  chmodSync(folder, 0o777);
  const dir = join(folder, 'dir');
  mkdirSync(dir);
  const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const program = [process.execPath, CLI];
  const args = ['mount', join(folder, 'store'), dir, '--log', join(folder, 'log')];
  const result = await run('setpriv', [...asNobody, ...program, ...args]);
  if (result.code === ExitCode.OK) {
    await run('umount', [dir]);
    t.pass('/dev/fuse is open to everybody here');
    return;
  }
  assertOneLine(t, result, ExitCode.NO_PERMISSION, /\/dev\/fuse|no permission/);
});

t.test('an unsuitable Node.js or system is named, whatever the arguments', async (t) => {
  const cases = [
    { property: 'process.versions,"node"', value: '18.19.0', message: /needs Node.js 20 or later/ },
    { property: 'process,"platform"', value: 'darwin', message: /Linux only, this is darwin/ },
  ];
  for (const { property, value, message } of cases) {
    const code = `Object.defineProperty(${property},{value:"${value}"})`;
    const result = await run(process.execPath, [`--import=data:text/javascript,${code}`, CLI]);
    assertOneLine(t, result, ExitCode.FAILED, message);
  }
});
