// What one open handle reads: when it goes through the file from front to back, the chunks that come
// next are asked for ahead (dedup/read-ahead.ts). Only a hint: what a read returns is decided when it
// is answered, by what the file shows then.

import type { ReadAhead, Ticket } from '../dedup/read-ahead.ts';
import type { ByteRange } from './dirty-ranges.ts';
import type { FileContent } from './file-content.ts';

/** Bytes asked for at a time. */
const PART_BYTES = 1024 * 1024;
/** Most that lies between a reader and what is decoded ahead of it. */
export const AHEAD_BYTES_MAX = 8 * PART_BYTES;
/** The kernel's own readahead may send its requests in another order. */
const DISORDER_BYTES_MAX = PART_BYTES;

interface Part extends ByteRange {
  readonly ticket: Ticket;
}

export class ReadStream {
  readonly #content: FileContent;
  readonly #ahead: ReadAhead;
  /** Where a reader that goes through the file reads next. */
  #next = 0;
  /** End of what was asked for. */
  #asked = 0;
  /** How far ahead; doubles with each read in order. */
  #windowBytes = 0;
  #reads = 0;
  /** Asked for and not read yet, in order. */
  #parts: Part[] = [];

  constructor(content: FileContent, ahead: ReadAhead) {
    this.#content = content;
    this.#ahead = ahead;
  }

  /** Before a read. Resolves when the worker that is at its chunks is done; undefined: go ahead. */
  noteRead(range: ByteRange): Promise<unknown> | undefined {
    if (Math.abs(range.offset - this.#next) > DISORDER_BYTES_MAX) this.#restart(range.offset);
    else if (range.end > this.#next) this.#grow();
    this.#next = Math.max(this.#next, range.end);
    const waits = this.#waitsFor(range);
    this.#extend();
    return waits.length === 0 ? undefined : Promise.all(waits);
  }

  #restart(offset: number): void {
    this.close();
    this.#next = offset;
    this.#asked = 0;
    this.#windowBytes = 0;
    this.#reads = 1;
  }

  #grow(): void {
    this.#reads += 1;
    if (this.#reads < 2) return;
    this.#windowBytes = Math.min(AHEAD_BYTES_MAX, Math.max(PART_BYTES, this.#windowBytes * 2));
  }

  #waitsFor(range: ByteRange): Promise<unknown>[] {
    this.#parts = this.#parts.filter((part) => part.end > range.offset);
    return this.#parts
      .filter((part) => part.offset < range.end)
      .map((part) => part.ticket.wait())
      .filter((wait) => wait !== undefined);
  }

  #extend(): void {
    const { size } = this.#content.inode;
    const goal = Math.min(size, this.#next + this.#windowBytes);
    this.#asked = Math.max(this.#asked, this.#next);
    while (goal - this.#asked >= PART_BYTES || (goal === size && this.#asked < goal)) {
      const part = this.#ask({
        offset: this.#asked,
        end: Math.min(this.#asked + PART_BYTES, size),
      });
      if (part === undefined) return;
      this.#parts.push(part);
      this.#asked = part.end;
    }
  }

  /** The part of the range that was asked for; undefined: not now. */
  #ask(range: ByteRange): Part | undefined {
    const { extents, inode } = this.#content;
    try {
      const found = extents.find(inode.ino, range);
      const asked = this.#ahead.request(found.map(({ chunk }) => chunk));
      if (asked === undefined) return undefined;
      const rest = found[asked.count];
      const end = rest === undefined ? range.end : Math.max(rest.offset, range.offset + 1);
      return { offset: range.offset, end, ticket: asked.ticket };
    } catch {
      // What cannot be looked up fails the read that wants it, not the one before.
      return undefined;
    }
  }

  /** Nothing more will be read. */
  close(): void {
    for (const { ticket } of this.#parts) ticket.abandon();
    this.#parts = [];
  }
}
