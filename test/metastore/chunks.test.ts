// Goal: the chunk index finds what is stored, also by way of the rows that come ahead of a stream, and
// never what is gone; counts that are summed in runs are what one by one they would be. Method: a
// metastore alone, with packs that hold nothing, and a map beside it.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ChunkId } from '../../lib/dedup/chunk-index.ts';
import { Metastore } from '../../lib/metastore/metastore.ts';
import { referenceRuns } from '../../lib/metastore/reference-runs.ts';
import { printedSeed, Random } from '../support/random.ts';

const PACK = 1;

function fingerprintOf(value: number): Buffer {
  return createHash('sha256').update(String(value)).digest();
}

function open(t: Test): Metastore {
  const metastore = new Metastore(join(t.testdir(), 'meta.db'), { create: true });
  t.teardown(() => metastore.close());
  metastore.packs.arenaBegun(1, undefined);
  metastore.packs.insert(PACK, 1, 1e9);
  return metastore;
}

/** Committed, with one reference each. */
function store(metastore: Metastore, count: number): ChunkId[] {
  const { chunks } = metastore;
  const stored = Array.from({ length: count }, (_, value) => {
    const chunk = chunks.add(fingerprintOf(value), 100);
    chunks.place(chunk, { packId: PACK, index: value, storedBytes: 50 });
    chunks.addReferences(chunk, 1);
    return chunk;
  });
  metastore.commit();
  return stored;
}

function countReferences(metastore: Metastore): Map<ChunkId, number> {
  const rows = metastore.database.connection.prepare('SELECT id, refs FROM chunk').raw().all();
  return new Map(rows as [ChunkId, number][]);
}

t.test('a stream that repeats finds most chunks without the index', (t) => {
  const metastore = open(t);
  const stored = store(metastore, 5000);
  const { chunks, database } = metastore;
  const find = (from: number, to: number): void => {
    for (let value = from; value <= to; value += 1) {
      if (chunks.find(fingerprintOf(value)) !== stored[value]) t.fail(`chunk ${value}`);
    }
  };
  // Each time it goes on where the rows ahead end, twice as many come: 16, 32, ..., 512.
  find(0, 501);
  database.connection.exec('UPDATE chunk SET h = NULL');
  find(502, 1013);
  t.equal(chunks.find(fingerprintOf(1014)), undefined, 'these come with the next from the index');
  t.end();
});

t.test('counts change by runs, and a chunk without references is found no more', (t) => {
  const metastore = open(t);
  const random = new Random(printedSeed(t));
  const { chunks } = metastore;
  const want = new Map<ChunkId, number>();
  const values = new Map<ChunkId, number>();
  store(metastore, 400).forEach((chunk, value) => {
    want.set(chunk, 1);
    values.set(chunk, value);
  });
  for (let round = 0; round < 40; round += 1) {
    for (let range = 0; range < 5; range += 1) {
      const living = [...want.keys()];
      const from = random.below(living.length);
      const by = random.oneIn(2) ? 1 : -1;
      const counted = living.slice(from, from + random.size(60));
      for (const chunk of counted.filter((one) => (want.get(one) ?? 0) + by >= 0)) {
        t.equal(chunks.find(fingerprintOf(values.get(chunk) ?? -1)), chunk);
        chunks.addReferences(chunk, by);
        want.set(chunk, (want.get(chunk) ?? 0) + by);
      }
    }
    metastore.commit();
    for (const [chunk, references] of want) {
      if (references > 0) continue;
      t.equal(chunks.find(fingerprintOf(values.get(chunk) ?? -1)), undefined, 'it is gone');
      want.delete(chunk);
    }
    t.strictSame(countReferences(metastore), want);
    t.equal(metastore.counters.chunks, want.size);
  }
  t.end();
});

t.test('runs join neighbours that change by the same number', (t) => {
  const changes = [
    [7, 1],
    [5, 1],
    [6, 1],
    [8, 2],
    [10, 2],
    [9, -1],
  ] as [ChunkId, number][];
  t.strictSame(referenceRuns(changes), [
    { first: 5, last: 7, references: 1 },
    { first: 8, last: 8, references: 2 },
    { first: 9, last: 9, references: -1 },
    { first: 10, last: 10, references: 2 },
  ]);
  t.strictSame(referenceRuns([]), []);
  t.end();
});

t.test(
  'a chunk cannot have fewer references than none, nor be counted when it is not there',
  (t) => {
    const wrong: [number, number, RegExp][] = [
      [0, -2, /has -1 references/],
      [100, 1, /have 0 rows/],
    ];
    for (const [behind, references, message] of wrong) {
      const metastore = open(t);
      const [first = 0] = store(metastore, 3);
      metastore.chunks.addReferences((first + behind) as ChunkId, references);
      t.throws(() => metastore.commit(), { message });
      metastore.close();
    }
    t.end();
  },
);
