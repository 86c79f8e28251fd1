// Goal: extents come back from their row as they were, and a damaged row is refused. Method: random
// segments, then every cut and every flipped byte of one.

import t from 'tap';
import type { ChunkId } from '../../lib/dedup/chunk-index.ts';
import { CorruptionError } from '../../lib/errors.ts';
import {
  decodeExtents,
  encodeExtents,
  SEGMENT_BYTES,
  type Extent,
} from '../../lib/metastore/extent-codec.ts';
import { printedSeed, Random } from '../support/random.ts';

const CORRUPT = { code: 'DEDUPFS_CORRUPT' };

function extentsOf(random: Random, start: number): Extent[] {
  const extents: Extent[] = [];
  const longest = random.pick([10, 5000, 300_000, SEGMENT_BYTES]);
  let offset = start + (random.oneIn(2) ? random.size(longest) : 0);
  let chunk = 1 + random.size(2 ** 40);
  while (offset < start + SEGMENT_BYTES && extents.length < 500) {
    const bytes = Math.min(1 + random.size(longest), start + SEGMENT_BYTES - offset);
    const chunkOffset = random.oneIn(3) ? random.size(384 * 1024) : 0;
    extents.push({ offset, bytes, chunk: chunk as ChunkId, chunkOffset });
    offset += bytes + (random.oneIn(2) ? random.size(longest) : 0);
    chunk = random.oneIn(3) ? 1 + random.size(2 ** 47) : chunk + 1;
  }
  return extents;
}

t.test('any segment comes back as it was', (t) => {
  const random = new Random(printedSeed(t));
  for (let round = 0; round < 500; round += 1) {
    const start = random.size(2 ** 20) * SEGMENT_BYTES;
    const extents = extentsOf(random, start);
    const map = encodeExtents(extents, start);
    const found = decodeExtents(map, start);
    if (!t.strictSame(found, extents, `round ${round}`)) break;
  }
  t.end();
});

t.test('the bytes of a map are those of the format', (t) => {
  const start = 2 * SEGMENT_BYTES;
  const extents = [
    { offset: start, bytes: 100, chunk: 5 as ChunkId, chunkOffset: 0 },
    { offset: start + 100, bytes: 200, chunk: 6 as ChunkId, chunkOffset: 300 },
    { offset: start + 400, bytes: 1, chunk: 2 as ChunkId, chunkOffset: 0 },
  ];
  const want = [
    '00 64 0a 00', //         no gap, 100 bytes, chunk 0 + 5, offset 0
    '00 c801 02 ac02', //     no gap, 200 bytes, chunk 5 + 1, offset 300
    '64 01 07 00', //         gap of 100, 1 byte, chunk 6 - 4, offset 0
  ];
  const map = encodeExtents(extents, start);
  t.equal(map.toString('hex'), want.join('').replaceAll(' ', ''));
  t.strictSame(decodeExtents(map, start), extents);
  t.equal(encodeExtents([], start).length, 0);
  t.strictSame(decodeExtents(Buffer.alloc(0), start), []);
  t.end();
});

t.test('maps that cannot be are refused', (t) => {
  const cases = [
    { hex: '00', why: 'one varint only' },
    { hex: '00640a', why: 'no offset in the chunk' },
    { hex: '00e4', why: 'ends inside a varint' },
    { hex: '00000a00', why: 'an extent of no bytes' },
    { hex: '00640000', why: 'chunk 0' },
    { hex: '00640100', why: 'chunk -1' },
    { hex: '01808080020a00', why: 'ends behind the segment' },
    { hex: 'ffffffffffffffffff010a0200', why: 'a varint of more than 8 bytes' },
  ];
  for (const { hex, why } of cases) {
    t.throws(() => decodeExtents(Buffer.from(hex, 'hex'), 0), CORRUPT, why);
  }
  const whole = Buffer.from('00808080020a00', 'hex');
  t.equal(decodeExtents(whole, 0)[0]?.bytes, SEGMENT_BYTES, 'a whole segment is fine');
  t.end();
});

t.test('damage is refused, or gives extents in order inside the segment', (t) => {
  const random = new Random(printedSeed(t));
  const extents = extentsOf(random, 0).slice(0, 60);
  const map = encodeExtents(extents, 0);
  let refused = 0;
  for (let at = 0; at < map.length; at += 1) {
    for (const damaged of [map.subarray(0, at), flipped(map, at, 1 + random.below(255))]) {
      const found = decodeOrRefuse(damaged);
      if (found === undefined) refused += 1;
      else if (!isOrdered(found)) t.fail(`byte ${at}: ${JSON.stringify(found)}`);
    }
  }
  t.ok(refused > 0, `${refused} refused`);
  t.end();
});

t.test('numbers that no store has are refused, not rounded', (t) => {
  const extent = { offset: 0, bytes: 1, chunk: (2 ** 48 - 1) as ChunkId, chunkOffset: 2 ** 53 - 1 };
  t.strictSame(decodeExtents(encodeExtents([extent], 0), 0), [extent]);
  const tooLarge = Buffer.from('ffffffffffffff7f', 'hex');
  // Gap, bytes, chunk, offset in the chunk.
  const parts = [0, 1, 2, 0].map((byte) => Buffer.from([byte]));
  t.equal(decodeExtents(Buffer.concat(parts), 0).length, 1);
  for (const place of parts.keys()) {
    const map = Buffer.concat(parts.with(place, tooLarge));
    t.throws(() => decodeExtents(map, 0), CORRUPT, `number ${place}`);
  }
  const chunkTooLarge = encodeExtents([{ ...extent, chunk: (2 ** 48) as ChunkId }], 0);
  t.throws(() => decodeExtents(chunkTooLarge, 0), CORRUPT);
  t.end();
});

/** Undefined when it is refused. */
function decodeOrRefuse(map: Buffer): Extent[] | undefined {
  try {
    return decodeExtents(map, 0);
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    return undefined;
  }
}

function flipped(map: Buffer, at: number, mask: number): Buffer {
  const damaged = Buffer.from(map);
  damaged[at] = (map[at] ?? 0) ^ mask;
  return damaged;
}

function isOrdered(extents: readonly Extent[]): boolean {
  let end = 0;
  return extents.every((extent) => {
    const isRight = extent.offset >= end && extent.bytes > 0 && extent.chunk > 0;
    end = extent.offset + extent.bytes;
    return isRight && end <= SEGMENT_BYTES;
  });
}
