// Goal: a tree is gone through as it would be copied: hard links once, holes not read, nothing followed,
// what cannot be read named, special files counted and not opened.

import {
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { parseCompression } from '../../lib/dedup/codec.ts';
import { estimate, type EstimateReport } from '../../lib/estimate/estimate.ts';
import { TreeWalk } from '../../lib/estimate/tree-walk.ts';
import { mustRun } from '../support/commands.ts';
import { randomBytesOf } from '../support/random.ts';

const HOLE_BYTES = 8 * 2 ** 30;

async function makeTree(t: Test): Promise<string> {
  const root = t.testdir();
  mkdirSync(join(root, 'sub'));
  writeFileSync(join(root, 'one'), randomBytesOf('one', 100_000));
  linkSync(join(root, 'one'), join(root, 'sub', 'again'));
  writeFileSync(join(root, 'copy'), randomBytesOf('one', 100_000));
  writeFileSync(join(root, 'empty'), '');
  symlinkSync('/usr', join(root, 'link'));
  await mustRun('mkfifo', [join(root, 'fifo')]);
  const sparse = openSync(join(root, 'sparse'), 'w');
  ftruncateSync(sparse, HOLE_BYTES);
  writeSync(sparse, randomBytesOf('sparse', 50_000), 0, 50_000, HOLE_BYTES / 2);
  closeSync(sparse);
  return root;
}

async function estimateOf(trees: string[], signal?: AbortSignal): Promise<EstimateReport> {
  return estimate({
    trees,
    chunkSizes: [32 * 1024],
    compressions: [parseCompression('lz4')],
    bytesMax: 2 ** 30,
    oneFileSystem: true,
    signal,
  });
}

t.test('a tree is counted as it would be copied', async (t) => {
  const root = await makeTree(t);
  const { counts, outcomes, bytesRead } = await estimateOf([root]);
  const kinds = { files: 4, directories: 2, symlinks: 1, specials: 1, hardLinks: 1 };
  t.match(counts, { ...kinds, logicalBytes: HOLE_BYTES + 200_000, filesWithData: 3 });
  t.ok(bytesRead < 5e6, `the hole is not read: ${bytesRead} bytes`);
  const [outcome] = outcomes;
  const unique = outcome?.uniqueBytes.value ?? 0;
  t.ok(unique >= 150_000 && unique < 160_000, `${unique} distinct bytes`);
});

t.test('what cannot be read is named', async (t) => {
  const root = await makeTree(t);
  const walk = new TreeWalk({ oneFileSystem: false });
  for await (const file of walk.files(join(root, 'missing'))) t.fail(file.path.toString());
  t.match(walk.unreadable.paths, [/missing: ENOENT$/]);
});

t.test('an interrupted estimate ends with the reason', async (t) => {
  const root = await makeTree(t);
  const signal = AbortSignal.abort(new Error('interrupted'));
  await t.rejects(estimateOf([root], signal), { message: 'interrupted' });
});
