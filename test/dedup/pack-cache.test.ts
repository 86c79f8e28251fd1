// Goal: a pack's bytes are read as often as it pays, and are right. Method: packs made here, and a source
// that notes what is read.

import t from 'tap';
import { blake3 } from '../../lib/blake3.ts';
import { PackBuilder } from '../../lib/blockstore/pack.ts';
import { CodecId } from '../../lib/dedup/codec.ts';
import { PackCache } from '../../lib/dedup/pack-cache.ts';
import { randomBytesOf } from '../support/random.ts';

const PACKS = 6;
const FRAMES = 20;
const FRAME_BYTES = 5000;

function contentOf(packId: number, index: number): Buffer {
  return randomBytesOf(`${packId} ${index}`, FRAME_BYTES);
}

function packOf(packId: number): Buffer {
  const builder = new PackBuilder(FRAME_BYTES);
  for (let index = 0; index < FRAMES; index += 1) {
    const stored = contentOf(packId, index);
    const chunk = { fingerprint: blake3(stored), plainBytes: FRAME_BYTES, chunk: index };
    builder.append({ chunks: [chunk], codec: CodecId.NONE, stored });
  }
  return Buffer.from(builder.seal({ packId, batch: 1, createdMs: 1 }));
}

class Sample {
  readonly packs = Array.from({ length: PACKS }, (_, packId) => packOf(packId));
  readonly cache: PackCache;
  /** `whole` or `part`, and the pack's number. */
  #reads: string[] = [];

  constructor() {
    this.cache = new PackCache({
      read: (packId) => {
        this.#reads.push(`whole ${packId}`);
        return Buffer.from(this.packs[packId] ?? '');
      },
      readPart: (packId, offset, into) => {
        this.#reads.push(`part ${packId}`);
        this.packs[packId]?.copy(into, 0, offset, offset + into.length);
      },
    });
  }

  isRight(packId: number, index: number): boolean {
    return this.cache.frameOf(packId, index).stored.equals(contentOf(packId, index));
  }

  /** What was read since the last call. */
  reads(): string[] {
    const reads = this.#reads;
    this.#reads = [];
    return reads;
  }
}

t.test('a pack met first is read as a whole, later only the frames asked for', (t) => {
  const sample = new Sample();
  for (let packId = 0; packId < PACKS; packId += 1) t.ok(sample.isRight(packId, 3));
  t.strictSame(
    sample.reads(),
    sample.packs.map((_, packId) => `whole ${packId}`),
  );
  t.ok(sample.isRight(0, 7) && sample.isRight(0, 8));
  t.strictSame(sample.reads(), ['part 0', 'part 0']);
  t.ok(sample.isRight(5, 7));
  t.strictSame(sample.reads(), [], 'one of the last');
  t.end();
});

t.test('who will ask for many chunks of a pack has it read as a whole, once', (t) => {
  const sample = new Sample();
  for (let packId = 0; packId < PACKS; packId += 1) sample.isRight(packId, 0);
  sample.reads();
  sample.cache.expect(0, 2);
  t.ok(sample.isRight(0, 1));
  t.strictSame(sample.reads(), ['part 0'], 'few');
  for (let round = 0; round < 3000; round += 1) {
    const packId = round % PACKS;
    sample.cache.expect(packId, FRAMES / 2);
    const isRight = Array.from({ length: FRAMES }, (_, index) => {
      return round > PACKS || sample.isRight(packId, index);
    });
    if (isRight.includes(false)) t.fail(`pack ${packId}`);
    if (round < PACKS) t.ok(sample.reads().length <= 1, `pack ${packId} at once`);
  }
  sample.reads();
  t.ok(sample.isRight(0, 4), 'its directory is still known');
  t.strictSame(sample.reads(), ['part 0']);
  sample.cache.expect(77, 10);
  t.strictSame(sample.reads(), [], 'a pack never met is read when it is asked for');
  t.end();
});
