// Which chunks were met before, in memory that several threads share: open addressing, no locks.
//
// Where there are more fingerprints than fit, only those below a threshold are kept. Fingerprints are
// evenly spread, so what is counted of them, divided by their share, is an unbiased count of all. The
// threshold is chosen for what is expected, and halved whenever there is no room: what was below the old
// one only is counted no more.
//
// Of each chunk it is also kept in how many units of reading (a file, or a stretch of a large one) it
// was met: when only some of the units are read, that tells what the others would bring (distinct.ts).

/** Slots of one table: at 20 bytes each, 40 MiB. */
const SLOTS_MAX = 2 ** 21;
const SLOTS_MIN = 2 ** 12;
/** Of the slots, as many as are expected to be used. */
const LOAD_MAX = 0.6;
/** Slots looked at for one fingerprint: enough while less than four of five are used. */
const PROBES_MAX = 64;
const SHARE_SCALE = 2 ** 32;

export interface SharedTable {
  readonly keys: SharedArrayBuffer;
  /** For each slot: plain bytes, units, the last unit. */
  readonly facts: SharedArrayBuffer;
  /** Fingerprints of which 32 bits are below it are kept... */
  readonly threshold: number;
  /** ...and half as many, so often, as there were more than expected: one number. */
  readonly halvings: SharedArrayBuffer;
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
    halvings: new SharedArrayBuffer(4),
  };
}

export class FingerprintTable {
  readonly #keys: BigInt64Array;
  /** The keys' halves; the lower one decides whether a key is kept. */
  readonly #halves: Uint32Array;
  readonly #facts: Int32Array;
  readonly #thresholdAtFirst: number;
  readonly #halvings: Int32Array;
  readonly #slots: number;

  constructor({ keys, facts, threshold, halvings }: SharedTable) {
    this.#keys = new BigInt64Array(keys);
    this.#halves = new Uint32Array(keys);
    this.#facts = new Int32Array(facts);
    this.#thresholdAtFirst = threshold;
    this.#halvings = new Int32Array(halvings);
    this.#slots = this.#keys.length;
  }

  /** @param unit number of the unit it was met in, at least 1 */
  note(fingerprint: Buffer, bytes: number, unit: number): Sighting {
    const key = fingerprint.readBigInt64LE(8) || 1n;
    const first = fingerprint.readUInt32LE(4) & (this.#slots - 1);
    for (;;) {
      const halvings = Atomics.load(this.#halvings, 0);
      const threshold = this.#thresholdAtFirst / 2 ** halvings;
      if (fingerprint.readUInt32LE(8) >= threshold) return 'untracked';
      const { slot, found } = this.#search(first, key, threshold);
      if (found === key) return this.#noteAt(slot, unit, 'known');
      if (found === undefined) {
        // More chunks than the sizes of the files let expect: half of them make room.
        Atomics.compareExchange(this.#halvings, 0, halvings, halvings + 1);
        continue;
      }
      // Else another thread was quicker: what it made of the slot is looked at.
      if (Atomics.compareExchange(this.#keys, slot, found, key) !== found) continue;
      Atomics.store(this.#facts, slot * 3, bytes);
      if (found !== 0n) this.#forgetAt(slot);
      return this.#noteAt(slot, unit, 'new');
    }
  }

  /** The key's slot, or one that it may have and what is there; `found` undefined: there is none. */
  #search(
    first: number,
    key: bigint,
    threshold: number,
  ): { readonly slot: number; readonly found: bigint | undefined } {
    let slot = first;
    let free: { readonly slot: number; readonly found: bigint } | undefined;
    for (let probe = 1; probe <= PROBES_MAX; probe += 1) {
      const found = Atomics.load(this.#keys, slot);
      if (found === key) return { slot, found };
      if (found === 0n) return free ?? { slot, found };
      if ((this.#halves[slot * 2] ?? 0) >= threshold) free ??= { slot, found };
      // Steps that grow: slots in use form no long rows.
      slot = (slot + probe) & (this.#slots - 1);
    }
    return free ?? { slot, found: undefined };
  }

  /** What was there is kept no more. Who notes the new key at this very moment may lose that. */
  #forgetAt(slot: number): void {
    Atomics.store(this.#facts, slot * 3 + 1, 0);
    Atomics.store(this.#facts, slot * 3 + 2, 0);
  }

  #noteAt(slot: number, unit: number, sighting: Sighting): Sighting {
    const before = Atomics.exchange(this.#facts, slot * 3 + 2, unit);
    if (before !== unit) Atomics.add(this.#facts, slot * 3 + 1, 1);
    return sighting;
  }

  sums(): TableSums {
    const sums = { chunks: 0, bytes: 0, bytesInOne: 0, bytesInTwo: 0, chunksInTwo: 0 };
    const threshold = this.#thresholdAtFirst / 2 ** Atomics.load(this.#halvings, 0);
    for (let slot = 0; slot < this.#slots; slot += 1) {
      const bytes = this.#facts[slot * 3] ?? 0;
      if (bytes === 0 || (this.#halves[slot * 2] ?? 0) >= threshold) continue;
      sums.chunks += 1;
      sums.bytes += bytes;
      const units = this.#facts[slot * 3 + 1];
      if (units === 1) sums.bytesInOne += bytes;
      if (units !== 2) continue;
      sums.bytesInTwo += bytes;
      sums.chunksInTwo += 1;
    }
    return { share: threshold / SHARE_SCALE, ...sums };
  }
}
