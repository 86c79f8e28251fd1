// Goal: without meta.db and FORMAT a store comes back as of its last metadata checkpoint (G7), also
// when gc has moved everything since, when the daemon was killed at any moment, in the middle of a
// checkpoint too, and when the rebuild itself is killed. Method: real mounts, kill -9, rm.
//
// Run all of it: DEDUPFS_FULL=1 node dist/test/acceptance/rebuild.test.js      (20 rounds of kills)
// DEDUPFS_SEED replaces the seed.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ExitCode } from '../../lib/errors.ts';
import { requirePrograms, requireRoot } from '../support/commands.ts';
import { CLI, dedupfs } from '../support/commands-dedupfs.ts';
import { assertClean } from '../support/fsck.ts';
import { MountedStore, isReferenceRun } from '../support/mounted-store.ts';
import { printedSeed, Random } from '../support/random.ts';
import { scaled } from '../support/sizes.ts';
import { makeTreeOfEveryType } from '../support/trees-every-type.ts';
import { describeTree, differencesOf } from '../support/trees.ts';

const ROUNDS = scaled({ short: 4, full: 20 });
const LOAD_MS_MAX = 3000;
const REBUILD_MS_MAX = 800;

/** Files with a number each: those of one moment are those up to a number. */
const WRITER = `
  for ((n = 0; ; n++)); do
    { printf '%s ' $n; head -c 3000 /dev/urandom | base64; } > new || exit 0
    mv new $n || exit 0
  done`;

t.setTimeout(300_000 + ROUNDS * 60_000);
requireRoot();
requirePrograms({ rsync: 'rsync', setfattr: 'attr', perl: 'perl' });
const seed = printedSeed(t);
const random = new Random(seed);

if (isReferenceRun) t.pass('a plain directory has no metastore');
else {
  await t.test('a tree of every file type, gc after the checkpoint, kill -9, rm', everyType);
  await t.test('kills at random moments under checkpoints', killedCheckpoints);
}

async function everyType(t: Test): Promise<void> {
  const store = await MountedStore.mounted(t);
  const source = join(store.directory, 'source');
  await makeTreeOfEveryType(source, seed);
  // What is deleted before the checkpoint makes gc move the rest after it; it is too little for the gc
  // that runs by itself, which may come at any time.
  const script =
    'head -c 2M /dev/urandom > dead; head -c 16M /dev/urandom > kept; sync dead; rm dead';
  await store.mustRunScript(script, { cwd: store.mountpoint });
  await store.mustRun('rsync', ['-aHAX', '--numeric-ids', `${source}/`, store.path('tree/')]);
  await store.mustRun('sync', ['-f', store.mountpoint]);
  const want = await describeTree(store.path('tree'), { onTimeout: () => store.abort() });
  t.equal((await dedupfs(['checkpoint', store.mountpoint])).code, ExitCode.OK);
  const arenas = arenasOf(store);
  await store.mustRun('cp', ['-a', source, store.path('later')]);
  await store.mustRun('sync', ['-f', store.mountpoint]);
  t.equal((await dedupfs(['gc', '--threshold', '1', store.mountpoint])).code, ExitCode.OK);
  t.notOk(
    arenasOf(store).some((name) => arenas.includes(name)),
    'every arena that the checkpoint names is gone',
  );
  await loseMetastore(store);
  const log = join(store.directory, 'refused.log');
  const refused = await dedupfs(['mount', store.store, store.mountpoint, '--log', log]);
  t.equal(refused.code, ExitCode.STORE_INCONSISTENT);
  t.match(refused.stderr, `dedupfs fsck --rebuild ${store.store}`);

  const rebuilt = await dedupfs(['fsck', '--rebuild', store.store]);
  t.equal(rebuilt.code, ExitCode.REPAIRED, rebuilt.stderr);
  t.match(rebuilt.stdout, /restored FORMAT/);
  t.match(rebuilt.stdout, /the tree is that of \d{4}-\d\d-\d\d/);
  t.match(rebuilt.stdout, /clean \(full check/);
  const again = await dedupfs(['fsck', '--rebuild', store.store]);
  t.equal(again.code, ExitCode.FAILED);
  t.match(again.stderr, /is whole, so it is not replaced/);

  await store.mount();
  const found = await describeTree(store.path('tree'), { onTimeout: () => store.abort() });
  t.strictSame(differencesOf(want, found), [], 'the tree as of the checkpoint');
  t.strictSame(readdirSync(store.store).includes('meta.db.rebuild'), false);
  await store.mustRun('cp', ['-a', source, store.path('after')]);
  await store.finish();
}

async function killedCheckpoints(t: Test): Promise<void> {
  const store = await MountedStore.mounted(t, '--checkpoint-minutes', '0.01');
  // A kill before the first one is another story.
  t.equal((await dedupfs(['checkpoint', store.mountpoint])).code, ExitCode.OK);
  for (let round = 0; round < ROUNDS; round += 1) {
    const folder = store.path(`round ${round}`);
    await store.mustRun('mkdir', [folder]);
    await store.mustRun('sync', [folder]);
    const writer = store.run('bash', ['-c', WRITER], { cwd: folder });
    const finished = checkpointUntilDead(store);
    await delay(random.below(LOAD_MS_MAX));
    await loseMetastore(store);
    await writer;
    const atLeast = await finished;
    await rebuildUnderKills(store);
    const { code, stdout } = await dedupfs(['stats', store.store, '--json']);
    t.equal(code, ExitCode.OK);
    const { batch } = (JSON.parse(stdout) as { checkpoint: { batch: number } }).checkpoint;
    t.ok(batch >= atLeast, `round ${round}: checkpoint of commit ${batch}, at least ${atLeast}`);
    await assertClean(t, store.store);
    await store.mount('--checkpoint-minutes', '0.01');
    await assertNumbered(t, store, folder);
  }
  await store.finish();
}

/** Takes checkpoints, one after the other. @returns the commit of the last one that was reported */
async function checkpointUntilDead(store: MountedStore): Promise<number> {
  for (let last = 0; ;) {
    const full = random.oneIn(2) ? ['--full'] : [];
    const result = await dedupfs(['checkpoint', '--json', ...full, store.mountpoint]);
    if (result.code !== ExitCode.OK) return last;
    last = (JSON.parse(result.stdout) as { batch: number }).batch;
  }
}

async function loseMetastore(store: MountedStore): Promise<void> {
  await store.killDaemon();
  await store.clearDeadMount();
  for (const name of ['meta.db', 'meta.db-wal', 'meta.db-shm', 'FORMAT']) {
    rmSync(join(store.store, name), { force: true });
  }
}

/** Rebuilds, killed at random moments at first. */
async function rebuildUnderKills(store: MountedStore): Promise<void> {
  for (let kills = random.below(3); kills > 0; kills -= 1) {
    const child = spawn(process.execPath, [CLI, 'fsck', '--rebuild', store.store], {
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await delay(random.below(REBUILD_MS_MAX));
    child.kill('SIGKILL');
    await ended;
  }
  const { code, stderr } = await dedupfs(['fsck', '--rebuild', store.store]);
  // One of the killed ones may have been done but for the check that follows.
  const isDone = code === ExitCode.REPAIRED || /is whole, so it is not replaced/.test(stderr);
  if (!isDone) throw new Error(`rebuild exited with ${code}: ${stderr}`);
}

async function assertNumbered(t: Test, store: MountedStore, folder: string): Promise<void> {
  const script = `
    cd "$FOLDER" 2> /dev/null || exit 0
    for name in *; do
      case $name in new | '*') continue ;; esac
      read -r number rest < $name
      test "$number" = $name && test $(wc -c < $name) -gt 4000 || echo "$name is wrong"
    done
    count=$(ls | grep -cv new || true)
    for ((n = 0; n < count; n++)); do test -e $n || echo "$n of $count is missing"; done
    echo $count files`;
  const { stdout } = await store.mustRunScript(script, { env: { FOLDER: folder } });
  t.notMatch(stdout, /wrong|missing/);
  t.comment(stdout.trim());
}

function arenasOf(store: MountedStore): string[] {
  const folder = join(store.store, 'arenas');
  return existsSync(folder) ? readdirSync(folder).filter((name) => /^a\d+\.mdb$/.test(name)) : [];
}
