// Goal: rsync, tar and cp -a bring a tree with everything POSIX has into the mount and find it
// again, also after a remount. Two independent comparisons: rsync's own, by contents, and ours.
//
// Run: node dist/test/acceptance/round-trip.test.js      (DEDUPFS_SEED, see support/random.ts)

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { requirePrograms, requireRoot } from '../support/commands.ts';
import { MountedStore, isReferenceRun } from '../support/mounted-store.ts';
import { printedSeed } from '../support/random.ts';
import { NOT_IN_TAR, makeTreeOfEveryType } from '../support/trees-every-type.ts';
import { describeTree, differencesOf, type Tree } from '../support/trees.ts';

t.setTimeout(900_000);
requireRoot();
requirePrograms({ rsync: 'rsync', tar: 'tar', setfattr: 'attr', getfattr: 'attr', perl: 'perl' });

interface Copier {
  readonly name: string;
  /** Run by bash with SOURCE and TARGET set. */
  readonly script: string;
  /** Paths that the program cannot copy. */
  readonly without: readonly string[];
}

const COPIERS: readonly Copier[] = [
  { name: 'rsync', script: 'rsync -aHAX --numeric-ids "$SOURCE/" "$TARGET/"', without: [] },
  {
    name: 'tar',
    script: `tar -C "$SOURCE" --format=posix --xattrs --xattrs-include='*' --sparse --numeric-owner \
        --exclude=./${NOT_IN_TAR} -cf - . |
      tar -C "$TARGET" --xattrs --xattrs-include='*' --numeric-owner -xpf -`,
    without: [NOT_IN_TAR],
  },
  { name: 'cp', script: 'cp -a "$SOURCE/." "$TARGET/"', without: [] },
];

const seed = printedSeed(t);
const store = await MountedStore.mounted(t);
const source = join(store.directory, 'source');
await makeTreeOfEveryType(source, seed);
const original = await describeTree(source);

for (const copier of COPIERS) {
  await t.test(`${copier.name} copies a tree of every file type into the mount`, async (t) => {
    const environment = { SOURCE: source, TARGET: store.path(copier.name) };
    await store.mustRun('mkdir', [environment.TARGET]);
    await store.mustRunScript(copier.script, { env: environment });
    await assertEqual(t, copier, original);
  });
}

await t.test('after a remount everything is still equal', async (t) => {
  await store.remount();
  for (const copier of COPIERS) await assertEqual(t, copier, original);
});

await t.test('holes stay holes: the copies take far less room than their size', async (t) => {
  const listing = await store.mustRunScript('stat -c "%n %s %b %B" -- */sparse/*', {
    cwd: store.mountpoint,
  });
  for (const line of listing.stdout.trim().split('\n')) {
    const [name = '', bytes, blocks, blockBytes] = line.split(' ');
    const allocated = Number(blocks) * Number(blockBytes);
    // The host keeps the zeros that rsync writes; dedupfs must find them.
    if (isReferenceRun && name.startsWith('rsync/')) continue;
    t.ok(allocated < Number(bytes) / 2, `${name} takes ${allocated} bytes`);
  }
});

await t.test('the tree is copied out again with all it had', async (t) => {
  const environment = { SOURCE: store.path('rsync'), TARGET: join(store.directory, 'restored') };
  await store.mustRunScript('mkdir "$TARGET"; rsync -aHAX --numeric-ids "$SOURCE/" "$TARGET/"', {
    env: environment,
  });
  t.strictSame(differencesOf(original, await describeTree(environment.TARGET)), []);
});

await t.test('the store is clean', async () => store.finish());

async function assertEqual(t: Test, copier: Copier, original: Tree): Promise<void> {
  const target = store.path(copier.name);
  const excludes = copier.without.map((path) => `--exclude=/${path}`);
  const check = await store.mustRun('rsync', [
    '-aHAXnci',
    '--numeric-ids',
    '--delete',
    ...excludes,
    `${source}/`,
    `${target}/`,
  ]);
  t.equal(check.stdout, '', `rsync finds nothing to do for the copy by ${copier.name}`);
  const copy = await describeTree(target, { onTimeout: () => store.abort() });
  const differences = differencesOf(original, copy, { without: copier.without });
  t.strictSame(differences, [], `the copy by ${copier.name} is equal in every field`);
}
