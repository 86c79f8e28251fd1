// Random test data that a printed seed brings back.

/** mulberry32: a small generator with 32 bits of state. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound);
  }

  uint32(): number {
    return this.below(2 ** 32);
  }

  /** Bytes of one of the kinds that stress a cutter: even, two-valued, periodic, sparse, zero. */
  bytes(length: number, kind: 'even' | 'binary' | 'periodic' | 'sparse' | 'zero'): Uint8Array {
    const bytes = new Uint8Array(length);
    const period = 1 + this.below(300);
    for (let at = 0; at < length && kind !== 'zero'; at++) {
      const byte = this.below(256);
      if (kind === 'even') bytes[at] = byte;
      if (kind === 'binary') bytes[at] = byte & 1;
      if (kind === 'periodic') bytes[at] = at < period ? byte : (bytes[at - period] ?? 0);
      if (kind === 'sparse' && this.below(64) === 0) bytes[at] = byte;
    }
    return bytes;
  }
}

export const KINDS = ['even', 'binary', 'periodic', 'sparse', 'zero'] as const;

/** DEDUPFS_TEST_SEED, or a new one each run. */
export function chooseSeed(): number {
  const given = process.env['DEDUPFS_TEST_SEED'];
  return given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given);
}
