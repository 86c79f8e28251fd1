// STORE/reserve: space of the store that holds nothing. It is given up, a part at a time, when the
// host is full and what was accepted must still be written, and taken again when there is room.
// Really allocated (fallocate), because a limit that only we respect is no reserve: another program
// takes the last byte of the disk within milliseconds.

import { closeSync, fstatSync, ftruncateSync, openSync } from 'node:fs';
import { isFull, isFullError } from '../host-room.ts';
import { native } from '../native.ts';

/** Where the host has less than it was asked for, smaller pieces are tried down to this one. */
const PIECE_BYTES_MIN = 64 * 1024;

export class Reserve {
  #descriptor: number | undefined;
  #bytes = 0;
  #canAllocate = true;

  /** Opens or creates the file, taking over what an earlier mount left in it. */
  constructor(path: string) {
    try {
      this.#descriptor = openSync(path, 'a', 0o600);
    } catch (error) {
      // Not even an inode is left: the next mount tries again.
      if (!isFullError(error)) throw error;
      return;
    }
    const { size, blocks } = fstatSync(this.#descriptor);
    this.#bytes = Math.min(size, blocks * 512);
    // A copy of the store may have brought it as a file of holes.
    if (this.#bytes < size) this.#truncate(0);
  }

  /** Bytes that it holds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the host's file system can hold space for a file. */
  get canAllocate(): boolean {
    return this.#canAllocate;
  }

  /** Grows or shrinks to so many bytes, or to as many as the host gives. */
  resize(bytes: number): void {
    if (bytes < this.#bytes) this.#truncate(bytes);
    let piece = bytes - this.#bytes;
    while (this.#bytes < bytes && piece >= PIECE_BYTES_MIN && this.#canAllocate) {
      if (!this.#grow(Math.min(piece, bytes - this.#bytes))) piece = Math.floor(piece / 4);
    }
  }

  #grow(bytes: number): boolean {
    if (this.#descriptor === undefined) return false;
    const result = native.allocate(this.#descriptor, this.#bytes, bytes, false);
    if (result === 0) {
      this.#bytes += bytes;
      return true;
    }
    if (!isFull(result)) this.#canAllocate = false;
    // A part of it may have been allocated.
    this.#truncate(this.#bytes);
    return false;
  }

  /** Where even giving up space takes some (copy on write), all of it is kept. */
  #truncate(bytes: number): void {
    try {
      if (this.#descriptor !== undefined) ftruncateSync(this.#descriptor, bytes);
    } catch (error) {
      if (isFullError(error)) return;
      throw error;
    }
    this.#bytes = bytes;
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}
