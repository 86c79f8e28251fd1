// Goal: a disk that fails costs no acknowledged byte. A failed write or sync of anything of the store
// makes the mount read-only, loudly: EIO for who waits for the failing commit, EROFS for every later
// change, the reason in the log and in `stats`; no later fsync succeeds, though Linux reports a failed
// sync once only. What was acknowledged before is there after the next mount, and fsck finds nothing.
// What cannot be read is an error of that file alone.
// Method: a store on the lossy disk of test/support, which fails the n-th call that matches a rule.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { eventually, requireRoot } from '../support/commands.ts';
import { dedupfs } from '../support/commands-dedupfs.ts';
import type { FaultRule } from '../support/lossy-disk-faults.ts';
import { LossyDisk } from '../support/lossy-disk.ts';
import { MountedStore } from '../support/mounted-store.ts';

t.setTimeout(1_800_000);
requireRoot();

const MIB = 1024 * 1024;
const DISK_BYTES = 512 * MIB;
const FATAL_LEVEL = 60;

interface Failing {
  readonly store: MountedStore;
  readonly disk: LossyDisk;
  readonly log: string;
}

/** A mounted store on a lossy disk. */
async function setUp(t: Test): Promise<Failing> {
  const directory = mkdtempSync(join(tmpdir(), 'dedupfs-bad-disk-'));
  const mountpoint = join(directory, 'disk');
  mkdirSync(mountpoint);
  const disk = await LossyDisk.start({
    folder: join(directory, 'folder'),
    mountpoint,
    seed: 1,
    bytesMax: DISK_BYTES,
    syncMsMax: 0,
  });
  t.teardown(async () => {
    await disk.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const store = MountedStore.create(t, join(mountpoint, 'store'));
  await store.mount();
  return { store, disk, log: join(store.directory, 'daemon.log') };
}

/** Writes a file of random bytes and syncs it. @returns what the shell says */
async function write(store: MountedStore, name: string, mebibytes: number) {
  const output = `of=${store.path(name)}`;
  const args = ['if=/dev/urandom', output, 'bs=1M', `count=${mebibytes}`, 'conv=fsync'];
  return store.run('dd', args);
}

async function checksum(store: MountedStore, name: string): Promise<string> {
  const { stdout } = await store.mustRun('sha256sum', [store.path(name)]);
  return stdout.split(' ')[0] ?? '';
}

async function readOnlyReason(store: MountedStore): Promise<unknown> {
  const { stdout } = await dedupfs(['stats', store.mountpoint, '--json']);
  return (JSON.parse(stdout) as { readOnlyReason: unknown }).readOnlyReason;
}

function fatalLines(log: string): string[] {
  const lines = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
  return lines.filter((line) => line.includes(`"level":${FATAL_LEVEL}`));
}

const failures: Record<string, FaultRule> = {
  'a write to the WAL': { operation: 'write', path: 'meta\\.db-wal$', errno: 'EIO' },
  'a sync of the WAL': { operation: 'sync', path: 'meta\\.db-wal$', errno: 'EIO' },
  'a sync of an arena': { operation: 'sync', path: '\\.mdb$', errno: 'EIO' },
  'the second sync of an arena': { operation: 'sync', path: '\\.mdb$', errno: 'EIO', after: 1 },
  'a write to an arena': { operation: 'write', path: '\\.mdb$', errno: 'EIO' },
  'everything from now on': { operation: 'any', errno: 'EIO', times: 'forever' },
};

for (const [what, rule] of Object.entries(failures)) {
  await t.test(`${what} fails`, async (t) => {
    const { store, disk, log } = await setUp(t);
    t.equal((await write(store, 'kept', 3)).code, 0);
    const kept = await checksum(store, 'kept');
    await disk.fail(rule);
    const lost = await write(store, 'lost', 3);
    t.match(lost.stderr, /Input\/output error|Read-only file system/, 'the fsync is told');
    t.ok(
      (await disk.faults()).some(({ failed }) => failed > 0),
      'the disk has failed',
    );
    await disk.heal();
    await assertReadOnly(t, { store, disk, log });
    t.equal(await checksum(store, 'kept'), kept, 'what is durable can be read');
    const umounted = await dedupfs(['umount', store.mountpoint]);
    t.not(umounted.code, 0, 'umount says that changes are lost');
    await remount(store);
    t.equal(await checksum(store, 'kept'), kept, 'what was acknowledged is there');
    t.equal((await write(store, 'later', 1)).code, 0, 'the next mount takes changes');
    await store.finish();
  });
}

async function assertReadOnly(t: Test, { store, log }: Failing): Promise<void> {
  t.match(await readOnlyReason(store), /I\/O|Input\/output|EIO|disk/i, 'stats tells why');
  t.ok(fatalLines(log).length > 0, 'the log has it as fatal');
  const sync = await store.run('sync', [store.path('kept')]);
  t.not(sync.code, 0, 'no later fsync succeeds');
  for (const [program, ...args] of [
    ['touch', store.path('new')],
    ['rm', store.path('kept')],
    ['mkdir', store.path('folder')],
  ]) {
    const { stderr } = await store.run(program ?? '', args);
    t.match(stderr, /Read-only file system/, `${program} is refused`);
  }
}

/** After an unmount that ended with an error. */
async function remount(store: MountedStore): Promise<void> {
  await store.mount();
}

await t.test('a sync of the main file fails in a checkpoint', async (t) => {
  const { store, disk, log } = await setUp(t);
  t.equal((await write(store, 'kept', 1)).code, 0);
  await disk.fail({ operation: 'sync', path: 'meta\\.db$', errno: 'EIO' });
  // So much that the WAL is moved when the store is idle again.
  const names = Array.from({ length: 6000 }, (_, index) => `${index}`.padStart(200, 'n'));
  await store.mustRun('xargs', ['mkdir'], { cwd: store.mountpoint, input: names.join('\n') });
  await store.mustRun('sync', [store.mountpoint]);
  await eventually('the mount is read-only', async () => (await readOnlyReason(store)) !== null, {
    timeoutMs: 60_000,
    intervalMs: 200,
  });
  await disk.heal();
  await assertReadOnly(t, { store, disk, log });
  await dedupfs(['umount', store.mountpoint]);
  t.ok(walBytes(store) > MIB, 'the WAL was left as it is, for the next mount to read');
  await store.mount();
  const { stdout } = await store.mustRun('ls', [store.mountpoint]);
  t.equal(stdout.trim().split('\n').length, names.length + 1, 'every acknowledged name is there');
  await store.finish();
});

await t.test('what cannot be read is an error of that file alone', async (t) => {
  const { store, disk } = await setUp(t);
  for (const name of ['bad', 'good']) t.equal((await write(store, name, 2)).code, 0);
  const sums = { bad: await checksum(store, 'bad'), good: await checksum(store, 'good') };
  await store.remount();
  // Out of the kernel's memory, so that it must be read.
  const arena = `if=${join(store.store, 'arenas/a000001.mdb')}`;
  await store.mustRun('dd', [arena, 'iflag=nocache', 'count=0']);
  await disk.fail({ operation: 'read', path: '\\.mdb$', errno: 'EIO', after: 4, times: 'forever' });
  const read = await store.run('cat', [store.path('bad'), store.path('good')]);
  t.match(read.stderr, /Input\/output error/);
  t.ok(
    (await disk.faults()).some(({ failed }) => failed > 0),
    'the disk has failed',
  );
  t.equal(await readOnlyReason(store), null, 'the mount takes changes still');
  t.equal((await write(store, 'new', 1)).code, 0);
  await disk.heal();
  for (const [name, sum] of Object.entries(sums)) t.equal(await checksum(store, name), sum);
  await store.finish();
});

function walBytes(store: MountedStore): number {
  return statSync(join(store.store, 'meta.db-wal'), { throwIfNoEntry: false })?.size ?? 0;
}
