// Goal: duplicates are files of the same content, all of them, hard links counted once. Method: random
// files, whole and by reference, against their bytes.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ROOT_INO, type Ino } from '../../lib/filesystem/contract.ts';
import { findDuplicates } from '../../lib/maintenance/usage/duplicates.ts';
import { findTarget } from '../../lib/maintenance/usage/targets.ts';
import { hashOf, TwiceFilter } from '../../lib/maintenance/usage/twice-filter.ts';
import { Metastore } from '../../lib/metastore/metastore.ts';
import { failureIn } from '../support/faults.ts';
import type { FileSystemDriver } from '../support/filesystem-driver.ts';
import { assertStoreClean, openFresh } from '../support/open-store.ts';
import { printedSeed, Random, randomBytesOf } from '../support/random.ts';

const MIB = 1024 * 1024;
const seed = printedSeed(t);

interface Content {
  readonly bytes: Buffer;
  /** Of files, hard links left out. */
  readonly paths: string[];
}

/** Contents of few sizes, one of them longer than a segment; most come more than once. */
async function makeFiles(driver: FileSystemDriver, random: Random): Promise<Content[]> {
  const contents = Array.from({ length: 20 }, (_, number): Content => {
    const size = number === 0 ? 5 * MIB + 77 : random.pick([0, 1000, 50_000, 50_000, 200_000]);
    return { bytes: randomBytesOf(`${seed} ${number}`, size), paths: [] };
  });
  const parents: [Ino, string][] = [[ROOT_INO, '']];
  for (const name of ['x', 'xy']) parents.push([await driver.makeDirectory(name), `/${name}`]);
  for (let number = 0; number < 60; number += 1) {
    const content = random.pick(contents);
    const [parent, folder] = random.pick(parents);
    const ino = await driver.put(`f${number}`, content.bytes, parent);
    content.paths.push(`${folder}/f${number}`);
    if (random.oneIn(4)) {
      await driver.change((fs) => fs.link(ino, ROOT_INO, Buffer.from(`z${number}`)));
    }
  }
  const first = contents[0];
  if (first === undefined) return contents;
  const source = driver.stat('xy');
  const whole = await driver.put('whole', first.bytes, source.ino);
  const byReference = await driver.create('reference', source.ino);
  await driver.copy({ ino: whole, offset: 0 }, { ino: byReference.ino, offset: 0 }, 6 * MIB);
  driver.release(byReference.fh);
  first.paths.push('/xy/whole', '/xy/reference');
  return contents;
}

function wanted(contents: readonly Content[], folder = '') {
  return contents
    .map(({ bytes, paths }) => {
      const inside = paths.filter((path) => path.startsWith(`${folder}/`)).sort();
      const savedBytes = (inside.length - 1) * bytes.length;
      return { bytes: bytes.length, files: inside.length, savedBytes, paths: inside };
    })
    .filter(({ bytes, files }) => bytes > 0 && files > 1)
    .map((group) => ({ ...group, pathsOmitted: 0 }));
}

/** In an order of their own: of equal savings the store's is another. */
function sorted<T extends { readonly paths: readonly string[] }>(groups: readonly T[]): T[] {
  return [...groups].sort((left, right) =>
    (left.paths[0] ?? '') < (right.paths[0] ?? '') ? -1 : 1,
  );
}

function assertOrdered(t: Test, groups: readonly { readonly savedBytes: number }[]): void {
  const saved = groups.map(({ savedBytes }) => savedBytes);
  t.strictSame(
    saved,
    [...saved].sort((left, right) => right - left),
    'those that save most first',
  );
}

t.test('groups of identical files', async (t) => {
  const { store, driver, path } = await openFresh(t);
  const contents = await makeFiles(driver, new Random(seed));
  const asked = { path: '/', bytesMin: 1, groupsMax: 1000 };
  const all = await store.duplicates(asked);
  const expected = wanted(contents);
  t.strictSame(sorted(all.groups), sorted(expected));
  assertOrdered(t, all.groups);
  t.match(all, {
    isSteady: true,
    groupsOmitted: 0,
    copies: expected.reduce((sum, { files }) => sum + files - 1, 0),
    savedBytes: expected.reduce((sum, { savedBytes }) => sum + savedBytes, 0),
  });
  const inner = await store.duplicates({ ...asked, path: '/x' });
  t.strictSame(sorted(inner.groups), sorted(wanted(contents, '/x')), 'of one directory');
  const two = await store.duplicates({ ...asked, groupsMax: 2 });
  t.strictSame(two.groups, all.groups.slice(0, 2), 'those that save most');
  t.equal(two.groupsOmitted, all.groups.length - two.groups.length);
  const large = await store.duplicates({ ...asked, bytesMin: 100_000 });
  t.strictSame(
    large.groups,
    all.groups.filter(({ bytes }) => bytes >= 100_000),
    'of large files',
  );
  t.match(await failureIn(store.duplicates({ ...asked, path: '/xy/whole' })), {
    code: 'DEDUPFS_NO_DIRECTORY',
  });
  await assertStoreClean(t, store);
  await store.close();

  const metastore = new Metastore(join(path, 'meta.db'), { create: false });
  t.teardown(() => metastore.close());
  const target = findTarget(metastore, '/');
  const search = { target, bytesMin: 1, groupsMax: 1000, contentsMax: 3 };
  const { groups } = await findDuplicates(metastore, search);
  t.strictSame(groups, all.groups, 'the same in many passes');
});

t.test('of a directory only its own names are told, however many there are outside', async (t) => {
  const { store, driver } = await openFresh(t);
  // The name is told with its control character written out.
  const inside = await driver.makeDirectory('in\nside');
  for (const name of ['first', 'second']) {
    const ino = await driver.put(name, Buffer.alloc(5000, 'same'), inside);
    for (let link = 0; link < 12; link += 1) {
      const outside = Buffer.from(`${name}${link}`);
      await driver.change((fs) => fs.link(ino, ROOT_INO, outside));
    }
  }
  const asked = { path: '/in\nside', bytesMin: 1, groupsMax: 10 };
  const { groups } = await store.duplicates(asked);
  const paths = ['/in\\x0aside/first', '/in\\x0aside/second'];
  t.match(groups, [{ files: 2, paths, pathsOmitted: 0 }]);
  await assertStoreClean(t, store);
});

t.test('the filter misses nothing that came twice', (t) => {
  const filter = new TwiceFilter(10);
  const values = Array.from({ length: 200 }, (_, number) => 2 ** 31 * number + 4096);
  for (const value of values) filter.add(hashOf(value));
  const mistaken = values.filter((value) => filter.mayBeTwice(hashOf(value)));
  t.ok(mistaken.length < 100, `${mistaken.length} of 200 are taken for others in 1,024 slots`);
  for (const value of values) filter.add(hashOf(value));
  t.ok(values.every((value) => filter.mayBeTwice(hashOf(value))));
  t.end();
});
