// Goal: systemd gets a unit that it understands whatever the paths are, and is told when the mount
// answers, when it ends and that the last commit may take its time. Method: systemd's own check of the
// unit where it is installed; a socket as systemd's for the messages.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';

import { daemonNodeFlags } from '../../lib/cli/launch.ts';
import { createProgram } from '../../lib/cli/program.ts';
import { ServiceManager } from '../../lib/cli/service-manager.ts';
import { pathEscaped, unitText } from '../../lib/cli/systemd-unit.ts';
import { ExitCode } from '../../lib/errors.ts';
import { native } from '../../lib/native.ts';
import {
  eventually,
  isInstalled,
  mustRun,
  plainly,
  requireRoot,
  run,
} from '../support/commands.ts';
import { CLI, dedupfs } from '../support/commands-dedupfs.ts';
import { startWriter, writtenLines } from '../support/endings.ts';
import { isMountpoint, MountedStore } from '../support/mounted-store.ts';

t.setTimeout(120_000);

const STRANGE = '/srv/my st%ore$x "q"\\z';
const paths = { interpreter: process.execPath, program: CLI };
const plain = {
  store: '/srv/store',
  mountpoint: '/backup',
  nice: undefined,
  ionice: undefined,
  user: undefined,
  mountArguments: [],
};

t.test(
  'the unit mounts in the namespace of all, and waits for the disk of the store',
  async (t) => {
    const text = unitText({ ...plain, nice: '10', ionice: 'best-effort:7' }, paths);
    t.match(text, /^RequiresMountsFor=\/srv\/store \/$/m);
    t.match(text, /^After=local-fs.target backup.mount$/m);
    t.match(text, /^ExecStart=\S+node( --\S+)+ \S+ mount -f --no-create \/srv\/store \/backup$/m);
    for (const flag of daemonNodeFlags) t.ok(text.includes(` ${flag} `), flag);
    t.match(text, /^Environment=MALLOC_ARENA_MAX=2$/m);
    t.match(text, /^Nice=10\nIOSchedulingClass=best-effort\nIOSchedulingPriority=7$/m);
    t.match(text, /^NoNewPrivileges=yes$/m);
    const makesNamespace =
      /^(Private(Tmp|Mounts|Devices|Users)|Protect\w+|ReadOnlyPaths|InaccessiblePaths|TemporaryFileSystem|Bind\w*Paths|RootDirectory|DynamicUser)=/m;
    t.notMatch(text, makesNamespace, 'nothing that would hide the mount');
    const byUser = unitText({ ...plain, user: 'backup' }, paths);
    t.match(byUser, /^User=backup$/m);
    t.notMatch(byUser, /^(NoNewPrivileges|Restrict\w+|Lock\w+)=/m, 'fusermount3 is set-uid');
    const strange = [
      { store: '/srv/a\nb' },
      { user: 'backup\nExecStartPre=/bin/true' },
      { mountArguments: ['-o', 'ro\r'] },
    ];
    for (const part of strange) {
      const refused = { exitCode: ExitCode.USAGE, message: /has a control character/ };
      t.throws(() => unitText({ ...plain, ...part }, paths), refused);
    }
  },
);

t.test('paths are escaped', async (t) => {
  const text = unitText({ ...plain, store: STRANGE, mountpoint: '/mnt/a b' }, paths);
  t.match(text, String.raw`RequiresMountsFor="/srv/my st%%ore$x \"q\"\\z" /mnt`);
  t.match(text, String.raw` mount -f --no-create "/srv/my st%%ore$$x \"q\"\\z" "/mnt/a b"`);
  t.match(text, String.raw`After=local-fs.target mnt-a\x20b.mount`);
  const cases = [
    { path: '/', want: '-' },
    { path: '/srv//backup/', want: 'srv-backup' },
    { path: '/.a/b-c_d:e.f', want: String.raw`\x2ea-b\x2dc_d:e.f` },
    { path: '/\u00e9', want: String.raw`\xc3\xa9` },
  ];
  for (const { path, want } of cases) t.equal(pathEscaped(path), want);
  if (!isInstalled('systemd-escape')) {
    t.comment('systemd-escape is not installed');
    return;
  }
  for (const path of [...cases.map((one) => one.path), STRANGE]) {
    const { stdout } = await mustRun('systemd-escape', ['--path', path]);
    t.equal(pathEscaped(path), stdout.trimEnd(), 'as systemd-escape has it');
  }
});

t.test('install-service writes, prints and removes a unit that systemd accepts', async (t) => {
  const folder = t.testdir({ store: {}, dir: {} });
  const command = ['install-service', join(folder, 'store'), join(folder, 'dir')];
  const where = ['--directory', folder, '--name', 'dedupfs-test'];
  const file = join(folder, 'dedupfs-test.service');
  const printed = await dedupfs([...command, '--print', '--nice', '5', '-o', 'noatime']);
  t.equal(printed.code, 0, printed.stderr);
  t.match(printed.stdout, /mount -f --no-create -o noatime /);
  const written = await dedupfs([...command, ...where, '--force', '--ionice', 'idle']);
  t.match(written, { code: 0, stdout: /^wrote .*\nstart it with 'systemctl daemon-reload/ });
  if (isInstalled('systemd-analyze')) {
    const { code, stderr } = await run('systemd-analyze', ['verify', file]);
    t.equal(code, 0, stderr);
    t.notMatch(stderr, /dedupfs-test/, stderr);
  } else {
    t.comment('systemd-analyze is not installed');
  }
  await t.rejects(inProcess([...command, ...where, '--force', '--enable']), {
    exitCode: ExitCode.NO_STORE,
    message: /not a dedupfs store, and a service creates none/,
  });
  const removed = await dedupfs([...command, ...where, '--uninstall']);
  t.match(removed, { code: 0, stdout: `removed ${file}\n` });
  writeFileSync(file, '[Unit]\n');
  for (const more of ['--force', '--uninstall']) {
    const refused = inProcess([...command, ...where, more]);
    await t.rejects(refused, { exitCode: ExitCode.FAILED, message: /not written by dedupfs/ });
  }
  const cases = [
    ['--nice', '20', /from -20 to 19/],
    ['--ionice', 'fast', /idle, best-effort/],
    ['--name', 'a/b', /letters, digits/],
  ] as const;
  for (const [option, value, message] of cases) {
    await t.rejects(inProcess([...command, option, value]), { message });
  }
});

/** What goes wrong prints nothing by itself, and needs no process. */
async function inProcess(args: readonly string[]): Promise<void> {
  await createProgram().parseAsync([...args], { from: 'user' });
}

const RECEIVER = `use Socket; $| = 1; my $name = shift; $name =~ s/^@/\\0/;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; bind($s, pack_sockaddr_un($name)) or die "bind: $!";
print "listening\\n"; while (defined recv($s, my $m, 4096, 0)) { $m =~ s/\\n/|/g; print "$m\\n"; }`;

/** A socket as a service manager has it. @returns what it was told, and grows */
async function receive(t: Test, socket: string): Promise<string[]> {
  const receiver = spawn('perl', ['-e', RECEIVER, socket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => receiver.kill());
  const messages: string[] = [];
  createInterface(receiver.stdout).on('line', (line) => messages.push(line));
  await eventually('it listens', () => messages.shift() === 'listening', { timeoutMs: 10_000 });
  return messages;
}

t.test('messages reach sockets with a path and without, and never more than asked', async (t) => {
  // Not t.testdir: the name of a socket is short.
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-notify-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const socket of [join(folder, 's'), `@dedupfs-test-${process.pid}`]) {
    const messages = await receive(t, socket);
    const environment: NodeJS.ProcessEnv = { NOTIFY_SOCKET: socket };
    const manager = ServiceManager.fromEnvironment(environment);
    t.notOk('NOTIFY_SOCKET' in environment, 'children do not get it');
    manager.starting('opening\n/x');
    manager.ready('there');
    await eventually('all came', () => messages.length === 3, { timeoutMs: 10_000 });
    t.strictSame(messages, [
      'STATUS=opening /x',
      'EXTEND_TIMEOUT_USEC=30000000',
      'READY=1|STATUS=there',
    ]);
  }
  ServiceManager.fromEnvironment({}).stopping('nobody listens, and the process may end');
  const wrong = ['/nowhere/socket', 'relative', '', '@'.padEnd(109, 'x'), '/'.padEnd(108, 'x')];
  for (const path of wrong) t.ok(native.notifyServiceManager(path, 'x') < 0, path);
  t.throws(() => native.notifyServiceManager('/a\0b', 'x'), /path must be a string without NUL/);
});

t.test('a service under load: ready when it answers, all is kept after SIGTERM', async (t) => {
  requireRoot();
  const store = MountedStore.create(t);
  mkdirSync(join(store.directory, 'run'));
  const socket = join(store.directory, 'run', 'notify');
  const messages = await receive(t, socket);
  const absent = await dedupfs(['mount', '-f', '--no-create', store.store, store.mountpoint]);
  t.match(absent, { code: ExitCode.NO_STORE, stderr: /does not exist, and is not created/ });
  const isReady = (): boolean => messages.some((one) => one.startsWith('READY=1|'));
  const killed = startService(t, store, socket);
  await eventually('it is ready', isReady, { timeoutMs: 30_000 });
  const died = new Promise((resolve) => killed.once('exit', resolve));
  killed.kill('SIGKILL');
  await died;
  t.ok(isMountpoint(store.mountpoint), 'a dead mount stays');
  messages.length = 0;
  const daemon = startService(t, store, socket);
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  await eventually('it is ready again', isReady, { timeoutMs: 30_000 });
  t.ok(isMountpoint(store.mountpoint), 'mounted when it says so');
  await store.mustRunScript('seq 200000 >numbers', { cwd: store.mountpoint });
  const writer = await startWriter(store, 'open');
  daemon.kill('SIGTERM');
  const lines = await writer.stop();
  t.equal(await ended, ExitCode.OK, 'exit code');
  t.strictSame(
    messages.map((one) => one.replace(/\/.*/, '')),
    [
      'STATUS=opening ',
      'EXTEND_TIMEOUT_USEC=30000000',
      'READY=1|STATUS=',
      'STOPPING=1|STATUS=unmounting',
      'EXTEND_TIMEOUT_USEC=30000000',
      'STOPPING=1|STATUS=final commit',
    ],
  );
  await store.mount();
  await store.mustRunScript('seq 200000 | cmp - numbers', { cwd: store.mountpoint });
  t.equal(readFileSync(store.path('open'), 'utf8'), writtenLines(lines), 'all that was answered');
  await store.finish();
});

function startService(t: Test, store: MountedStore, socket: string): ChildProcess {
  const args = [CLI, 'mount', '-f', store.store, store.mountpoint];
  const daemon = spawn(...plainly(process.execPath, args, { NOTIFY_SOCKET: socket }), {
    stdio: 'ignore',
  });
  t.teardown(() => daemon.kill('SIGKILL'));
  return daemon;
}
