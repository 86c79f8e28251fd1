// Goal: names are found, listed in a stable order, and told apart when their hashes collide.
// Method: a real database; collisions are made by rows inserted at the position of a hash.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { COOKIE_MIN, DentryTable, nameHash } from '../../lib/metastore/dentries.ts';
import { printedSeed, Random } from '../support/random.ts';

const PARENT = 1;
const REGULAR = 0o100644;

function openTable(t: Test) {
  const database = new MetaDatabase(join(t.testdir(), 'meta.db'), { create: true });
  t.teardown(() => database.close());
  const put = database.connection.prepare('INSERT INTO dentry VALUES (?, ?, ?, ?, 8)');
  const openAgain = () => new DentryTable(database.statements);
  return { dentries: openAgain(), put, openAgain };
}

/** Every entry, in pages of `count`. */
function listAll(dentries: DentryTable, count: number, between?: () => void): string[] {
  const names: string[] = [];
  let after = 0;
  for (;;) {
    const page = dentries.list(PARENT, after, count);
    if (page.length === 0) return names;
    for (const [name, , , cookie] of page) {
      names.push(name.toString('latin1'));
      after = cookie;
    }
    between?.();
  }
}

t.test('names are bytes: found, removed and not mixed up between directories', (t) => {
  const { dentries } = openTable(t);
  const names = [Buffer.from('a'), Buffer.from([0xff, 0xfe]), Buffer.alloc(255, 'x')];
  for (const [index, name] of names.entries()) dentries.insert(PARENT, name, 10 + index, REGULAR);
  dentries.insert(2, Buffer.from('a'), 20, 0o040755);
  for (const [index, name] of names.entries()) {
    t.strictSame(dentries.find(PARENT, name), { ino: 10 + index, type: 8 });
  }
  t.strictSame(dentries.find(2, Buffer.from('a')), { ino: 20, type: 4 });
  t.equal(dentries.find(2, Buffer.from('A')), undefined);
  dentries.remove(2, Buffer.from('a'));
  t.equal(dentries.isEmpty(2), true);
  t.equal(dentries.isEmpty(PARENT), false);
  t.throws(() => dentries.remove(2, Buffer.from('a')), /exists/);
  t.end();
});

t.test('listing is in the order of the hashes, whatever the size of a page', (t) => {
  const { dentries } = openTable(t);
  const names = Array.from({ length: 500 }, (_, index) => `name ${index}`);
  for (const [index, name] of names.entries()) {
    dentries.insert(PARENT, Buffer.from(name), index + 2, REGULAR);
  }
  const hashes = new Map(names.map((name) => [name, nameHash(Buffer.from(name))]));
  const want = names.toSorted((a, b) => (hashes.get(a) ?? 0) - (hashes.get(b) ?? 0));
  for (const count of [1, 7, 499, 500, 1000]) t.strictSame(listAll(dentries, count), want);
  t.equal(new Set(hashes.values()).size, names.length);
  t.end();
});

t.test('entries that stay are listed once while others come and go', (t) => {
  const random = new Random(printedSeed(t));
  const { dentries } = openTable(t);
  const staying = Array.from({ length: 200 }, (_, index) => `stays ${index}`);
  for (const name of staying) dentries.insert(PARENT, Buffer.from(name), 5, REGULAR);
  const others: string[] = [];
  let number = 0;
  const found = listAll(dentries, 10, () => {
    // Fewer come than a page holds, or the listing would not end.
    for (let count = 0; count < 5; count += 1) {
      number += 1;
      others.push(`comes ${number}`);
      dentries.insert(PARENT, Buffer.from(`comes ${number}`), 6, REGULAR);
      if (random.oneIn(2)) continue;
      const [gone] = others.splice(random.below(others.length), 1);
      dentries.remove(PARENT, Buffer.from(gone ?? ''));
    }
  });
  const kept = found.filter((name) => name.startsWith('stays'));
  t.strictSame(kept.toSorted(), staying.toSorted());
  t.equal(new Set(found).size, found.length, 'no name is listed twice');
  t.end();
});

t.test('a name whose hash is taken goes behind, and is found there after removals', (t) => {
  const { dentries, put } = openTable(t);
  const name = Buffer.from('the name');
  const hash = nameHash(name);
  for (const step of [0, 1, 3]) put.run(PARENT, hash + step, Buffer.from(`other ${step}`), 9);
  t.equal(dentries.find(PARENT, name), undefined);
  dentries.insert(PARENT, name, 7, REGULAR);
  t.equal(dentries.list(PARENT, hash + 1, 1)[0]?.[3], hash + 2, 'the first free number');
  t.equal(dentries.find(PARENT, name)?.ino, 7);
  t.strictSame(listAll(dentries, 1), ['other 0', 'other 1', 'the name', 'other 3']);
  dentries.remove(PARENT, name);
  t.equal(dentries.find(PARENT, name), undefined);
  t.equal(listAll(dentries, 10).length, 3, 'only that name went');
  t.end();
});

t.test('a window full of collisions is refused, not overrun', (t) => {
  const { dentries, put, openAgain } = openTable(t);
  const name = Buffer.from('the name');
  const hash = nameHash(name);
  for (let step = 0; step < 15; step += 1) put.run(PARENT, hash + step, Buffer.from(`${step}`), 9);
  dentries.insert(PARENT, name, 7, REGULAR);
  t.equal(dentries.find(PARENT, name)?.ino, 7, 'the sixteenth has room');
  dentries.remove(PARENT, name);
  put.run(PARENT, hash + 15, Buffer.from('15'), 9);
  t.throws(() => openAgain().insert(PARENT, name, 7, REGULAR), /room/);
  t.end();
});

t.test(
  'what is kept in memory of a name follows changes of names with a hash close to its own',
  (t) => {
    const random = new Random(printedSeed(t));
    const { dentries, put, openAgain } = openTable(t);
    // Hashes less than a window apart (10, 2 and 15), found by trying 6 million names.
    const names = ['n1208846', 'n168729', 'n3281721', 'n1534052', 'n5157628', 'n4712186'];
    // The first two want the same place: it is the only one left to the first.
    const hash = nameHash(Buffer.from('n1208846'));
    const fillers = Array.from({ length: 16 }, (_, step) => step).filter((step) => step !== 10);
    for (const step of fillers) put.run(PARENT, hash + step, Buffer.from(`${step}`), 9);
    const made = new Set<string>();
    for (let round = 0; round < 300; round += 1) {
      const text = names[round < 2 ? 1 : random.below(names.length)] ?? '';
      const name = Buffer.from(text);
      if (made.delete(text)) dentries.remove(PARENT, name);
      else if (dentries.hasRoom(PARENT, name)) {
        dentries.insert(PARENT, name, made.add(text).size + 1, REGULAR);
      }
      const fresh = openAgain();
      for (const other of names.map((each) => Buffer.from(each))) {
        t.strictSame(dentries.find(PARENT, other), fresh.find(PARENT, other));
        t.equal(dentries.hasRoom(PARENT, other), fresh.hasRoom(PARENT, other));
      }
      t.equal(listAll(dentries, 10).length, fillers.length + made.size);
    }
    t.end();
  },
);

t.test('the hash of a name is part of the format', (t) => {
  const cases = ['', 'a', 'b', 'file 1', 'x'.repeat(255)];
  for (const name of cases) {
    const hash = nameHash(Buffer.from(name));
    t.ok(Number.isSafeInteger(hash) && hash >= COOKIE_MIN && hash < 2 ** 47 + COOKIE_MIN, name);
  }
  t.strictSame(cases.map((name) => nameHash(Buffer.from(name)).toString(16)), GOLDEN); // prettier-ignore
  t.end();
});

const GOLDEN = ['7df811c9dc8', '38ace40c292f', '3132e70c2de8', '77a037891d3b', '5ed263189642'];
