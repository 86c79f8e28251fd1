// Goal: mount(8), fstab and umount(8) work with dedupfs as with any file system, once the helper is
// installed: without a PATH to node, never an empty store by mistake, with exit codes of mount(8), and
// users are told why they may not. Method: the real mount(8) in a mount namespace whose /sbin is ours.
//
// Run: node dist/test/acceptance/boot.test.js

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';

import { eventually, requirePrograms, requireRoot, run } from '../support/commands.ts';
import type { RunResult } from '../support/commands.ts';
import { CLI } from '../support/commands-dedupfs.ts';
import { assertClean } from '../support/fsck.ts';
import { MountNamespace } from '../support/mount-namespace.ts';
import { isAlive } from '../support/mounted-store.ts';

t.setTimeout(200_000);
requireRoot();
requirePrograms({ unshare: 'util-linux', nsenter: 'util-linux', setpriv: 'util-linux' });

/** Less than what systemd and cron leave of the environment. */
const BARE = ['-i', 'PATH=/usr/bin:/bin'];
const NOBODY = '65534';
const AS_NOBODY = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

/** Runs mount(8) with hardly any environment. */
async function mount(space: MountNamespace, ...args: readonly string[]): Promise<RunResult> {
  return space.run('env', [...BARE, 'mount', ...args]);
}

function assertOneLine(t: Test, result: RunResult, code: number, message: RegExp): void {
  t.equal(result.code, code, `exit code; it says ${result.stderr}`);
  t.match(result.stderr, /^dedupfs: [^\n]+\n$/, 'one line');
  t.match(result.stderr, message);
}

/** umount(8) does not wait for the daemon; its lock tells when it is done. */
async function storeReleased(store: string): Promise<void> {
  const isFree = async (): Promise<boolean> =>
    (await run('flock', ['-n', `${store}/lock`, 'true'])).code === 0;
  await eventually('the daemon has released the store', isFree, { timeoutMs: 30_000 });
}

t.test('a line of fstab', async (t) => {
  // A blank in both paths needs an escape in fstab.
  const space = await MountNamespace.create(t, 'dedupfs boot-');
  await space.coverSystem();
  const [store, dir] = [space.at('store'), space.at('mnt')];
  const typed = ['-t', 'fuse.dedupfs', store, dir];
  mkdirSync(dir);
  const installed = await space.dedupfs(['install-helper', '--force', store, dir]);
  t.equal(installed.code, 0, installed.stderr);
  writeFileSync(space.at('fstab'), installed.stdout.trimEnd().split('\n').at(-1) ?? '');
  const all = ['-a', '-T', space.at('fstab')];

  assertOneLine(t, await mount(space, ...all), 32, /store .* does not exist.*mount the disk/);
  t.notOk(existsSync(store), 'a store that is missing at boot is not made');
  mkdirSync(store);
  assertOneLine(t, await mount(space, ...typed), 32, /store .* is empty/);
  const faked = await mount(space, '-f', ...typed);
  t.equal(faked.code, 0, 'mount -f');
  t.equal(await space.optionsOf(dir), undefined, 'mounts nothing');
  assertOneLine(t, await mount(space, ...typed, '-o', 'frob'), 1, /unknown mount option 'frob'/);

  const created = await mount(space, ...typed, '-o', 'create,noatime');
  t.match(created, { code: 0, stdout: '', stderr: '' }, 'it says nothing');
  const plain = await space.optionsOf(dir);
  t.ok(plain?.includes('noatime'), String(plain));
  t.notOk(
    plain?.includes('nosuid') || plain?.includes('nodev'),
    'suid and dev, as mount(8) has it',
  );
  assertOneLine(t, await mount(space, ...typed), 32, /already has .* mounted; unmount it with/);
  await space.mustRunScript('seq 1000 >mnt/file; umount mnt');
  // At once: the daemon may still be at its final commit.
  const mounted = await mount(space, ...all);
  t.equal(mounted.code, 0, mounted.stderr);
  const options = await space.optionsOf(dir);
  t.ok(options?.includes('nosuid') && options.includes('nodev'), String(options));
  await space.mustRunScript('seq 1000 | cmp - mnt/file');
  const again = await mount(space, ...all);
  t.equal(again.code, 0, 'mount -a leaves alone what is mounted');

  const readOnly = await mount(space, '-T', space.at('fstab'), '-o', 'remount,ro', dir);
  t.equal(readOnly.code, 0, readOnly.stderr);
  await space.mustRunScript('if touch mnt/file; then exit 1; fi');
  t.ok((await space.optionsOf(dir))?.includes('ro'));
  const unmounted = await space.dedupfs(['umount', dir]);
  t.match(unmounted, { code: 0, stdout: `unmounted ${dir}\n` });

  const byDir = await mount(space, '-T', space.at('fstab'), dir);
  t.equal(byDir.code, 0, byDir.stderr);
  await space.mustRunScript('umount mnt');
  await storeReleased(store);
  await assertClean(t, store);
  const log = readFileSync(space.at('log', 'dedupfs', logNameOf(store)), 'utf8');
  t.match(log, /store closed/);
});

t.test('dead mounts, stacked and in use, are taken away; what lives stays', async (t) => {
  const space = await MountNamespace.create(t, 'dedupfs-dead-');
  await space.coverSystem();
  const [store, dir, other] = [space.at('store'), space.at('mnt'), space.at('other')];
  for (const folder of [dir, other]) mkdirSync(folder);
  const start = async (): Promise<number> => {
    const { stdout, code, stderr } = await space.dedupfs(['mount', store, dir]);
    t.equal(code, 0, stderr);
    return Number(/process (\d+)/.exec(stdout)?.[1]);
  };
  const live = await start();
  await space.mustRunScript('mount --bind mnt other');
  const held = await space.dedupfs(['mount', space.at('second'), other]);
  t.equal(held.code, 26, `a bind of a live mount is no dead mount: ${held.stderr}`);
  const unbound = await space.dedupfs(['umount', other]);
  t.match(unbound, { code: 0, stdout: `unmounted ${other}; the store stays mounted on ${dir}\n` });
  t.ok(isAlive(live));

  // Twice on one another, with a process in it.
  await space.mustRunScript('mount --bind mnt mnt');
  const sit = ['--', 'sh', '-c', 'cd "$0" && echo there && exec sleep 60', dir];
  const sitting = spawn('nsenter', [...space.entering, ...sit], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => sitting.kill());
  await new Promise((resolve) => sitting.stdout.once('data', resolve));
  await killOwner(store);
  t.notOk(isAlive(live));
  const cleared = await space.dedupfs(['umount', dir]);
  t.match(cleared, { code: 0, stdout: /2 times, which had no daemon any more/ });
  t.equal(await space.optionsOf(dir), undefined);

  await start();
  await killOwner(store);
  await space.mustRunScript('mount -t tmpfs above mnt');
  assertOneLine(t, await space.dedupfs(['umount', dir]), 27, /not a dedupfs mount/);
  await space.mustRunScript('umount mnt');
  await start();
  t.match(await space.dedupfs(['umount', dir]), { code: 0, stdout: `unmounted ${dir}\n` });
  t.equal(await space.optionsOf(dir), undefined, 'nothing dead is below');
  await assertClean(t, store);
});

t.test('users are told what stands in their way', async (t) => {
  const space = await MountNamespace.create(t, 'dedupfs-user-');
  await space.coverSystem();
  const [store, dir] = [space.at('home', 'store'), space.at('home', 'mnt')];
  await space.mustRunScript(
    `chmod 755 .; mkdir dev home home/mnt foreign; chown -R ${NOBODY} home
     mount -t tmpfs dev dev; mknod -m 666 dev/fuse c 10 229; mount --bind dev/fuse /dev/fuse
     touch fuse.conf fstab; mount --bind fuse.conf /etc/fuse.conf; mount --bind fstab /etc/fstab
     sed "s#:/nonexistent:#:$PWD/home:#" /etc/passwd >passwd; mount --bind passwd /etc/passwd`,
  );
  const asUser = async (...words: readonly string[]): Promise<RunResult> => {
    const [program = '', ...args] = [...AS_NOBODY, 'env', `HOME=${space.at('home')}`, ...words];
    return space.run(program, args);
  };
  const own = async (...args: readonly string[]): Promise<RunResult> =>
    asUser(process.execPath, CLI, ...args);

  const refused = await own('mount', store, dir, '-o', 'allow_other');
  assertOneLine(t, refused, 21, /'user_allow_other' in \/etc\/fuse.conf; add it as root/);
  const foreign = await own('mount', store, space.at('foreign'));
  assertOneLine(t, foreign, 21, /may not write mount point .*foreign; use a directory of your own/);
  writeFileSync(space.at('fuse.conf'), 'user_allow_other\n');
  const shared = await own('mount', store, dir, '-o', 'allow_other');
  t.equal(shared.code, 0, shared.stderr);
  await space.mustRunScript('seq 100 >home/mnt/by-root');
  await killOwner(store);
  t.match(await own('umount', dir), { code: 0, stdout: /had no daemon any more/ });

  // The line of an administrator lets users mount, with mount(8) itself.
  await space.dedupfs(['install-helper', '--force']);
  writeFileSync(space.at('fstab'), `${store} ${dir} fuse.dedupfs user,noauto 0 0\n`);
  const mounted = await asUser('mount', dir);
  t.equal(mounted.code, 0, mounted.stderr);
  const options = await space.optionsOf(dir);
  for (const option of ['nosuid', 'nodev', 'noexec', `user_id=${NOBODY}`]) {
    t.ok(options?.includes(option), `${option} in ${String(options)}`);
  }
  await killOwner(store);
  const again = await asUser('mount', dir);
  t.equal(again.code, 0, `a dead mount is replaced: ${again.stderr}`);
  const unmounted = await asUser('umount', dir);
  t.equal(unmounted.code, 0, unmounted.stderr);
  await storeReleased(store);
  await space.mustRunScript('chown -R 0:0 home');
  await assertClean(t, store);
});

/** Ends the daemon of a store as an out-of-memory killer does. */
async function killOwner(store: string): Promise<void> {
  const { pid } = JSON.parse(readFileSync(`${store}/lock`, 'utf8')) as { pid: number };
  process.kill(pid, 'SIGKILL');
  await eventually('it is dead', () => !isAlive(pid), { timeoutMs: 10_000 });
}

function logNameOf(store: string): string {
  return `${store.slice(1).replaceAll(/[^\w.]+/g, '-')}.log`;
}
