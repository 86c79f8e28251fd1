// Goal: memory holds a bounded number of inodes, those in use among them, and loses nothing.
// Method: more inodes than the bound, in a real database; an object's identity tells what stayed.

import { join } from 'node:path';
import t from 'tap';
import { Metastore } from '../../lib/metastore/metastore.ts';
import type { Inode } from '../../lib/metastore/inodes.ts';

const REGULAR = 0o100644;
const BOUND = 32 * 1024;

t.test('what is asked for or pinned stays, the rest comes back as it was', (t) => {
  const metastore = new Metastore(join(t.testdir(), 'meta.db'), { create: true });
  t.teardown(() => metastore.close());
  const { inodes } = metastore;
  const create = (): Inode => {
    const inode = inodes.create(REGULAR);
    inode.uid = inode.ino * 3;
    return inode;
  };
  const [used, pinned, idle] = [create(), create(), create()];
  pinned.pins += 1;
  for (let count = 0; count < 3 * BOUND; count += 1) {
    create();
    if (count % 1000 === 0) t.equal(inodes.get(used.ino), used);
  }
  t.equal(inodes.get(pinned.ino), pinned);
  t.not(inodes.get(idle.ino), idle, 'an idle one left memory');
  t.ok(inodes.dirtyCount < BOUND + 1024, `its changes are written, ${inodes.dirtyCount} wait`);
  let wrong = 0;
  for (let ino = idle.ino; ino < idle.ino + 3 * BOUND; ino += 97) {
    const inode = inodes.get(ino);
    if (inode?.uid !== ino * 3 || inode.mode !== REGULAR) wrong += 1;
  }
  t.equal(wrong, 0);
  t.equal(metastore.counters.files, 3 * BOUND + 3);
  t.end();
});

t.test('when nearly all are pinned or recent, those in the hands of a request stay', (t) => {
  const metastore = new Metastore(join(t.testdir(), 'meta.db'), { create: true });
  t.teardown(() => metastore.close());
  const { inodes } = metastore;
  const all = Array.from({ length: BOUND }, () => inodes.create(REGULAR));
  for (const inode of all.slice(0, BOUND / 2)) inode.pins += 1;
  for (const inode of all) inodes.get(inode.ino);
  const held = all.at(-1);
  for (let count = 0; count < 200; count += 1) inodes.create(REGULAR);
  t.equal(inodes.get(held?.ino ?? 0), held);
  t.ok(all.slice(0, BOUND / 2).every((inode) => inodes.get(inode.ino) === inode));
  t.end();
});
