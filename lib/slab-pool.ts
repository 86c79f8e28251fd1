// Slabs: the fixed set of shared memory blocks that request payloads land in. A slab is filled by
// one read(2) of /dev/fuse, handed on without a copy as dirty bytes, read by a worker, and recycled.
// The pool's size is what bounds dirty memory: when no slab is free, the channel stops polling.
//
// Lifecycle of a slab: acquire (one reference) -> retain/release any number of times -> the release
// that drops the last reference returns it to the pool and wakes one waiter.

import { assert } from './assert.ts';
import { native } from './native.ts';

/** Largest payload of one WRITE: the max_write that INIT negotiates. */
export const PAYLOAD_BYTES_MAX = 1024 * 1024;
/** Where payload bytes start: page-aligned, with room in front for fuse_in_header + fuse_write_in. */
export const PAYLOAD_OFFSET = 4096;
/** Header page + payload + one spare page: a read buffer must hold 80 + max_write and more. */
export const SLAB_BYTES = PAYLOAD_OFFSET + PAYLOAD_BYTES_MAX + 4096;

/** On x86-64, and on arm64 with pages of 4 KiB; of another size the kernel takes no notice. */
const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

export class Slab {
  /** Index in the pool; stable for the slab's life, known to workers. */
  readonly index: number;
  /** Where the slab lies in the memory of the pool. */
  readonly place: { readonly shared: SharedArrayBuffer; readonly offset: number };
  /** The whole slab as bytes. */
  readonly bytes: Buffer;
  readonly #pool: SlabPool;
  #references = 0;

  constructor(pool: SlabPool, index: number, place: Slab['place']) {
    this.#pool = pool;
    this.index = index;
    this.place = place;
    this.bytes = Buffer.from(place.shared, place.offset, SLAB_BYTES);
  }

  get references(): number {
    return this.#references;
  }

  retain(): void {
    this.#references += 1;
  }

  release(): void {
    assert(this.#references > 0, 'slab released more often than retained');
    this.#references -= 1;
    if (this.#references === 0) this.#pool.recycle(this);
  }
}

export class SlabPool {
  readonly #slabsMax: number;
  readonly #free: Slab[] = [];
  readonly #waiters: (() => void)[] = [];
  /** Of all slabs; made with the first, and touched as far as slabs are used. */
  #memory: Slab['place'] | undefined;
  #created = 0;

  /** @param slabsMax bound on slabs, and so on payload memory: slabsMax x SLAB_BYTES */
  constructor(slabsMax: number) {
    assert(slabsMax >= 2, 'a pool needs a slab to receive into and one to hold');
    this.#slabsMax = slabsMax;
  }

  get freeCount(): number {
    return this.#free.length + this.#slabsMax - this.#created;
  }

  get slabsMax(): number {
    return this.#slabsMax;
  }

  /** A slab with one reference, owned by the caller; undefined when all are in use. */
  acquire(): Slab | undefined {
    // Most recently used first: its pages are in the cache, and slabs never needed are never touched.
    let slab = this.#free.pop();
    if (slab === undefined && this.#created < this.#slabsMax) {
      slab = this.#create();
    }
    slab?.retain();
    return slab;
  }

  #create(): Slab {
    const { shared, offset } = (this.#memory ??= allocate(this.#slabsMax * SLAB_BYTES));
    const place = { shared, offset: offset + this.#created * SLAB_BYTES };
    const slab = new Slab(this, this.#created, place);
    this.#created += 1;
    return slab;
  }

  /** Calls back once, when a slab may be free again; the callback must try `acquire` itself. */
  whenFree(callback: () => void): void {
    this.#waiters.push(callback);
  }

  /** Used by Slab.release only. */
  recycle(slab: Slab): void {
    this.#free.push(slab);
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter();
  }
}

/** Memory that begins on the border of a huge page, and so of a page. */
function allocate(bytes: number): Slab['place'] {
  const shared = new SharedArrayBuffer(bytes + HUGE_PAGE_BYTES);
  const offset = native.adviseHugePages(Buffer.from(shared), HUGE_PAGE_BYTES);
  assert(offset >= 0, 'a border of a huge page lies in so much memory');
  return { shared, offset };
}
