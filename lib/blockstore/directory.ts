// The directory of a pack: one entry for each chunk, in order.
//
//   offset  bytes  field
//        0     32  fingerprint
//       32      4  plain bytes                                            u32 little endian
//       36      4  stored bytes: the chunk's share of its frame           u32
//       40      1  codec of the frame
//       41      1  flags: bit 0 set when the chunk lies in the frame of the entry before it
//       42      6  id of the chunk                                        u48; zero: none
//
// An entry of version 1 ends after 44 bytes, and those from 42 on are zero: its chunk is known by its
// fingerprint only. With the id, the rows of chunks can be rebuilt from packs alone.
//
// The stored bytes of all entries before a frame add up to its offset, those of its own to its length.

import { assert } from '../assert.ts';
import { DIGEST_BYTES } from '../blake3.ts';
import { shareStoredBytes, type FrameContent } from './frame.ts';

/** Of the packs that are written. */
export const ENTRY_BYTES = 48;
const CHUNK_OFFSET = 42;
const CHUNK_BYTES = 6;
/** Bytes of an entry by the pack's version. */
const ENTRY_BYTES_OF = new Map([
  [1, 44],
  [2, ENTRY_BYTES],
]);
const CONTINUES_FRAME = 1;

export interface PackEntry {
  /** 32 bytes; a view of the directory. */
  readonly fingerprint: Buffer;
  readonly plainBytes: number;
  /** The chunk's share of its frame. */
  readonly storedBytes: number;
  readonly codec: number;
  /** Id of the chunk; 0 in packs of version 1. */
  readonly chunk: number;
}

/** Where a frame lies among the frames of its pack. */
export interface FramePlace {
  readonly first: number;
  readonly entries: readonly PackEntry[];
  readonly codec: number;
  readonly plainBytes: number;
  /** From the start of the first frame. */
  readonly offset: number;
  readonly storedBytes: number;
}

/** Size of an entry; undefined when there is no such version. */
export function entryBytesOf(packVersion: number): number | undefined {
  return ENTRY_BYTES_OF.get(packVersion);
}

export class Directory {
  readonly #bytes: Buffer;
  readonly #entryBytes: number;
  #count: number;

  /** @param bytes memory of the directory, kept as a view; `count` entries are there already */
  constructor(bytes: Buffer, count = 0, entryBytes = ENTRY_BYTES) {
    this.#bytes = bytes;
    this.#count = count;
    this.#entryBytes = entryBytes;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#count * this.#entryBytes);
  }

  /** The same in memory of its own. */
  clone(): Directory {
    return new Directory(Buffer.from(this.bytes), this.#count, this.#entryBytes);
  }

  /** Sum over all entries. */
  get storedBytes(): number {
    let bytes = 0;
    for (let index = 0; index < this.#count; index += 1) bytes += this.#storedBytes(index);
    return bytes;
  }

  clear(): void {
    this.#count = 0;
  }

  /** Returns the index of the frame's first chunk. */
  append(frame: FrameContent): number {
    assert(this.#entryBytes === ENTRY_BYTES, 'packs of earlier versions are not written');
    const first = this.#count;
    const plainBytes = frame.chunks.map((chunk) => chunk.plainBytes);
    const shares = shareStoredBytes(plainBytes, frame.stored.length);
    for (const [index, chunk] of frame.chunks.entries()) {
      assert(chunk.fingerprint.length === DIGEST_BYTES, 'a fingerprint has 32 bytes');
      const at = this.#count * this.#entryBytes;
      this.#bytes.set(chunk.fingerprint, at);
      this.#bytes.writeUInt32LE(chunk.plainBytes, at + 32);
      this.#bytes.writeUInt32LE(shares[index] ?? 0, at + 36);
      this.#bytes.writeUInt8(frame.codec, at + 40);
      this.#bytes.writeUInt8(index === 0 ? 0 : CONTINUES_FRAME, at + 41);
      this.#bytes.writeUIntLE(chunk.chunk, at + CHUNK_OFFSET, CHUNK_BYTES);
      this.#count += 1;
    }
    return first;
  }

  entry(index: number): PackEntry {
    assert(index < this.#count, `the pack has no chunk ${index}`);
    const at = index * this.#entryBytes;
    return {
      fingerprint: this.#bytes.subarray(at, at + DIGEST_BYTES),
      plainBytes: this.#bytes.readUInt32LE(at + 32),
      storedBytes: this.#storedBytes(index),
      codec: this.#bytes.readUInt8(at + 40),
      chunk:
        this.#entryBytes < ENTRY_BYTES ? 0 : this.#bytes.readUIntLE(at + CHUNK_OFFSET, CHUNK_BYTES),
    };
  }

  #storedBytes(index: number): number {
    return this.#bytes.readUInt32LE(index * this.#entryBytes + 36);
  }

  #continues(index: number): boolean {
    return (this.#bytes.readUInt8(index * this.#entryBytes + 41) & CONTINUES_FRAME) !== 0;
  }

  /** The frame that holds a chunk. */
  frameOf(index: number): FramePlace {
    let first = index;
    while (first > 0 && this.#continues(first)) first -= 1;
    let offset = 0;
    for (let before = 0; before < first; before += 1) offset += this.#storedBytes(before);
    const entries = [this.entry(first)];
    for (let next = first + 1; next < this.#count && this.#continues(next); next += 1) {
      entries.push(this.entry(next));
    }
    return {
      first,
      entries,
      codec: this.entry(first).codec,
      plainBytes: entries.reduce((sum, entry) => sum + entry.plainBytes, 0),
      offset,
      storedBytes: entries.reduce((sum, entry) => sum + entry.storedBytes, 0),
    };
  }
}
