// Goal: umount tells the truth about the final commit, whatever happens to the daemon, to the socket
// or to other mounts at the same moment. Method: real daemons that are stopped, cut off from their
// disk or killed at that moment; then many mounts at once for a while.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';

import { ExitCode } from '../../lib/errors.ts';
import { eventually, mustRun, requireRoot, run, type RunResult } from '../support/commands.ts';
import { dedupfs } from '../support/commands-dedupfs.ts';
import { isAlive, isMountpoint, MountedStore } from '../support/mounted-store.ts';
import { randomBytesOf } from '../support/random.ts';

t.setTimeout(180_000);
requireRoot();

/** Long enough for an umount to go wrong, which takes it 200 ms when nothing else runs. */
const STOPPED_MS = 1000;
const STORM_MS = 15_000;
const STORM_STORES = 3;
/** How often, and how long apart, what a storm has mounted is looked for at its end. */
const STORM_LOOKS = 10;
const STORM_LOOK_MS = 50;
const LOST = /final commit failed: changes after commit \d+ are lost, because [^\n]+: [^\n]+\n$/;

function assertFails(t: Test, result: RunResult, message: RegExp): void {
  t.equal(result.code, ExitCode.FAILED, `exit code; it says ${result.stderr}`);
  t.match(result.stderr, message);
  t.match(result.stderr, /^dedupfs: \S+ is unmounted, but [^\n]+\n$/, 'one line');
  t.equal(result.stdout, '', 'it does not claim success');
}

/** From now on the host refuses every pack. @returns what makes it work again */
function breakArenas({ store }: MountedStore): () => void {
  const arenas = join(store, 'arenas');
  renameSync(arenas, `${arenas}.away`);
  writeFileSync(arenas, 'not a directory');
  return () => {
    rmSync(arenas);
    renameSync(`${arenas}.away`, arenas);
  };
}

t.test('a copy of the mount in another mount namespace is named, and waited for', async (t) => {
  const store = await MountedStore.mounted(t);
  const holder = spawn('unshare', ['--mount', '--propagation', 'private', 'sleep', '4'], {
    stdio: 'ignore',
  });
  // It becomes that program when its namespace is there.
  const isThere = (): boolean => readFileSync(`/proc/${holder.pid}/comm`, 'utf8') === 'sleep\n';
  await eventually('the namespace is there', isThere, { timeoutMs: 10_000 });
  const { code, stdout, stderr } = await dedupfs(['umount', store.mountpoint]);
  t.match(
    stderr,
    new RegExp(`^process ${holder.pid} \\(sleep 4\\) has it mounted on \\S+ in a mount`),
  );
  t.strictSame({ code, stdout, stderr: '' }, unmounted(store));
  await store.mount();
  await store.finish();
});

t.test('the mount stays until the daemon knows who waits for its end', async (t) => {
  const store = await MountedStore.mounted(t);
  const pid = store.daemonPid;
  process.kill(pid, 'SIGSTOP');
  const umount = dedupfs(['umount', store.mountpoint]);
  // Unmounting first would be a race: the daemon might close without having seen the question.
  await delay(STOPPED_MS);
  t.ok(isMountpoint(store.mountpoint), 'still mounted');
  process.kill(pid, 'SIGCONT');
  const { code, stdout, stderr } = await umount;
  t.strictSame({ code, stdout, stderr }, unmounted(store));
  t.notOk(isAlive(pid));
  await store.mount();
  await store.finish();
});

t.test('without a socket, what the daemon left in the store tells how it went', async (t) => {
  const store = await MountedStore.mounted(t);
  writeFileSync(store.path('file'), 'content');
  rmSync(join(store.store, 'control.sock'));
  const { code, stdout, stderr } = await dedupfs(['umount', store.mountpoint]);
  t.strictSame({ code, stdout, stderr }, unmounted(store));
  await store.mount();
  t.equal(readFileSync(store.path('file'), 'utf8'), 'content');
  await store.finish();
});

for (const hasSocket of [true, false]) {
  const how = hasSocket ? 'over the socket' : 'without a socket';
  t.test(`changes that could not be stored are told ${how}`, async (t) => {
    const store = await MountedStore.mounted(t);
    // A directory needs no pack, so the store has no arena open yet.
    await store.mustRunScript('mkdir kept; sync .', { cwd: store.mountpoint });
    if (!hasSocket) rmSync(join(store.store, 'control.sock'));
    const repair = breakArenas(store);
    const sync = await store.run('bash', ['-c', 'echo never > lost && sync lost'], {
      cwd: store.mountpoint,
    });
    t.not(sync.code, 0, 'whoever syncs is told at once');
    const late = await store.run('touch', [store.path('late')]);
    t.match(late.stderr, /Read-only/, 'the mount takes no more changes');
    assertFails(t, await dedupfs(['umount', store.mountpoint]), LOST);
    t.notOk(isMountpoint(store.mountpoint), 'it is unmounted all the same');
    repair();
    await store.mount();
    t.strictSame(readdirSync(store.mountpoint), ['kept'], 'what was durable is there');
    await store.finish();
  });
}

t.test('a final commit on a full disk is made from the reserve', async (t) => {
  const store = MountedStore.create(t);
  mkdirSync(store.store);
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'none', store.store]);
  t.teardown(() => run('umount', ['-l', store.store]));
  await store.mount();
  await store.mustRunScript('echo durable > kept; sync .', { cwd: store.mountpoint });
  writeFileSync(store.path('file'), randomBytesOf('full', 1024 * 1024));
  await run('dd', ['if=/dev/zero', `of=${join(store.store, 'filler')}`, 'bs=64k']);
  await store.umount();
  await store.mount();
  t.strictSame(
    readdirSync(store.mountpoint).sort(),
    ['file', 'kept'],
    'what was accepted is there',
  );
  t.ok(readFileSync(store.path('file')).equals(randomBytesOf('full', 1024 * 1024)));
  rmSync(join(store.store, 'filler'));
  await store.finish();
});

t.test('a daemon that is killed while it is waited for is not taken for a success', async (t) => {
  const store = await MountedStore.mounted(t);
  const pid = store.daemonPid;
  rmSync(join(store.store, 'control.sock'));
  process.kill(pid, 'SIGSTOP');
  const umount = dedupfs(['umount', store.mountpoint]);
  await eventually('the mount is gone', () => !isMountpoint(store.mountpoint), {
    timeoutMs: 10_000,
  });
  process.kill(pid, 'SIGKILL');
  assertFails(t, await umount, new RegExp(`process ${pid} was killed`));
  await store.mount();
  await store.finish();
});

t.test('mounts that come and go at the same time do not disturb one another', async (t) => {
  const stores = Array.from({ length: STORM_STORES }, () => MountedStore.create(t));
  const storms = stores.map(({ directory }) => startStorm(t, directory));
  const untilMs = Date.now() + STORM_MS;
  const rounds = await Promise.all(stores.map(async (store) => cycleUntil(store, untilMs)));
  for (const storm of storms) t.equal(storm.exitCode, null, 'the other mounts went on until now');
  const total = rounds.reduce((sum, count) => sum + count, 0);
  t.ok(total >= STORM_STORES, `${total} rounds`);
});

function unmounted({ mountpoint }: MountedStore): object {
  return { code: ExitCode.OK, stdout: `unmounted ${mountpoint}\n`, stderr: '' };
}

/** Mounts and unmounts, with something to commit each time. @throws when one umount complains */
async function cycleUntil(store: MountedStore, untilMs: number): Promise<number> {
  let rounds = 0;
  while (Date.now() < untilMs) {
    await store.mount();
    writeFileSync(store.path('file'), `round ${rounds}`);
    await store.umount();
    rounds += 1;
  }
  return rounds;
}

/** Mounts and unmounts small file systems, a few hundred times a second. */
function startStorm(t: Test, directory: string): ChildProcess {
  const script = 'mkdir s; while mount -t tmpfs s s && umount s; do sleep 0.002; done';
  const storm = spawn('bash', ['-c', script], { cwd: directory, stdio: 'ignore' });
  t.teardown(async () => {
    const ended = new Promise((resolve) => storm.once('close', resolve));
    storm.kill('SIGKILL');
    await ended;
    // A mount(8) that it had started may still be at it.
    for (let look = 0; look < STORM_LOOKS; look += 1) {
      await run('umount', ['-l', join(directory, 's')]);
      await delay(STORM_LOOK_MS);
    }
  });
  return storm;
}
