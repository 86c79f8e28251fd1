// Random choices that a seed fixes.

import { Keystream, PIECE_BYTES } from './sources.ts';

export class Choices {
  readonly #random: Keystream;

  /** @param name distinguishes those who share a seed */
  constructor(seed: string, name: string) {
    this.#random = new Keystream(seed, name);
  }

  /** A whole number in [0, end). */
  below(end: number): number {
    return this.#random.next(4).readUInt32LE() % end;
  }

  /** True so many times in a hundred. */
  percent(share: number): boolean {
    return this.below(10_000) < share * 100;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to choose from');
    return item;
  }

  /** Incompressible. */
  bytes(count: number): Buffer {
    const pieces: Buffer[] = [];
    for (let left = count; left > 0; left -= PIECE_BYTES) {
      pieces.push(this.#random.next(Math.min(left, PIECE_BYTES)));
    }
    return Buffer.concat(pieces);
  }

  next(count: number): Buffer {
    return this.bytes(count);
  }
}
