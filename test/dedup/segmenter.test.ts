// Goal: where a stretch is cut depends on its content only, not on the calls it came in. Method:
// contents full of zero runs around the length of a hole, cut at once and in random pieces.

import t from 'tap';
import { cutParameters } from '../../lib/dedup/chunking.ts';
import { cutSegment, HOLE_FLAG, ZERO_RUN_BYTES_MIN } from '../../lib/dedup/segmenter.ts';
import { printedSeed, Random, randomBytesOf } from '../support/random.ts';
import { sparseBytes } from '../support/payloads.ts';

const cut = cutParameters(16 * 1024);
const SMALL = { ...cut, bytesMin: 64, bytesMax: 192 };

interface Span {
  readonly bytes: number;
  readonly isHole: boolean;
}

function spansOf(lengths: readonly number[]): Span[] {
  return lengths.map((length) => {
    const isHole = length >= HOLE_FLAG;
    return { bytes: isHole ? length - HOLE_FLAG : length, isHole };
  });
}

/** Holes that two calls made of one run, as one. */
function joined(spans: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (const span of spans) {
    const last = result.at(-1);
    if (last?.isHole === true && span.isHole) {
      result[result.length - 1] = { bytes: last.bytes + span.bytes, isHole: true };
    } else {
      result.push(span);
    }
  }
  return result;
}

function cutAtOnce(content: Buffer, parameters = cut): Span[] {
  const options = { cut: parameters, isFinal: true, isAfterHole: false };
  return spansOf(cutSegment(content, 0, content.length, options));
}

/** As a stream would: each call sees what the one before left uncut, and some more. */
function cutPiecewise(random: Random, content: Buffer, parameters = cut): Span[] {
  const spans: Span[] = [];
  let from = 0;
  let to = 0;
  while (from < content.length) {
    to = Math.min(content.length, to + 1 + random.size(100_000));
    const options = {
      cut: parameters,
      isFinal: to === content.length,
      isAfterHole: spans.at(-1)?.isHole === true,
    };
    // A copy, so that reading behind the end would show.
    const seen = Buffer.concat([content.subarray(from, to), Buffer.alloc(64, 0xff)]);
    const found = spansOf(cutSegment(seen, 0, to - from, options));
    spans.push(...found);
    from += found.reduce((sum, { bytes }) => sum + bytes, 0);
    if (options.isFinal && from < content.length) throw new Error('a final cut leaves a rest');
  }
  return joined(spans);
}

const kinds: Record<string, (random: Random, bytes: number) => Buffer> = {
  'zero runs of 1 to 10,000 bytes': sparseBytes,
  'low entropy': (random, bytes) => {
    const period = 1 + random.below(5000);
    const pattern = randomBytesOf(random.below(1000), period).map((byte) => byte & 1);
    return Buffer.alloc(bytes, pattern);
  },
  'runs about as long as a hole': (random, bytes) => {
    const content = randomBytesOf(random.below(1000), bytes);
    let at = 0;
    while (at < bytes) {
      const run = ZERO_RUN_BYTES_MIN - 3 + random.below(7);
      content.fill(0, at, Math.min(bytes, at + run));
      at += run + 1 + random.size(3 * ZERO_RUN_BYTES_MIN);
    }
    return content;
  },
};

for (const [kind, make] of Object.entries(kinds)) {
  t.test(`${kind}: cut in pieces as cut at once`, (t) => {
    const seed = printedSeed(t);
    for (let round = 0; round < 40; round += 1) {
      const random = new Random(seed + round);
      const content = make(random, random.size(600_000));
      const parameters = random.oneIn(4) ? SMALL : cut;
      const want = cutAtOnce(content, parameters);
      t.strictSame(cutPiecewise(random, content, parameters), want, `round ${round}`);
    }
    t.end();
  });
}

t.test('spans cover all bytes, holes are zeros, no chunk has a long run inside', (t) => {
  const random = new Random(printedSeed(t));
  for (let round = 0; round < 40; round += 1) {
    const content = sparseBytes(random, random.size(400_000));
    let at = 0;
    for (const { bytes, isHole } of cutAtOnce(content)) {
      const part = content.subarray(at, at + bytes);
      if (isHole && (bytes < ZERO_RUN_BYTES_MIN || part.some((byte) => byte !== 0))) {
        t.fail(`not a hole at ${at}`);
      }
      if (!isHole && part.includes(Buffer.alloc(ZERO_RUN_BYTES_MIN))) t.fail(`zeros at ${at}`);
      if (!isHole && bytes > cut.bytesMax) t.fail(`a chunk of ${bytes} bytes at ${at}`);
      at += bytes;
    }
    t.equal(at, content.length);
  }
  t.end();
});

t.test('after a hole leading zeros of any length belong to it', (t) => {
  const after = { cut, isFinal: true, isAfterHole: true };
  const content = Buffer.concat([Buffer.alloc(5), Buffer.from('data')]);
  t.strictSame(spansOf(cutSegment(content, 0, content.length, after)), [
    { bytes: 5, isHole: true },
    { bytes: 4, isHole: false },
  ]);
  const before = { ...after, isAfterHole: false };
  t.strictSame(spansOf(cutSegment(content, 0, content.length, before)), [
    { bytes: 9, isHole: false },
  ]);
  t.strictSame(cutSegment(content, 3, 3, after), [], 'no bytes, no spans');
  t.end();
});
