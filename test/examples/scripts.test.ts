// Goal: the scripts of examples/ do what they say on a real mount: dated copies that are complete, the oldest
// deleted, an interrupted one gone on with; nothing kept of a program that failed; nothing written below a mount
// point that has no mount. Method: run them, and rsnapshot's way with hard links beside them.

import { appendFileSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { mustRun, mustRunScript, requirePrograms, run } from '../support/commands.ts';
import { PROJECT } from '../support/commands-dedupfs.ts';
import { MountedStore } from '../support/mounted-store.ts';

t.setTimeout(120_000);
requirePrograms({ rsync: 'rsync', findmnt: 'util-linux', flock: 'util-linux' });

const rotatingCopies = join(PROJECT, 'examples/rotating-copies');
const keepOutput = join(PROJECT, 'examples/keep-output');

/** Names are dates of seconds. */
const aSecond = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1000));

await t.test('the scripts on a mount', async (t) => {
  const store = await MountedStore.mounted(t);
  const source = join(store.directory, 'source');
  mkdirSync(join(source, 'below'), { recursive: true });
  for (let index = 0; index < 20; index += 1) {
    writeFileSync(join(source, 'below', `file ${index}`), `content ${index}\n`.repeat(index * 100));
  }
  const folder = (name: string): string => join(store.mountpoint, name);
  const names = async (name: string): Promise<string[]> =>
    (await mustRun('ls', ['-A', folder(name)])).stdout.trim().split('\n');

  await t.test('rotating-copies', async (t) => {
    await mustRun('mkdir', [folder('home')]);
    const made: string[] = [];
    for (let generation = 0; generation < 3; generation += 1) {
      appendFileSync(join(source, 'below', 'file 3'), `generation ${generation}\n`);
      if (generation > 0) await aSecond();
      made.push((await mustRun(rotatingCopies, [source, folder('home'), '2'])).stdout.trim());
    }
    t.strictSame(
      await names('home'),
      made.slice(1).map((path) => path.slice(folder('home').length + 1)),
      'the newest two',
    );
    const last = made[2] ?? '';
    await mustRun('diff', ['-r', source, last]);
    const links = await mustRun('find', [last, '-type', 'f', '-links', '+1']);
    t.equal(links.stdout, '', 'no hard links');

    await mustRunScript(
      `mkdir '${folder('home')}/.incomplete' && echo x > '${folder('home')}/.incomplete/x'`,
    );
    await aSecond();
    const next = (await mustRun(rotatingCopies, [source, folder('home'), '2'])).stdout.trim();
    await mustRun('diff', ['-r', source, next]);
    t.notOk((await names('home')).includes('.incomplete'), 'an interrupted copy is gone on with');
  });

  await t.test('keep-output', async (t) => {
    await mustRun('mkdir', [folder('db')]);
    const kept: string[] = [];
    for (const text of ['one', 'two', 'three']) {
      if (kept.length > 0) await aSecond();
      kept.push(
        (await mustRun(keepOutput, [folder('db'), 'shop', '2', 'echo', text])).stdout.trim(),
      );
    }
    const failed = await run(keepOutput, [folder('db'), 'shop', '2', 'sh', '-c', 'echo x; exit 3']);
    t.equal(failed.code, 1);
    t.match(failed.stderr, /keep-output: sh failed; nothing of it was kept\n$/);
    t.equal((await names('db')).length, 2, 'the newest two, and nothing of what failed');
    t.equal((await mustRun('cat', [kept[2] ?? ''])).stdout, 'three\n');
  });

  await t.test('trees of hard links', async (t) => {
    const link = `--link-dest=${folder('links/1')}`;
    await mustRun('mkdir', ['-p', folder('links')]);
    await mustRun('rsync', ['-aHAX', `${source}/`, `${folder('links/1')}/`]);
    await mustRun('rsync', ['-aHAX', link, `${source}/`, `${folder('links/2')}/`]);
    const { stdout } = await mustRun('stat', ['-c', '%h', folder('links/2/below/file 5')]);
    t.equal(stdout, '2\n');
    await mustRun('rm', ['-r', folder('links/1')]);
    await mustRun('diff', ['-r', source, folder('links/2')]);
  });

  await store.umount();
  for (const [script, ...args] of [
    [rotatingCopies, source, store.mountpoint],
    [keepOutput, store.mountpoint, 'shop', '2', 'echo', 'x'],
  ] as const) {
    const refused = await run(script, args);
    t.equal(refused.code, 1);
    t.match(refused.stderr, /is no folder on a dedupfs mount; mount it/);
  }
  t.strictSame(readdirSync(store.mountpoint), [], 'nothing lies below the mount point');
  t.ok(statSync(store.store).isDirectory());
  await store.finish();
});
