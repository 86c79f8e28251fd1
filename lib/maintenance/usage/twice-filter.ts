// Tells of values whether they may have come twice, in two bits for each of a fixed number of slots. It
// never misses one that did; now and then it takes two values that share a slot for one.

export class TwiceFilter {
  readonly #once: Uint8Array;
  readonly #twice: Uint8Array;
  readonly #mask: number;

  /** @param slotsLog2 2 to the power of this many slots, a quarter of a byte each */
  constructor(slotsLog2: number) {
    this.#once = new Uint8Array(2 ** (slotsLog2 - 3));
    this.#twice = new Uint8Array(2 ** (slotsLog2 - 3));
    this.#mask = 2 ** slotsLog2 - 1;
  }

  /** @param hash 32 bits */
  add(hash: number): void {
    const slot = (hash & this.#mask) >>> 0;
    const bit = 1 << (slot & 7);
    const byte = slot >>> 3;
    const seen = this.#once[byte] ?? 0;
    if ((seen & bit) === 0) this.#once[byte] = seen | bit;
    else this.#twice[byte] = (this.#twice[byte] ?? 0) | bit;
  }

  mayBeTwice(hash: number): boolean {
    const slot = (hash & this.#mask) >>> 0;
    return ((this.#twice[slot >>> 3] ?? 0) & (1 << (slot & 7))) !== 0;
  }
}

/** 32 well-mixed bits of a number below 2^53. */
export function hashOf(value: number): number {
  let hash = (value % 2 ** 32) ^ Math.imul(Math.floor(value / 2 ** 32), 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
