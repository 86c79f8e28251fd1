// Goal: dirty ranges show the newest bytes of each place and give back every slab. Method: random
// changes against an array of bytes.

import t, { type Test } from 'tap';
import { DirtyRanges, type DirtyRange } from '../../lib/filesystem/dirty-ranges.ts';
import { SlabPool, type Slab } from '../../lib/slab-pool.ts';
import { printedSeed, Random } from '../support/random.ts';

/** Length of the modelled file. */
const BYTES = 400;
const SLABS = 4;

interface Fixture {
  readonly pool: SlabPool;
  /** Their own references are held by the test. */
  readonly slabs: readonly Slab[];
  readonly ranges: DirtyRanges;
  /** Undefined: not dirty. */
  readonly model: (number | undefined)[];
}

function setUp(): Fixture {
  const pool = new SlabPool(SLABS);
  const slabs = Array.from({ length: SLABS }, (_, index) => {
    const slab = pool.acquire();
    if (slab === undefined) throw new Error('no slab');
    for (let at = 0; at < 4096; at += 1) slab.bytes[at] = (at * 31 + index * 7) & 0xff;
    return slab;
  });
  const model = Array.from({ length: BYTES }, (): number | undefined => undefined);
  return { pool, slabs, ranges: new DirtyRanges(), model };
}

function randomRange(random: Random, slabs: readonly Slab[]): DirtyRange {
  const offset = random.below(BYTES);
  const bytes = 1 + random.below(Math.min(60, BYTES - offset));
  const slab = random.pick(slabs);
  slab.retain();
  // Often as a sequential writer would fill a slab, so that ranges grow together.
  const slabOffset = random.oneIn(2) ? offset : random.below(4096 - bytes);
  return { offset, bytes, slab, slabOffset };
}

function byteOf({ slab, slabOffset }: DirtyRange, at: number): number | undefined {
  return slab.bytes[slabOffset + at];
}

function apply(fixture: Fixture, random: Random): void {
  const { ranges, model, slabs } = fixture;
  const range = randomRange(random, slabs);
  const { offset, bytes, slab } = range;
  const end = offset + bytes;
  const kind = random.below(6);
  if (kind < 4) {
    for (let at = 0; at < bytes; at += 1) {
      if (kind === 3) model[offset + at] ??= byteOf(range, at);
      else model[offset + at] = byteOf(range, at);
    }
    if (kind === 3) ranges.putBeneath(range);
    else ranges.put(range);
    return;
  }
  slab.release();
  if (kind === 4) {
    ranges.remove({ offset, end });
  } else {
    for (const taken of ranges.take({ offset, end })) giveBack(taken, model);
  }
  model.fill(undefined, offset, end);
}

function giveBack(taken: DirtyRange, model: Fixture['model']): void {
  for (let at = 0; at < taken.bytes; at += 1) {
    if (model[taken.offset + at] !== byteOf(taken, at)) throw new Error('took wrong bytes');
  }
  taken.slab.release();
}

function assertEqual(t: Test, { ranges, model }: Fixture): void {
  const found = Array.from({ length: BYTES }, (): number | undefined => undefined);
  let end = 0;
  for (const range of ranges.find({ offset: 0, end: BYTES })) {
    if (range.offset < end || range.bytes <= 0) t.fail('ranges overlap or are out of order');
    end = range.offset + range.bytes;
    for (let at = 0; at < range.bytes; at += 1) found[range.offset + at] = byteOf(range, at);
  }
  t.strictSame(found, model);
  const count = model.filter((byte) => byte !== undefined).length;
  t.equal(ranges.bytes, count);
  t.equal(ranges.isEmpty, count === 0);
  const first = model.findIndex((byte) => byte !== undefined);
  t.equal(ranges.first?.offset ?? -1, first);
}

/** Start and end of the dirty run around a byte. */
function runOf(model: Fixture['model'], offset: number): { start: number; end: number } {
  let start = offset;
  while (start > 0 && model[start - 1] !== undefined) start -= 1;
  let end = offset;
  while (end < BYTES && model[end] !== undefined) end += 1;
  return { start, end };
}

function assertRuns(t: Test, { ranges, model }: Fixture): void {
  for (let offset = 0; offset < BYTES; offset += 1) {
    const isDirty = model[offset] !== undefined;
    const { start, end } = runOf(model, offset);
    const around = ranges.runBytesAround(offset, BYTES);
    if (around !== (isDirty ? end - start : 0)) t.fail(`run around ${offset}: ${around}`);
    if (isDirty && ranges.runBytesAround(offset, 5) < Math.min(5, end - start)) {
      t.fail(`short run around ${offset}`);
    }
    const later = model.findIndex((byte, index) => index >= offset && byte !== undefined);
    const next = ranges.next(offset);
    if ((next === undefined ? -1 : Math.max(next.offset, offset)) !== later) {
      t.fail(`next after ${offset}`);
    }
  }
  for (const range of ranges.find({ offset: 0, end: BYTES })) {
    t.equal(ranges.runEnd(range), runOf(model, range.offset).end);
  }
}

t.test('any changes leave the bytes of the model, and every slab comes back', (t) => {
  const random = new Random(printedSeed(t));
  for (let round = 0; round < 20; round += 1) {
    const fixture = setUp();
    for (let step = 0; step < 60; step += 1) {
      apply(fixture, random);
      if (step % 6 === 0) assertEqual(t, fixture);
    }
    assertEqual(t, fixture);
    assertRuns(t, fixture);
    const { ranges, slabs, pool } = fixture;
    const held = ranges.find({ offset: 0, end: BYTES }).length;
    const references = slabs.reduce((sum, slab) => sum + slab.references, 0);
    t.equal(references, held + SLABS, 'one reference for each range, and the test own');
    ranges.clear();
    t.equal(ranges.bytes, 0);
    t.strictSame(slabs.map((slab) => slab.references), slabs.map(() => 1)); // prettier-ignore
    for (const slab of slabs) slab.release();
    t.equal(pool.freeCount, SLABS);
  }
  t.end();
});

t.test('sequential writes into one slab become one range with one reference', (t) => {
  const { slabs, ranges } = setUp();
  const [slab] = slabs;
  if (slab === undefined) throw new Error('no slab');
  for (let offset = 0; offset < 100; offset += 10) {
    slab.retain();
    ranges.put({ offset, bytes: 10, slab, slabOffset: 500 + offset });
  }
  t.match(ranges.find({ offset: 0, end: 200 }), [{ offset: 0, bytes: 100, slabOffset: 500 }]);
  t.equal(ranges.find({ offset: 0, end: 200 }).length, 1);
  t.equal(slab.references, 2);
  slab.retain();
  ranges.put({ offset: 100, bytes: 10, slab, slabOffset: 700 });
  t.equal(
    ranges.find({ offset: 0, end: 200 }).length,
    2,
    'elsewhere in memory: a range of its own',
  );
  t.equal(ranges.runEnd(ranges.first ?? { offset: 0, bytes: 0, slab, slabOffset: 0 }), 110);
  t.end();
});
