// Goal: a tree is gone through as it would be copied: hard links once, holes not read, nothing followed,
// what cannot be read named, special files counted and not opened.

import {
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { parseCompression } from '../../lib/dedup/codec.ts';
import { dataBytesOf } from '../../lib/estimate/data-bytes.ts';
import { estimate, type EstimateReport } from '../../lib/estimate/estimate.ts';
import { LinkedFiles } from '../../lib/estimate/linked-files.ts';
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

t.test(
  'a file is taken for as large as it is, whatever blocks it has; holes are left out',
  async (t) => {
    const root = await makeTree(t);
    const [one, sparse] = [Buffer.from(join(root, 'one')), Buffer.from(join(root, 'sparse'))];
    // As btrfs and ZFS tell of what they compress, or have not written yet.
    for (const blocks of [0, 8]) {
      const stats = Object.assign(lstatSync(one), { blocks });
      t.equal(dataBytesOf(one, stats), 100_000, `${blocks} blocks`);
    }
    const data = dataBytesOf(sparse, lstatSync(sparse));
    t.ok(data >= 50_000 && data < 50_000 + 65_536, `${data} bytes of the sparse one`);
    const many = Buffer.from(join(root, 'many'));
    const fd = openSync(many, 'w');
    for (let at = 0; at < 3000; at += 1) writeSync(fd, 'x', at * 65_536);
    closeSync(fd);
    const told = dataBytesOf(many, lstatSync(many)) / (lstatSync(many).blocks * 512);
    t.ok(Math.abs(told - 1) < 0.01, `with more stretches than are looked at: ${told.toFixed(3)}`);
  },
);

t.test('files with several names are remembered up to a bound', async (t) => {
  const files = new LinkedFiles(2);
  const note = (ino: number, nlink: number): string => files.note({ dev: 1, ino, nlink });
  t.strictSame([note(1, 3), note(1, 3), note(2, 2)], ['first', 'again', 'first']);
  t.equal(note(3, 2), 'not remembered', 'no more than two');
  t.equal(files.note({ dev: 2, ino: 1, nlink: 3 }), 'not remembered', 'on another device neither');
  t.equal(note(1, 3), 'again', 'its last name: it is forgotten');
  t.equal(note(3, 2), 'first', 'which makes room');
  t.equal(new LinkedFiles(2).note({ dev: 1, ino: 2 ** 60, nlink: 2 }), 'not remembered');
  const root = await makeTree(t);
  const walk = new TreeWalk({ oneFileSystem: true }, new LinkedFiles(0));
  for await (const file of walk.files(root)) t.ok(file.bytes > 0);
  t.match(walk.counts, { files: 5, hardLinks: 0, linksNotRemembered: 2 });
});

t.test('what cannot be read is named', async (t) => {
  const root = await makeTree(t);
  const walk = new TreeWalk({ oneFileSystem: false });
  for await (const file of walk.files(join(root, 'missing'))) t.fail(file.path.toString());
  for await (const file of walk.files(join(root, 'red\u001b[31m\u009b'))) t.ok(file);
  t.match(walk.unreadable.paths, [/missing: ENOENT$/, /red\\x1b\[31m\\xc2\\x9b: ENOENT$/]);
});

t.test('an interrupted estimate ends with the reason', async (t) => {
  const root = await makeTree(t);
  const signal = AbortSignal.abort(new Error('interrupted'));
  await t.rejects(estimateOf([root], signal), { message: 'interrupted' });
});
