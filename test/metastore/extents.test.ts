// Goal: an extent table shows what was put into it, and counts references and mapped bytes as they
// are. Method: random changes around the 4 MiB borders of segments, against arrays of units.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ChunkId } from '../../lib/dedup/chunk-index.ts';
import { INITIAL_COUNTERS } from '../../lib/metastore/counters.ts';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { SEGMENT_BYTES, type Extent } from '../../lib/metastore/extent-codec.ts';
import { ExtentTable } from '../../lib/metastore/extents.ts';
import { FileType, InodeTable, type Inode } from '../../lib/metastore/inodes.ts';
import { printedSeed, Random } from '../support/random.ts';

/** The model's resolution: every offset is a multiple of it. */
const UNIT = 256 * 1024;
/** Five segments. */
const UNITS = (5 * SEGMENT_BYTES) / UNIT;

/** What one unit of the file shows; `offset` in the chunk. */
type Unit = { readonly chunk: number; readonly offset: number } | undefined;

function openTables(t: Test) {
  const path = join(t.testdir(), 'meta.db');
  const database = new MetaDatabase(path, { create: true });
  t.teardown(() => database.close());
  const counters = { ...INITIAL_COUNTERS };
  const references = new Map<number, number>();
  const inodes = new InodeTable(database.statements, counters);
  const parts = {
    counters,
    inodes,
    references: {
      addReferences(chunk: ChunkId, count: number) {
        references.set(chunk, (references.get(chunk) ?? 0) + count);
      },
    },
  };
  const open = (): ExtentTable => new ExtentTable(database.statements, parts);
  return { open, extents: open(), inodes, counters, references };
}

function makeFile(inodes: InodeTable, size = UNITS * UNIT): Inode {
  const inode = inodes.create(FileType.REGULAR);
  inodes.resize(inode, size);
  return inode;
}

/** Some extents inside the range, with gaps; what they show goes into the model. */
function randomExtents(random: Random, model: Unit[], from: number, to: number): Extent[] {
  const extents: Extent[] = [];
  model.fill(undefined, from, to);
  let at = from;
  while (at < to) {
    if (random.oneIn(4)) at += random.below(5);
    const count = Math.min(to - at, 1 + random.below(24));
    if (count <= 0) break;
    const chunk = 1 + random.below(20);
    const chunkOffset = random.below(8) * UNIT;
    for (let unit = 0; unit < count; unit += 1) {
      model[at + unit] = { chunk, offset: chunkOffset + unit * UNIT };
    }
    extents.push({
      offset: at * UNIT,
      bytes: count * UNIT,
      chunk: chunk as ChunkId,
      chunkOffset,
    });
    at += count;
  }
  return extents;
}

function unitsOf(extents: readonly Extent[]): Unit[] {
  const units = Array.from({ length: UNITS }, (): Unit => undefined);
  for (const { offset, bytes, chunk, chunkOffset } of extents) {
    for (let done = 0; done < bytes; done += UNIT) {
      units[(offset + done) / UNIT] = { chunk, offset: chunkOffset + done };
    }
  }
  return units;
}

function assertEqual(
  t: Test,
  tables: Pick<ReturnType<typeof openTables>, 'extents' | 'references' | 'counters'>,
  inode: Inode,
  model: readonly Unit[],
): void {
  const found = tables.extents.find(inode.ino, { offset: 0, end: UNITS * UNIT });
  t.strictSame(unitsOf(found), model);
  const recount = new Map<number, number>();
  let mapped = 0;
  for (const { chunk, bytes, offset } of found) {
    recount.set(chunk, (recount.get(chunk) ?? 0) + 1);
    mapped += bytes;
    const last = offset + bytes - 1;
    if (Math.floor(offset / SEGMENT_BYTES) !== Math.floor(last / SEGMENT_BYTES)) {
      t.fail('an extent crosses a border');
    }
  }
  t.strictSame(new Map([...tables.references].filter(([, count]) => count !== 0)), recount);
  t.equal(inode.mapped, mapped);
  t.equal(tables.counters.referencedBytes, mapped);
}

t.test('random changes across segment borders are those of the model', (t) => {
  const random = new Random(printedSeed(t));
  const tables = openTables(t);
  const inode = makeFile(tables.inodes);
  const model: Unit[] = Array.from({ length: UNITS }, () => undefined);
  for (let round = 0; round < 300; round += 1) {
    const from = random.below(UNITS);
    const to = from + 1 + random.below(random.oneIn(3) ? UNITS - from : Math.min(8, UNITS - from));
    const extents = random.oneIn(5) ? [] : randomExtents(random, model, from, to);
    if (extents.length === 0) model.fill(undefined, from, to);
    tables.extents.replace(inode, { offset: from * UNIT, end: to * UNIT }, extents);
    if (random.oneIn(10)) {
      const cut = random.below(UNITS);
      while (!tables.extents.removeFrom(inode, cut * UNIT, 1 + random.below(3)));
      model.fill(undefined, cut);
    }
    if (random.oneIn(10)) {
      // A table of its own sees only what was written to the rows.
      tables.extents.flush();
      tables.extents = tables.open();
    }
    if (round % 10 === 0) assertEqual(t, tables, inode, model);
  }
  assertEqual(t, tables, inode, model);
  t.end();
});

t.test('at and next find what the model has', (t) => {
  const random = new Random(printedSeed(t));
  for (let round = 0; round < 20; round += 1) {
    const { extents, inodes } = openTables(t);
    const inode = makeFile(inodes);
    const model: Unit[] = Array.from({ length: UNITS }, () => undefined);
    const from = random.below(UNITS);
    const placed = randomExtents(random, model, from, Math.min(UNITS, from + 30));
    extents.replace(inode, { offset: 0, end: UNITS * UNIT }, placed);
    for (let unit = 0; unit < UNITS; unit += 1) {
      const offset = unit * UNIT + random.below(UNIT);
      const at = extents.at(inode.ino, offset);
      t.equal(at?.chunk, model[unit]?.chunk, `at ${offset}`);
      const later = model.findIndex((found, index) => index >= unit && found !== undefined);
      const next = extents.next(inode, offset);
      t.equal(next === undefined, later < 0);
      if (next !== undefined) t.equal(Math.max(next.offset, unit * UNIT), later * UNIT);
    }
    t.equal(extents.next(inode, inode.size), undefined, 'nothing beyond the end');
  }
  t.end();
});

t.test('a replaced range of many segments meets extents far apart', (t) => {
  const tables = openTables(t);
  const inode = makeFile(tables.inodes, 1000 * SEGMENT_BYTES);
  const one = (segment: number, chunk: number): Extent => ({
    offset: segment * SEGMENT_BYTES - 10,
    bytes: 20,
    chunk: chunk as ChunkId,
    chunkOffset: 5,
  });
  const far = [one(1, 1), one(500, 2), one(999, 3)];
  const all = { offset: 0, end: inode.size };
  tables.extents.replace(inode, all, far);
  t.equal(inode.mapped, 60);
  t.strictSame(Object.fromEntries(tables.references), { 1: 2, 2: 2, 3: 2 });
  t.equal(tables.extents.next(inode, SEGMENT_BYTES + 10)?.offset, 500 * SEGMENT_BYTES - 10);
  tables.extents.replace(inode, { offset: SEGMENT_BYTES, end: 999 * SEGMENT_BYTES }, [one(7, 4)]);
  t.strictSame(Object.fromEntries(tables.references), { 1: 1, 2: 0, 3: 1, 4: 2 });
  tables.extents.replace(inode, all, []);
  t.equal(inode.mapped, 0);
  t.strictSame([...tables.references.values()], [0, 0, 0, 0]);
  t.equal(tables.extents.next(inode, 0), undefined);
  t.end();
});

t.test('an extent that reaches beyond its range is refused', (t) => {
  const { extents, inodes } = openTables(t);
  const inode = makeFile(inodes);
  const extent = { offset: 0, bytes: 200, chunk: 1 as ChunkId, chunkOffset: 0 };
  t.throws(() => extents.replace(inode, { offset: 0, end: 100 }, [extent]));
  t.end();
});
