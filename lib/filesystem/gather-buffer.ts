// Collects small payloads back to back in one slab, so that a 4 KiB write does not hold 1 MiB.

import { native } from '../native.ts';
import { PAYLOAD_BYTES_MAX, PAYLOAD_OFFSET, type Slab, type SlabPool } from '../slab-pool.ts';
import type { Payload } from './contract.ts';

/**
 * Payloads from this size on keep the slab they came in, so that at least half of every slab is
 * used: cp writes 128 KiB at a time, and a slab for each would run the pool dry at 4 MiB.
 */
export const GATHER_BYTES_MAX = 512 * 1024;

export class GatherBuffer {
  readonly #pool: SlabPool;
  #slab: Slab | undefined;
  #end = 0;

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  /**
   * Where the payload's bytes lie from now on; the caller owns one reference to the slab. Small
   * payloads are copied; large ones, and all when no slab is free, stay where they are.
   */
  keep(payload: Payload): { slab: Slab; slabOffset: number } {
    const slab = payload.bytes < GATHER_BYTES_MAX ? this.#slabFor(payload.bytes) : undefined;
    if (slab === undefined) {
      payload.slab.retain();
      return { slab: payload.slab, slabOffset: payload.offset };
    }
    const slabOffset = PAYLOAD_OFFSET + this.#end;
    native.copy(payload.slab.bytes, payload.offset, slab.bytes, slabOffset, payload.bytes);
    this.#end += payload.bytes;
    slab.retain();
    return { slab, slabOffset };
  }

  #slabFor(bytes: number): Slab | undefined {
    const slab = this.#slab;
    if (slab !== undefined && this.#end + bytes <= PAYLOAD_BYTES_MAX) return slab;
    this.release();
    this.#slab = this.#pool.acquire();
    this.#end = 0;
    return this.#slab;
  }

  /** Gives up the slab being filled, so that an idle mount holds none. */
  release(): void {
    const slab = this.#slab;
    this.#slab = undefined;
    slab?.release();
  }
}
