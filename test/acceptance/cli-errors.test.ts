// Goal: what the machine has not, or will not give, is told in one clear line on stderr that names the thing and
// the remedy, with an exit code of its own, never a stack trace. Method: real machines without /dev/fuse, full disks,
// stores in use or of other versions. What people mistype is in mistakes.test.ts.
//
// Run: node dist/test/acceptance/cli-errors.test.js

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ExitCode } from '../../lib/errors.ts';
import { mustRunScript, requirePrograms, requireRoot, run } from '../support/commands.ts';
import { CLI, dedupfs } from '../support/commands-dedupfs.ts';
import { MountedStore, isMountpoint } from '../support/mounted-store.ts';

t.setTimeout(300_000);
requireRoot();
requirePrograms({ unshare: 'util-linux', setpriv: 'util-linux', 'mkfs.ext4': 'e2fsprogs' });

const STRANGER = '65534';

/** A place for the mistakes: an empty directory, a file, and a directory that is not a store. */
interface Place {
  readonly directory: string;
  readonly at: (...names: string[]) => string;
}

interface Failure {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

await t.test('no /dev/fuse, or no permission for it', async (t) => {
  const { at } = makePlace(t);
  const mount = logged(['mount', at('s'), at('empty')], at('log'));
  assertOneLine(t, await withDevices('', mount), {
    code: ExitCode.NO_FUSE_DEVICE,
    says: [/\/dev\/fuse/, /modprobe fuse/],
    what: 'without /dev/fuse',
  });
  const stranger = ['setpriv', `--reuid=${STRANGER}`, `--regid=${STRANGER}`, '--clear-groups'];
  await mustRunScript(`chmod 755 .; mkdir own; chown ${STRANGER} empty own`, { cwd: at('.') });
  const device = 'mknod -m 600 /dev/fuse c 10 229';
  const own = logged(['mount', at('own/s'), at('empty')], at('own/log'));
  const refused = await withDevices(device, own, stranger);
  assertOneLine(t, refused, {
    code: ExitCode.NO_PERMISSION,
    says: [/\/dev\/fuse/, /permission|root/i],
    what: 'a user who may not open /dev/fuse',
  });
});

await t.test('a store that is in use', async (t) => {
  const store = await MountedStore.mounted(t);
  const second = join(store.directory, 'second');
  const log = join(store.directory, 'log');
  mkdirSync(second);
  assertOneLine(t, await dedupfs(logged(['mount', store.store, second], log)), {
    code: ExitCode.LOCKED,
    says: [new RegExp(`\\b${store.daemonPid}\\b`)],
    what: 'mounting a store twice',
  });
  const over = ['mount', join(store.directory, 'other'), store.mountpoint];
  assertOneLine(t, await dedupfs(logged(over, log)), {
    says: [/mnt/, /mounted|empty/],
    what: 'mounting over the mount',
  });
  const check = await dedupfs(['fsck', store.store]);
  t.ok(
    check.code === ExitCode.OK || check.code === ExitCode.LOCKED,
    `fsck of a mounted store asks the daemon or refuses: ${check.stderr}`,
  );
  await assertBusy(t, store);
  await store.finish();
});

await t.test('a store with other properties', async (t) => {
  const store = await MountedStore.mounted(t, '--chunk-size', '32K');
  await store.umount();
  const log = join(store.directory, 'log');
  const conflict = ['mount', store.store, store.mountpoint, '--chunk-size', '64K'];
  assertOneLine(t, await dedupfs(logged(conflict, log)), {
    code: ExitCode.STORE_CONFLICT,
    says: [/32\s?Ki?/, /64\s?Ki?/],
    what: 'another chunk size than the store has',
  });
  await store.mount('--compression', 'zstd:3');
  await store.umount();
  const format = join(store.store, 'FORMAT');
  const original = readFileSync(format, 'utf8');
  for (const { number, remedy } of [
    { number: 99, remedy: /upgrade/ },
    { number: 1, remedy: /copy its files/ },
  ]) {
    const other = original.replace(/("format"\s*:\s*)\d+/, `$1${number}`);
    t.not(other, original, 'FORMAT has a version number');
    writeFileSync(format, other);
    for (const args of [
      ['mount', store.store, store.mountpoint],
      ['fsck', store.store],
    ]) {
      const says = [new RegExp(`format ${number}\\b`), remedy];
      const expected = { code: ExitCode.WRONG_FORMAT, says, what: args.join(' ') };
      assertOneLine(t, await dedupfs(logged(args, log)), expected);
    }
  }
  writeFileSync(format, original);
  await store.finish();
});

await t.test('a host file system that is full', async (t) => {
  const { at } = makePlace(t);
  await mustRunScript(
    'truncate -s 8M image && mkfs.ext4 -q image && mkdir disk && mount -o loop image disk',
    { cwd: at('.') },
  );
  t.teardown(() => run('umount', ['-l', at('disk')]));
  await mustRunScript('dd if=/dev/zero of=disk/filler bs=64k status=none || true', {
    cwd: at('.'),
  });
  const mount = ['mount', at('disk/store'), at('empty')];
  assertOneLine(t, await dedupfs(logged(mount, at('log'))), {
    code: ExitCode.DISK_FULL,
    says: [/space|full|room/],
    what: 'creating a store on a full disk',
  });
  t.notOk(isMountpoint(at('empty')), 'nothing is mounted');
});

/** The same, with a log that goes away with the test: some mounts fail only in their daemon. */
function logged(args: readonly string[], log: string): string[] {
  return args[0] === 'mount' ? [...args, '--log', log] : [...args];
}

/** A process that holds the mount open is named by the umount it prevents. */
async function assertBusy(t: Test, store: MountedStore): Promise<void> {
  const holder = spawn('sleep', ['600'], { cwd: store.mountpoint, stdio: 'ignore' });
  try {
    await new Promise((resolve) => holder.once('spawn', resolve));
    assertOneLine(t, await dedupfs(['umount', store.mountpoint]), {
      code: ExitCode.BUSY,
      says: [new RegExp(`\\b${holder.pid}\\b`), /sleep/],
      what: 'umount of a busy mount',
    });
    t.ok(isMountpoint(store.mountpoint), 'a busy mount stays');
  } finally {
    const ended = new Promise((resolve) => holder.once('close', resolve));
    holder.kill('SIGKILL');
    await ended;
  }
}

function assertOneLine(
  t: Test,
  failure: Failure,
  expected: { readonly code?: number; readonly says: readonly RegExp[]; readonly what: string },
): void {
  const { what } = expected;
  const lines = failure.stderr.trimEnd().split('\n');
  if (expected.code === undefined) t.not(failure.code, ExitCode.OK, `${what}: fails`);
  else t.equal(failure.code, expected.code, `${what}: exit code (${failure.stderr.trim()})`);
  t.equal(lines.length, 1, `${what}: one line: ${failure.stderr}`);
  for (const says of expected.says) t.match(failure.stderr, says, `${what}: says ${says.source}`);
  t.notMatch(failure.stderr, /\n\s+at |node:internal|Error:/, `${what}: no stack trace`);
  t.ok((lines[0] ?? '').length > 20, `${what}: is more than a word`);
}

/** Runs dedupfs where /dev holds nothing but null, urandom and what a script makes. */
async function withDevices(
  script: string,
  args: readonly string[],
  prefix: readonly string[] = [],
): Promise<Failure> {
  const setup = `mount --make-rprivate / && mount -t tmpfs -o mode=755 none /dev &&
    mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && ${script || 'true'} &&
    exec "$@"`;
  const command = [...prefix, process.execPath, CLI, ...args];
  return run('unshare', ['-m', 'bash', '-c', setup, 'bash', ...command]);
}

function makePlace(t: Test): Place {
  const directory = mkdtempSync(join(tmpdir(), 'dedupfs-cli-'));
  const at = (...names: string[]): string => join(directory, ...names);
  t.teardown(async () => {
    if (isMountpoint(at('empty'))) await run('umount', ['-l', at('empty')]);
    rmSync(directory, { recursive: true, force: true });
  });
  mkdirSync(at('empty'));
  mkdirSync(at('full'));
  writeFileSync(at('full', 'someone-elses-file'), 'content\n');
  writeFileSync(at('file'), 'content\n');
  return { directory, at };
}
