// Which chunks were met before, in memory that several threads share: open addressing, no locks.
//
// Where there are more fingerprints than fit, only those below a threshold are kept. Fingerprints are
// evenly spread, so what is counted of them, divided by their share, is an unbiased count of all.
//
// Of each chunk it is also kept in how many units of reading (a file, or a stretch of a large one) it
// was met: when only some of the units are read, that tells what the others would bring (distinct.ts).

/** Slots of one table: at 20 bytes each, 40 MiB. */
const SLOTS_MAX = 2 ** 21;
const SLOTS_MIN = 2 ** 12;
/** Fuller, and searching gets long. */
const LOAD_MAX = 0.6;
const SHARE_SCALE = 2 ** 32;

export interface SharedTable {
  readonly keys: SharedArrayBuffer;
  /** For each slot: plain bytes, units, the last unit. */
  readonly facts: SharedArrayBuffer;
  /** Fingerprints whose first 32 bits are below it are kept. */
  readonly threshold: number;
}

export type Sighting = 'new' | 'known' | 'untracked';

/** What was met, of the share that is tracked. */
export interface TableSums {
  /** Of all fingerprints. */
  readonly share: number;
  readonly chunks: number;
  readonly bytes: number;
  /** Bytes of the chunks met in one unit only, and in two. */
  readonly bytesInOne: number;
  readonly bytesInTwo: number;
  readonly chunksInTwo: number;
}

/** @param expected fingerprints, not too few */
export function createTable(expected: number): SharedTable {
  let slots = SLOTS_MIN;
  while (slots * LOAD_MAX < expected && slots < SLOTS_MAX) slots *= 2;
  const share = Math.min(1, (slots * LOAD_MAX) / Math.max(1, expected));
  return {
    keys: new SharedArrayBuffer(slots * 8),
    facts: new SharedArrayBuffer(slots * 12),
    threshold: Math.floor(share * SHARE_SCALE),
  };
}

export class FingerprintTable {
  readonly #keys: BigInt64Array;
  readonly #facts: Int32Array;
  readonly #threshold: number;
  readonly #slots: number;

  constructor({ keys, facts, threshold }: SharedTable) {
    this.#keys = new BigInt64Array(keys);
    this.#facts = new Int32Array(facts);
    this.#threshold = threshold;
    this.#slots = this.#keys.length;
  }

  /** @param unit number of the unit it was met in, at least 1 */
  note(fingerprint: Buffer, bytes: number, unit: number): Sighting {
    if (fingerprint.readUInt32LE(0) >= this.#threshold) return 'untracked';
    const key = fingerprint.readBigInt64LE(8) || 1n;
    let slot = fingerprint.readUInt32LE(4) & (this.#slots - 1);
    for (let tries = 0; tries < this.#slots; tries += 1) {
      const found = Atomics.compareExchange(this.#keys, slot, 0n, key);
      if (found === 0n || found === key) return this.#noteAt(slot, bytes, unit, found === 0n);
      slot = (slot + 1) & (this.#slots - 1);
    }
    return 'untracked'; // full: more chunks than the sizes of the files let expect
  }

  #noteAt(slot: number, bytes: number, unit: number, isNew: boolean): Sighting {
    if (isNew) Atomics.store(this.#facts, slot * 3, bytes);
    const before = Atomics.exchange(this.#facts, slot * 3 + 2, unit);
    if (before !== unit) Atomics.add(this.#facts, slot * 3 + 1, 1);
    return isNew ? 'new' : 'known';
  }

  sums(): TableSums {
    const sums = { chunks: 0, bytes: 0, bytesInOne: 0, bytesInTwo: 0, chunksInTwo: 0 };
    for (let slot = 0; slot < this.#slots; slot += 1) {
      const bytes = this.#facts[slot * 3] ?? 0;
      if (bytes === 0) continue;
      sums.chunks += 1;
      sums.bytes += bytes;
      const units = this.#facts[slot * 3 + 1];
      if (units === 1) sums.bytesInOne += bytes;
      if (units !== 2) continue;
      sums.bytesInTwo += bytes;
      sums.chunksInTwo += 1;
    }
    return { share: this.#threshold / SHARE_SCALE, ...sums };
  }
}
