// Blocks that an arena's file holds behind its end, so that LMDB never meets a full disk: held before
// packs are put, for several packs at a time while many come, and given back when no more do.

import { closeSync, fstatSync, ftruncateSync, openSync } from 'node:fs';
import { isFull, isFullError, type HostRoom } from '../host-room.ts';
import { native } from '../native.ts';

/** Held besides what is needed, at most. */
export const AHEAD_BYTES_MAX = 8 * 1024 * 1024;

const BLOCK_BYTES = 4096;

/** Bytes of the blocks that a file of this size fills: what it occupies besides is held behind its end. */
export function filledBytes(size: number): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
}

export class HeldBlocks {
  readonly #path: string;
  /** Open from the first need on until `close`. */
  #descriptor: number | undefined;
  /** The file is known to have blocks up to here. */
  #end = 0;
  /** The file's size when nothing was held. */
  #restedBytes = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Has the file hold blocks for so many bytes behind its end. As much as was asked for since it last
   * held none is held besides, so that who puts pack after pack asks the host now and then only; but
   * never by means of the reserve, nor of room that anybody could miss.
   * @throws NoSpaceError  @throws Error  the disk fails
   */
  secure(bytes: number, room: HostRoom): void {
    const descriptor = this.#open();
    const { size } = fstatSync(descriptor);
    if (size + bytes <= this.#end) return;
    const askedBytes = Math.max(0, this.#end - this.#restedBytes);
    const recentBytes = Math.min(AHEAD_BYTES_MAX, askedBytes);
    let aheadBytes = recentBytes > 0 && room.hasRoomToSpare(bytes + recentBytes) ? recentBytes : 0;
    const allocate = (): number => {
      const result = native.allocate(descriptor, size, bytes + aheadBytes, true);
      if (result === 0) this.#end = size + bytes + aheadBytes;
      if (!isFull(result) || aheadBytes === 0) return result;
      aheadBytes = 0;
      return allocate();
    };
    room.secure(bytes, allocate);
  }

  #open(): number {
    if (this.#descriptor === undefined) {
      this.#descriptor = openSync(this.#path, 'r+');
      this.#restedBytes = fstatSync(this.#descriptor).size;
    }
    return this.#descriptor;
  }

  /**
   * Gives back what was not written. Only while nothing is: a write moves the end.
   * @throws Error  the disk fails
   */
  giveBack(): void {
    if (this.#descriptor === undefined || this.#end === 0) return;
    const { size } = fstatSync(this.#descriptor);
    try {
      ftruncateSync(this.#descriptor, size);
    } catch (error) {
      // Where even giving back takes space (copy on write), it is kept until there is some.
      if (isFullError(error)) return;
      throw error;
    }
    this.#end = 0;
    this.#restedBytes = size;
  }

  /** Gives back what a process that was killed has held. @throws Error  the disk fails */
  giveBackLeft(): void {
    const { size, blocks } = fstatSync(this.#open());
    if (blocks * 512 <= filledBytes(size)) return;
    this.#end = size;
    this.giveBack();
  }

  /** When nothing is written any more. A failing disk keeps the blocks: the next mount gives them back. */
  close(): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) return;
    try {
      this.giveBack();
    } catch {
      // The failure that matters was told by what was to be written.
    } finally {
      this.#descriptor = undefined;
      closeSync(descriptor);
    }
  }
}
