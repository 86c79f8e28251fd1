// Goal: heal finds lost content in any tree, stores just that, and says what is left. Method: real stores,
// damaged in their arena files; trees on the host.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { damageContent } from '../support/damaged-content.ts';
import { failureIn } from '../support/faults.ts';
import { assertStoreClean, openFresh } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

/** Longer than what heal reads at once. */
const BYTES = 9_000_000;

/** With a hole, zeros and odd ends: what must be cut just as it was when it was written. */
function sparseContent(): Buffer {
  const content = randomBytesOf('sparse', BYTES);
  content.fill(0, 1_000_001, 1_500_003);
  content.fill(0, 4_190_000, 4_198_000);
  content.fill(0, 6_000_000, 6_002_000);
  return content;
}

/** A directory on the host with one file, `copy`. */
function treeWith(t: Test, content: Buffer): string {
  const tree = join(t.testdirName, 'tree');
  mkdirSync(tree);
  writeFileSync(join(tree, 'copy'), content);
  return tree;
}

t.test('heals from a tree with other names, and stores nothing else', async (t) => {
  const opened = await openFresh(t, { compression: 'none' });
  const { store, driver, path } = opened;
  const content = sparseContent();
  await driver.put('a', content);
  await driver.put('b', content);
  await store.commit();
  const before = store.statistics();
  for (const offset of [500_000, 1_600_000, 4_150_000, 4_300_000, 6_100_000, 8_990_000]) {
    damageContent(path, content, offset);
  }
  const { chunksDamaged } = await store.scrub();
  t.equal(chunksDamaged, 6);
  const tree = join(t.testdirName, 'tree');
  mkdirSync(join(tree, 'deep/er'), { recursive: true });
  writeFileSync(join(tree, 'unrelated'), 'nothing of this is needed');
  writeFileSync(join(tree, 'deep/er/copy'), content);
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0x2e])]), 'odd name');
  symlinkSync('/dev/zero', join(tree, 'endless'));
  const seen: number[] = [];
  const report = await store.heal({
    tree,
    onProgress: ({ chunksHealed }) => seen.push(chunksHealed),
  });
  t.match(report, { isComplete: true, chunksHealed: 6, unreadable: [], damage: { chunks: 0 } });
  t.equal(seen.at(-1), 6);
  for (const name of ['a', 'b']) t.ok((await driver.get(name)).equals(content), name);
  const after = store.statistics();
  t.equal(after.chunks, before.chunks);
  t.equal(after.storedBytes, before.storedBytes);
  t.equal(after.deadBytes, before.deadBytes + report.bytesHealed, 'only the bad records are dead');
  await assertStoreClean(t, store);
});

t.test('what the tree does not have stays damaged and is named', async (t) => {
  const opened = await openFresh(t, { compression: 'none' });
  const { store, driver, path } = opened;
  const contents = [randomBytesOf('first', 500_000), randomBytesOf('second', 500_000)] as const;
  await driver.put('first', contents[0]);
  await driver.put('second', contents[1]);
  await store.commit();
  for (const content of contents) damageContent(path, content, 100_000);
  await store.scrub();
  const tree = treeWith(t, contents[1]);
  const report = await store.heal({ tree: join(tree, 'copy') });
  t.match(report, { files: 1, chunksHealed: 1, damage: { chunks: 1 } });
  t.strictSame(
    report.damage.files.map(({ paths }) => paths),
    [['/first']],
  );
  t.ok((await driver.get('second')).equals(contents[1]));
  await assertStoreClean(t, store);
});

t.test(
  'without damage nothing is read; a tree that is missing or is the store is refused',
  async (t) => {
    const { store, driver, path } = await openFresh(t);
    await driver.put('a', randomBytesOf('a', 100_000));
    await store.commit();
    const tree = treeWith(t, randomBytesOf('big', 1_000_000));
    t.match(await store.heal({ tree }), { files: 0, bytes: 0, chunksHealed: 0 });
    const refused = [path, join(path, 'arenas'), join(tree, 'nowhere')];
    for (const one of refused) {
      t.match(await failureIn(store.heal({ tree: one })), { exitCode: 2 }, one);
    }
    await assertStoreClean(t, store);
  },
);

t.test('heal while the store is written to and committed', async (t) => {
  const opened = await openFresh(t, { compression: 'none' });
  const { store, driver, path } = opened;
  const content = randomBytesOf('long', BYTES);
  await driver.put('a', content);
  await store.commit();
  for (let at = 50_000; at < BYTES; at += 400_000) damageContent(path, content, at);
  const { chunksDamaged } = await store.scrub();
  const tree = treeWith(t, content);
  const healing = store.heal({ tree });
  for (let file = 0; file < 10; file += 1) {
    await driver.put(`${file}`, randomBytesOf(file, 700_000));
    await store.commit();
  }
  // The same content comes by two ways at once.
  await driver.put('again', content);
  await store.commit();
  const report = await healing;
  t.ok(report.chunksHealed <= chunksDamaged);
  t.equal(report.damage.chunks, 0);
  for (const name of ['a', 'again']) t.ok((await driver.get(name)).equals(content), name);
  await assertStoreClean(t, store);
});
