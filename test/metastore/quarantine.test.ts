// Goal: what the chunk index says of a quarantined chunk, before and after each commit. Method: a metastore
// alone, with a pack that holds nothing.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ChunkId } from '../../lib/dedup/chunk-index.ts';
import { Metastore } from '../../lib/metastore/metastore.ts';

const PLACE = { packId: 1, index: 0 };
const STORED = 900;
const PLAIN = 1000;

function fingerprintOf(value: number): Buffer {
  return Buffer.alloc(32, value);
}

/** With a chunk of fingerprint 1, two references, in pack 1, committed. */
function open(t: Test): { metastore: Metastore; chunk: ChunkId } {
  const metastore = new Metastore(join(t.testdir(), 'meta.db'), { create: true });
  t.teardown(() => metastore.close());
  const { chunks, packs } = metastore;
  packs.arenaBegun(1, undefined);
  for (const pack of [1, 2]) packs.insert(pack, 1, 5000);
  const chunk = store(metastore, 1, 1);
  chunks.addReferences(chunk, 2);
  metastore.commit();
  return { metastore, chunk };
}

function store({ chunks }: Metastore, value: number, packId: number): ChunkId {
  const chunk = chunks.add(fingerprintOf(value), PLAIN);
  chunks.place(chunk, { packId, index: 0, storedBytes: STORED });
  return chunk;
}

const DAMAGED = { chunks: 1, uniqueBytes: PLAIN, storedBytes: 0, damagedChunks: 1 };
const SOUND = { chunks: 1, uniqueBytes: PLAIN, storedBytes: STORED, damagedChunks: 0 };

t.test('a quarantined chunk is not found, has no place and counts as not stored', (t) => {
  const { metastore, chunk } = open(t);
  const { chunks, packs, counters } = metastore;
  t.equal(chunks.find(fingerprintOf(1)), chunk);
  t.equal(chunks.isWanted(fingerprintOf(1)), false);
  t.equal(chunks.quarantine(chunk, { ...PLACE, index: 1 }), false, 'it lies elsewhere');
  t.equal(chunks.quarantine(chunk, PLACE), true);
  t.equal(chunks.quarantine(chunk, PLACE), false, 'once');
  for (const when of ['before the commit', 'after it']) {
    t.equal(chunks.find(fingerprintOf(1)), undefined, when);
    t.equal(chunks.isWanted(fingerprintOf(1)), true, when);
    t.throws(() => chunks.locate(chunk), { code: 'DEDUPFS_CORRUPT' }, when);
    t.equal(packs.liveCount(1), 0, when);
    t.match(counters, { ...DAMAGED, damagedBytes: PLAIN }, when);
    metastore.commit();
  }
  t.equal(packs.arena(1)?.live, 0, 'it pins no arena');
  t.end();
});

t.test('the same content gets the old id, a new place and all references', (t) => {
  const { metastore, chunk } = open(t);
  const { chunks, packs, counters } = metastore;
  chunks.quarantine(chunk, PLACE);
  metastore.commit();
  t.equal(store(metastore, 1, 2), chunk);
  chunks.addReferences(chunk, 1);
  t.match(chunks.locate(chunk), { packId: 2, index: 0 }, 'at once');
  t.equal(chunks.find(fingerprintOf(1)), chunk);
  t.equal(chunks.isWanted(fingerprintOf(1)), false);
  t.equal(chunks.wantedCount, 0);
  metastore.commit();
  t.match(chunks.locate(chunk), { packId: 2, index: 0, plainBytes: PLAIN });
  t.match(counters, SOUND);
  t.equal(packs.liveCount(2), 1);
  t.equal(metastore.quarantine.count, 0);
  const select = metastore.database.connection.prepare('SELECT refs FROM chunk').pluck();
  t.equal(select.get(), 3);
  t.end();
});

t.test('content comes again in the batch that quarantined it', (t) => {
  const { metastore, chunk } = open(t);
  metastore.chunks.quarantine(chunk, PLACE);
  t.equal(store(metastore, 1, 2), chunk);
  metastore.commit();
  t.match(metastore.counters, SOUND);
  t.equal(metastore.packs.liveCount(1), 0);
  t.equal(metastore.packs.liveCount(2), 1);
  t.end();
});

t.test('with its last reference the chunk and its row in quarantine go', (t) => {
  for (const comesAgain of [false, true]) {
    const { metastore, chunk } = open(t);
    metastore.chunks.quarantine(chunk, PLACE);
    if (comesAgain) store(metastore, 1, 2);
    metastore.chunks.addReferences(chunk, -2);
    metastore.commit();
    t.match(metastore.counters, { chunks: 0, uniqueBytes: 0, storedBytes: 0, damagedChunks: 0 });
    t.equal(metastore.counters.damagedBytes, 0);
    t.equal(metastore.quarantine.count, 0);
    t.equal(metastore.packs.arena(1)?.live, 0);
    t.not(metastore.chunks.add(fingerprintOf(1), PLAIN), chunk, 'ids are never reused');
  }
  t.end();
});

t.test('content of another length is not taken for the chunk', (t) => {
  const { metastore, chunk } = open(t);
  metastore.chunks.quarantine(chunk, PLACE);
  const other = metastore.chunks.add(fingerprintOf(1), PLAIN + 1);
  t.not(other, chunk);
  t.end();
});

t.test('a chunk of this batch is not quarantined: nothing has read it back', (t) => {
  const { metastore, chunk } = open(t);
  const fresh = store(metastore, 2, 2);
  t.equal(metastore.chunks.quarantine(fresh, { packId: 2, index: 0 }), false);
  metastore.chunks.place(chunk, { packId: 2, index: 1, storedBytes: STORED });
  t.equal(metastore.chunks.quarantine(chunk, { packId: 2, index: 1 }), false, 'moved by gc');
  t.end();
});

t.test('chunks of a pack without a row can be given up all the same', (t) => {
  const { metastore, chunk } = open(t);
  metastore.database.connection.exec('DELETE FROM pack WHERE id = 1');
  metastore.chunks.addReferences(chunk, -2);
  metastore.commit();
  t.match(metastore.counters, { chunks: 0 });
  t.end();
});
