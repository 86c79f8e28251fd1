// Goal: mount and umount say what they do, return when it is done, and leave nothing behind, whatever
// state the store and the mount point are in. Method: the compiled program, real mounts.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';

import { ExitCode } from '../../lib/errors.ts';
import type { FsckReport, GcPlan, GcReport, StoreStatistics } from '../../lib/store/contract.ts';
import { plainly, requireRoot, type RunResult } from '../support/commands.ts';
import { CLI, dedupfs } from '../support/commands-dedupfs.ts';
import { isAlive, isMountpoint, MountedStore } from '../support/mounted-store.ts';

requireRoot();

function assertOneLine(t: Test, result: RunResult, code: number, message: RegExp): void {
  t.equal(result.code, code, `exit code of ${result.command}`);
  t.match(result.stderr, message);
  t.match(result.stderr, /^dedupfs: [^\n]+\n$/, 'one line');
}

/** Arguments that keep logs of tests out of /var/log. */
function mountArguments(store: MountedStore, ...more: string[]): string[] {
  return ['mount', store.store, store.mountpoint, '--log', logOf(store), ...more];
}

function logOf({ directory }: MountedStore): string {
  return join(directory, 'daemon.log');
}

t.test('a mount says what it made and where its log is', async (t) => {
  const store = MountedStore.create(t);
  const made = await dedupfs(mountArguments(store, '--compression', 'zstd:3'));
  t.equal(made.code, ExitCode.OK, made.stderr);
  const [created = '', mounted = '', ...rest] = made.stdout.split('\n');
  t.equal(created, `created store ${store.store} (chunks of 32.0 KiB, compression zstd:3)`);
  t.match(
    mounted,
    new RegExp(`^mounted ${store.store} on ${store.mountpoint} \\(process \\d+, log `),
  );
  t.ok(mounted.includes(logOf(store)));
  t.strictSame(rest, ['']);
  t.ok(isMountpoint(store.mountpoint));
  t.equal(statSync(logOf(store)).mode & 0o777, 0o600, 'the log is for its owner');
  t.equal(statSync(store.store).mode & 0o077, 0, 'the store is for its owner');
  t.equal(
    readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${store.store} `),
    true,
    'source',
  );

  const again = await dedupfs(['umount', store.mountpoint]);
  t.equal(again.stdout, `unmounted ${store.mountpoint}\n`);
  const second = await dedupfs(mountArguments(store));
  t.notMatch(second.stdout, /created/, 'an existing store is not created');
  await dedupfs(['umount', store.mountpoint]);
  const once = await dedupfs(['umount', store.mountpoint]);
  assertOneLine(t, once, ExitCode.NOT_MOUNTED, /is not a dedupfs mount/);
});

t.test('a store has one daemon, a mount point one store', async (t) => {
  const store = await MountedStore.mounted(t);
  const other = join(store.directory, 'other');
  mkdirSync(other);
  const log = ['--log', logOf(store)];
  const locked = await dedupfs(['mount', store.store, other, ...log]);
  const why = new RegExp(`mounted at ${store.mountpoint} by process ${store.daemonPid}`);
  assertOneLine(t, locked, ExitCode.LOCKED, why);
  const taken = await dedupfs(['mount', join(store.directory, 'new'), store.mountpoint, ...log]);
  assertOneLine(t, taken, ExitCode.BUSY, /already has .* mounted; unmount it with/);
  t.notOk(existsSync(join(store.directory, 'new')), 'no store was created on the way');
  await store.finish();
});

t.test('a chunk size that is not the one of the store is refused with both', async (t) => {
  const store = await MountedStore.mounted(t, '--chunk-size', '16K');
  await store.umount();
  const result = await dedupfs(mountArguments(store, '--chunk-size', '64K'));
  assertOneLine(t, result, ExitCode.STORE_CONFLICT, /16K.*64K/);
  t.notOk(isMountpoint(store.mountpoint));
  await store.mount('--chunk-size', '16K');
  await store.finish();
});

t.test('a busy mount is reported with those who hold it', async (t) => {
  const store = await MountedStore.mounted(t);
  const holder = spawn('sleep', ['60'], { cwd: store.mountpoint });
  t.teardown(() => holder.kill());
  const busy = await dedupfs(['umount', store.mountpoint]);
  const who = new RegExp(`process ${holder.pid} \\(sleep 60; cwd\\)`);
  assertOneLine(t, busy, ExitCode.BUSY, who);
  t.ok(isMountpoint(store.mountpoint), 'it stays mounted');
  t.ok(isAlive(store.daemonPid), 'it stays served');
  const ended = new Promise((resolve) => holder.once('exit', resolve));
  holder.kill();
  await ended;
  await store.finish();
});

t.test('a daemon that was killed is unmounted, or mounted over', async (t) => {
  const store = await MountedStore.mounted(t);
  await store.killDaemon();
  const unmounted = await dedupfs(['umount', store.mountpoint]);
  t.equal(unmounted.code, ExitCode.OK, unmounted.stderr);
  t.match(unmounted.stdout, /had no daemon any more/);
  t.notOk(isMountpoint(store.mountpoint));

  await store.mount();
  await store.killDaemon();
  t.ok(isMountpoint(store.mountpoint), 'the dead mount is there');
  const stats = await dedupfs(['stats', store.mountpoint, '--json']);
  t.equal(stats.code, ExitCode.OK, 'its store can be read');
  await store.mount();
  await store.finish();
  t.notOk(isMountpoint(store.mountpoint), 'the dead mount is not below');
});

t.test('a live mount whose store does not tell who serves it is never mounted over', async (t) => {
  const store = await MountedStore.mounted(t);
  const away = `${store.store}.away`;
  const assertStays = async (why: string): Promise<void> => {
    const over = await dedupfs(['mount', join(store.directory, 'other'), store.mountpoint]);
    const remedy = `whether a daemon serves it cannot be told; .*dedupfs umount ${store.mountpoint}`;
    assertOneLine(t, over, ExitCode.BUSY, new RegExp(remedy));
    t.ok(isMountpoint(store.mountpoint) && isAlive(store.daemonPid), `served: ${why}`);
  };
  renameSync(store.store, away);
  await assertStays('its store is away');
  mkdirSync(store.store);
  await assertStays('an empty directory is in its place');
  mkdirSync(join(store.store, 'lock'));
  await assertStays('what lies there is no lock');
  rmSync(store.store, { recursive: true });
  renameSync(away, store.store);
  writeFileSync(store.path('file'), 'content');
  writeFileSync(join(store.store, 'lock'), '{"pid"');
  await assertStays('its lock names nobody');
  const { code, stdout } = await dedupfs(['umount', store.mountpoint]);
  t.equal(code, ExitCode.OK, 'whoever asks for it gets it');
  t.match(stdout, /whether a daemon still commits is not known\n$/);
  await store.daemonEnded();
  await store.mount();
  t.equal(readFileSync(store.path('file'), 'utf8'), 'content');
  await store.killDaemon();
  renameSync(store.store, away);
  t.match(
    (await dedupfs(['umount', store.mountpoint])).stdout,
    /is not known\n$/,
    'dead, and gone',
  );
  t.notOk(isMountpoint(store.mountpoint));
  renameSync(away, store.store);
  await store.mount();
  await store.finish();
});

t.test('stats, fsck and gc answer for a mounted store and for one that is not', async (t) => {
  const store = await MountedStore.mounted(t);
  writeFileSync(store.path('file'), Buffer.alloc(100_000, 'text'));
  for (const place of [store.mountpoint, store.store]) {
    const { stdout } = await dedupfs(['stats', place, '--json']);
    const statistics = JSON.parse(stdout) as StoreStatistics & { daemonPid: number };
    t.match(statistics, { files: 1, logicalBytes: 100_000, daemonPid: store.daemonPid });
    const plan = JSON.parse((await dedupfs(['gc', place, '--dry-run', '--json'])).stdout) as GcPlan;
    t.ok(Array.isArray(plan.arenas));
    const gc = JSON.parse((await dedupfs(['gc', place, '--json'])).stdout) as GcReport;
    t.match(gc, { bytesFreed: Number, arenasRemoved: Number });
    const fsck = await dedupfs(['fsck', place, '--quick', '--json']);
    t.match(JSON.parse(fsck.stdout) as FsckReport, { level: 'quick', findings: [] });
  }
  t.match(
    (await dedupfs(['fsck', store.store])).stdout,
    /^store is mounted: checked by its daemon/,
  );
  t.match(
    (await dedupfs(['stats', store.mountpoint])).stdout,
    /^store +\S+ \(mounted, process \d+\)/,
  );
  await store.umount();
  const { stdout } = await dedupfs(['stats', store.store, '--explain']);
  t.match(stdout, /\(not mounted\)\n(.*\n)*.*unique after compression/);
  t.match(JSON.parse((await dedupfs(['stats', store.store, '--json'])).stdout), {
    files: 1,
    daemonPid: null,
  });
  t.match((await dedupfs(['fsck', store.store])).stdout, /^clean \(full check/);
  t.match((await dedupfs(['gc', store.store])).stdout, /^(nothing to do|removed)/);
  await store.finish();
});

t.test('a mount in front ends at SIGTERM, and its data is there afterwards', async (t) => {
  const store = MountedStore.create(t);
  const args = [CLI, 'mount', '-f', store.store, store.mountpoint];
  const daemon = spawn(...plainly(process.execPath, args), { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => daemon.kill('SIGKILL'));
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  let log = '';
  daemon.stderr.on('data', (piece: Buffer) => (log += piece.toString()));
  await new Promise((resolve) => daemon.stdout.once('data', resolve));
  t.ok(isMountpoint(store.mountpoint), 'mounted when it says so');
  await store.mustRunScript('echo hello > file', { cwd: store.mountpoint });
  daemon.kill('SIGTERM');
  t.equal(await ended, ExitCode.OK);
  t.notOk(isMountpoint(store.mountpoint));
  for (const line of log.trim().split('\n')) t.match(JSON.parse(line), { pid: daemon.pid });
  await store.mount();
  t.equal(readFileSync(store.path('file'), 'utf8'), 'hello\n');
  await store.finish();
});

t.test('SIGTERM while the mount is in use detaches it, and a second one ends it', async (t) => {
  const store = await MountedStore.mounted(t);
  const pid = store.daemonPid;
  const holder = spawn('sleep', ['60'], { cwd: store.mountpoint });
  t.teardown(() => holder.kill());
  process.kill(pid, 'SIGTERM');
  while (isMountpoint(store.mountpoint)) await delay(20);
  t.ok(isAlive(pid), 'its last user is served');
  process.kill(pid, 'SIGTERM');
  while (isAlive(pid)) await delay(20);
  const fsck = await dedupfs(['fsck', store.store]);
  t.equal(fsck.code, ExitCode.OK, fsck.stderr);
});

t.test('what the daemon finds wrong is told by mount, and nothing stays mounted', async (t) => {
  const store = await MountedStore.mounted(t);
  await store.umount();
  const formatFile = join(store.store, 'FORMAT');
  const format = readFileSync(formatFile, 'utf8');
  writeFileSync(formatFile, format.replace(/("format": *)\d+/, '$199'));
  const result = await dedupfs(mountArguments(store));
  assertOneLine(t, result, ExitCode.WRONG_FORMAT, /99/);
  t.notOk(isMountpoint(store.mountpoint));
  writeFileSync(formatFile, format);
  await store.finish();
});
