// Contents for tests of the data path: the kinds that make chunks, holes, and repetitions of both.

import { randomBytesOf, type Random } from './random.ts';

/** Contents come from few seeds, so that the same data is written again and again. */
const SEEDS = 12;

/** Bytes of a random kind: data seen before, zeros, text, or runs of zeros between data. */
export function payloadOf(random: Random, bytes: number): Buffer {
  const seed = random.below(SEEDS);
  switch (random.below(5)) {
    case 0:
      return Buffer.alloc(bytes);
    case 1:
      return Buffer.alloc(bytes, `a line of text that compresses well, number ${seed}\n`);
    case 2:
      return sparseBytes(random, bytes);
    default:
      return randomBytesOf(seed, bytes);
  }
}

/** Few values and many runs of zeros of 1 to 10,000 bytes: what borders of holes depend on. */
export function sparseBytes(random: Random, bytes: number): Buffer {
  const content = Buffer.alloc(bytes);
  let at = random.oneIn(2) ? random.below(10_000) : 0;
  while (at < bytes) {
    const end = Math.min(bytes, at + 1 + random.size(20_000));
    for (; at < end; at += 1) content[at] = random.below(3);
    at += 1 + random.below(10_000);
  }
  return content;
}
