// Memory for decoded frames, used again: V8 counts what is allocated outside of its heap, and collects
// all garbage each time some 64 MiB have come together, which takes as long as decoding them.

/** Memory comes in multiples of this, so that one frame's serves another. */
const STEP_BYTES = 16 * 1024;
/** Bound on what waits to be used again. */
const SPARE_BYTES_MAX = 1024 * 1024;

export class FrameMemory {
  /** Given back, by size. */
  readonly #spare = new Map<number, Buffer[]>();
  #spareBytes = 0;

  /** At least so many bytes. */
  take(bytes: number): Buffer {
    const size = Math.ceil(bytes / STEP_BYTES) * STEP_BYTES;
    const spare = this.#spare.get(size)?.pop();
    if (spare === undefined) return Buffer.allocUnsafeSlow(size);
    this.#spareBytes -= size;
    return spare;
  }

  /** Nobody reads what `take` gave any more. */
  giveBack(memory: Buffer): void {
    const size = memory.length;
    if (this.#spareBytes + size > SPARE_BYTES_MAX) return;
    this.#spareBytes += size;
    const spare = this.#spare.get(size);
    if (spare === undefined) this.#spare.set(size, [memory]);
    else spare.push(memory);
  }
}
