// Reads a unit: its data in order, its holes left out. Synchronous, for a worker thread.

import { closeSync, constants, openSync, readSync, fstatSync } from 'node:fs';
import { native } from '../native.ts';
import { ZERO_RUN_BYTES_MIN } from '../dedup/segmenter.ts';
import type { Unit } from './protocol.ts';

/** A piece of it: bytes read into the buffer, or a hole. */
export type Piece = { readonly read: number } | { readonly hole: number };

export class UnitReader implements Disposable {
  readonly #unit: Unit;
  readonly #fd: number;
  #position: number;

  /** @throws Error  of open(2); ESTALE when it is no regular file any more */
  constructor(unit: Unit) {
    this.#unit = unit;
    // What turned into a FIFO meanwhile must not hang, a symlink not lead anywhere.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    this.#fd = openSync(Buffer.from(unit.path), flags);
    this.#position = unit.offset;
    if (fstatSync(this.#fd).isFile()) native.adviseReadOnce(this.#fd);
    else this.#failStale();
  }

  #failStale(): never {
    closeSync(this.#fd);
    throw Object.assign(new Error('no regular file any more'), { code: 'ESTALE' });
  }

  /**
   * The next piece, at most `bytes` long, into buffer[at, ...).
   * @returns undefined at the unit's end  @throws Error  of read(2)
   */
  next(buffer: Buffer, at: number, bytes: number): Piece | undefined {
    const end = this.#unit.offset + this.#unit.bytes;
    const hole = this.#holeBefore(end);
    if (hole > 0) {
      this.#position += hole;
      return { hole };
    }
    const wanted = Math.min(bytes, end - this.#position);
    const read = wanted === 0 ? 0 : readSync(this.#fd, buffer, at, wanted, this.#position);
    if (read === 0) return undefined;
    this.#position += read;
    return { read };
  }

  /** Bytes of the hole that begins here; 0 when it is too short to be one in a store. */
  #holeBefore(end: number): number {
    if (!this.#unit.isSparse || this.#position >= end) return 0;
    const data = native.seekData(this.#fd, this.#position);
    const next = data < 0 ? end : Math.min(data, end);
    const hole = next - this.#position;
    return hole >= ZERO_RUN_BYTES_MIN ? hole : 0;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
