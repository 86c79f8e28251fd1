// Goal: a mount that ends in another way than by umount or SIGKILL loses nothing that was answered,
// leaves no process, and the next mount needs no repair (G1). Method: files are written without any
// fsync, the mount ends, and is mounted again. The long version is the campaign `kill`.

import t, { type Test } from 'tap';
import { ExitCode } from '../../lib/errors.ts';
import { failureOf, requireRoot } from '../support/commands.ts';
import { dedupfs, supportScript } from '../support/commands-dedupfs.ts';
import {
  abortConnection,
  forceUmount,
  killWorkerThread,
  lazyUmount,
  startWriter,
  writtenLines,
} from '../support/endings.ts';
import { MountedStore, isMountpoint } from '../support/mounted-store.ts';

t.setTimeout(600_000);
requireRoot();

/** Answered, and not yet durable: the commit of the background comes 4 s later. */
async function writeFiles(store: MountedStore): Promise<void> {
  await store.mustRunScript('mkdir new; seq 100000 >new/numbers; cp new/numbers new/copy', {
    cwd: store.mountpoint,
  });
}

async function assertFiles(t: Test, store: MountedStore): Promise<void> {
  const script = 'cmp <(seq 100000) new/numbers && cmp new/numbers new/copy';
  const { code } = await store.run('bash', ['-c', script], { cwd: store.mountpoint });
  t.equal(code, 0, 'everything that was answered is there');
}

/** Waits until the daemon has ended; mounts, looks and checks. */
async function assertNothingLost(t: Test, store: MountedStore): Promise<void> {
  await store.daemonEnded();
  if (isMountpoint(store.mountpoint)) await store.clearDeadMount();
  t.match(store.endOfLog(), /store closed/, 'the daemon closed the store');
  await store.mount();
  await assertFiles(t, store);
  await store.finish();
}

t.test('the FUSE connection is aborted', async (t) => {
  const store = await MountedStore.mounted(t);
  await writeFiles(store);
  await abortConnection(store);
  await assertNothingLost(t, store);
});

t.test('umount -f, idle and with an open file', async (t) => {
  for (const isOpen of [false, true]) {
    const store = await MountedStore.mounted(t);
    await writeFiles(store);
    const writer = isOpen ? await startWriter(store, 'open') : undefined;
    await forceUmount(store);
    if (writer !== undefined) {
      await t.rejects(
        writer.stop(),
        /the writer failed/,
        'the writer is told that its file is gone',
      );
    }
    await assertNothingLost(t, store);
  }
});

t.test('umount -l with open files that are written on', async (t) => {
  const store = await MountedStore.mounted(t);
  await writeFiles(store);
  const writers = await Promise.all(['a', 'b'].map(async (name) => startWriter(store, name)));
  await lazyUmount(store);
  t.notOk(isMountpoint(store.mountpoint));
  const lines: number[] = [];
  for (const writer of writers) lines.push(await writer.stop());
  await store.daemonEnded();
  await store.mount();
  for (const [index, name] of ['a', 'b'].entries()) {
    const { stdout } = await store.mustRun('cat', [store.path(name)]);
    t.equal(stdout, writtenLines(lines[index] ?? 0), 'all that was written after the umount');
  }
  await assertFiles(t, store);
  await store.finish();
});

t.test('SIGTERM with a program working in the mount', async (t) => {
  const store = await MountedStore.mounted(t);
  await writeFiles(store);
  const writer = await startWriter(store, 'open');
  process.kill(store.daemonPid, 'SIGTERM');
  const lines = await writer.stop();
  await store.daemonEnded();
  await store.mount();
  const { stdout } = await store.mustRun('cat', [store.path('open')]);
  t.equal(stdout, writtenLines(lines), 'the program could finish');
  await assertFiles(t, store);
  await store.finish();
});

t.test('a thread of the daemon dies: read-only, loudly, and what was durable stays', async (t) => {
  const store = MountedStore.create(t);
  store.daemonModule = supportScript('daemon-worker-death');
  await store.mount();
  await writeFiles(store);
  await store.mustRun('sync', [store.mountpoint]);
  killWorkerThread(store);
  // What is written now is lost; how soon that is noticed depends on when the thread is needed.
  const script =
    'for i in $(seq 500); do seq 100000 >refused-$i || exit 0; sleep 0.01; done; exit 9';
  const refused = await store.run('bash', ['-c', script], { cwd: store.mountpoint });
  t.equal(refused.code, 0, 'writers are refused');
  t.match(refused.stderr, /Read-only file system|Input\/output error/);
  await assertFiles(t, store);
  const { stdout } = await dedupfs(['stats', store.mountpoint, '--json']);
  t.match((JSON.parse(stdout) as { readOnlyReason: unknown }).readOnlyReason, /worker/);
  const umount = await dedupfs(['umount', store.mountpoint]);
  t.equal(umount.code, ExitCode.FAILED, failureOf(umount));
  t.match(umount.stderr, /worker/, 'umount says why');
  await store.daemonEnded();
  await store.mount();
  await assertFiles(t, store);
  await store.finish();
});
