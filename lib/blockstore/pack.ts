// The pack: about 512 KiB of stored chunks with a directory of them, one LMDB value, immutable.
//
//   offset  bytes  field
//        0      4  magic "DFPK"
//        4      1  version (2; packs of version 1 are read)
//        5      1  kind: 0 chunks, 1 pages of a metadata checkpoint, 2 its manifest
//        6      2  count of chunks                        u16 little endian, as everything below
//        8      8  pack id                                u64
//       16      8  batch: the commit that made it durable u64
//       24      8  created, ms since 1970                 u64
//       32      4  directory offset                       u32
//       36      4  bytes of the whole pack                u32
//       40     16  checksum: BLAKE3 of [0, 40) and of the directory, first 16 bytes
//       56      8  zero
//       64      .  frames, back to back
//        .  44 x n directory, see directory.ts
//
// A frame is a run of chunks that were compressed together (frame.ts). The directory follows the
// frames, so that each is copied once, straight to its final place. The checksum does not cover the
// frames: each chunk is checked against its fingerprint when it is read.

import { assert } from '../assert.ts';
import { blake3 } from '../blake3.ts';
import { CorruptionError } from '../errors.ts';
import { native } from '../native.ts';
import {
  Directory,
  ENTRY_BYTES,
  entryBytesOf,
  type FramePlace,
  type PackEntry,
} from './directory.ts';
import { FRAME_CHUNKS_MAX, type Frame, type FrameContent } from './frame.ts';

/**
 * A pack is closed when its frames and directory reach this size. LMDB rounds each value up to 4 KiB
 * pages: at 128 KiB that costs 1.5 % of the store, at 512 KiB 0.4 % (m); reading one frame does
 * not read the others.
 */
export const PACK_BYTES_TARGET = 512 * 1024;
export const PACK_HEADER_BYTES = 64;
/** What LMDB adds to a pack: its page header and tree entry, and on average half of the last page. */
const LMDB_BYTES = 16 + 32 + 4096 / 2;
const CHECKSUM_OFFSET = 40;
const CHECKSUM_BYTES = 16;
const COUNT_MAX = 0xffff - FRAME_CHUNKS_MAX;
const VERSION = 2;
const MAGIC = 0x4b504644; // "DFPK", little endian
export const PACK_MAGIC = Buffer.from('DFPK');

/** What a pack holds. Only packs of chunks lie in the arenas that the metastore names. */
export const PackKind = { CHUNKS: 0, PAGES: 1, MANIFEST: 2 } as const;

export interface PackHeader {
  readonly packId: number;
  readonly batch: number;
  readonly createdMs: number;
  readonly count: number;
  /** One of PackKind. */
  readonly kind: number;
}

/** What records of chunks take in an arena, with their share of full packs around them. */
export function bytesInArena(recordBytes: number, chunks: number): number {
  const bytes = recordBytes + chunks * ENTRY_BYTES;
  return bytes + Math.round((bytes / PACK_BYTES_TARGET) * (PACK_HEADER_BYTES + LMDB_BYTES));
}

/** Fills one pack. Reused: `reset` begins the next one in the same memory. */
export class PackBuilder {
  readonly #buffer: Buffer;
  readonly #directory: Directory;
  #end = PACK_HEADER_BYTES;

  /** @param frameBytesMax largest frame that will be appended, stored bytes */
  constructor(frameBytesMax: number) {
    const directoryBytes = PACK_BYTES_TARGET + FRAME_CHUNKS_MAX * ENTRY_BYTES;
    // Unpooled and not shared: LMDB's write thread reads it, and the binding crashes on shared memory.
    this.#buffer = Buffer.allocUnsafeSlow(PACK_HEADER_BYTES + frameBytesMax + directoryBytes);
    this.#directory = new Directory(Buffer.alloc(directoryBytes));
  }

  get count(): number {
    return this.#directory.count;
  }

  /** Bytes of the frames appended so far. */
  get recordBytes(): number {
    return this.#end - PACK_HEADER_BYTES;
  }

  /** Size of the finished pack if it were sealed now. */
  get bytes(): number {
    return this.#end + this.count * ENTRY_BYTES;
  }

  get isFull(): boolean {
    return this.bytes >= PACK_BYTES_TARGET || this.count >= COUNT_MAX;
  }

  reset(): void {
    this.#end = PACK_HEADER_BYTES;
    this.#directory.clear();
  }

  /** Copies a frame in; returns the index of its first chunk. The pack must not be full. */
  append(frame: FrameContent): number {
    const { stored } = frame;
    assert(!this.isFull, 'append to a full pack');
    assert(this.bytes + stored.length <= this.#buffer.length, 'frame larger than announced');
    native.copy(stored, 0, this.#buffer, this.#end, stored.length);
    this.#end += stored.length;
    return this.#directory.append(frame);
  }

  entry(index: number): PackEntry {
    return this.#directory.entry(index);
  }

  /** The frame of a chunk, also after sealing, until `reset`. Its bytes are a view. */
  frameOf(index: number): Frame {
    return frameFrom(this.#buffer, this.#directory, index);
  }

  /** Writes directory and header; the view is valid until `reset`. */
  seal(header: {
    readonly packId: number;
    readonly batch: number;
    readonly createdMs: number;
    /** Default: chunks. */
    readonly kind?: number;
  }): Buffer {
    const { bytes } = this;
    const buffer = this.#buffer;
    this.#directory.bytes.copy(buffer, this.#end);
    buffer.fill(0, 0, PACK_HEADER_BYTES);
    buffer.writeUInt32LE(MAGIC, 0);
    buffer.writeUInt8(VERSION, 4);
    buffer.writeUInt8(header.kind ?? PackKind.CHUNKS, 5);
    buffer.writeUInt16LE(this.count, 6);
    writeU64(buffer, header.packId, 8);
    writeU64(buffer, header.batch, 16);
    writeU64(buffer, header.createdMs, 24);
    buffer.writeUInt32LE(this.#end, 32);
    buffer.writeUInt32LE(bytes, 36);
    const pack = buffer.subarray(0, bytes);
    checksum(pack, this.#end).copy(buffer, CHECKSUM_OFFSET);
    return pack;
  }
}

/** A pack as read back: header and directory checked, frames not yet. */
export class Pack {
  readonly header: PackHeader;
  readonly #bytes: Buffer;
  readonly #directory: Directory;

  /**
   * @param bytes kept as a view, not copied
   * @throws CorruptionError  not a pack, cut short, another pack, or its checksum does not match
   */
  constructor(bytes: Buffer, packId: number) {
    const fail = (what: string): never => {
      throw new CorruptionError(`pack ${packId} is damaged: ${what}`);
    };
    if (bytes.length < PACK_HEADER_BYTES) fail(`${bytes.length} bytes, too short for a header`);
    if (bytes.readUInt32LE(0) !== MAGIC) fail('wrong magic');
    const version = bytes.readUInt8(4);
    const entryBytes =
      entryBytesOf(version) ?? fail(`version ${version}, expected 1 or ${VERSION}`);
    const count = bytes.readUInt16LE(6);
    const directoryOffset = bytes.readUInt32LE(32);
    if (bytes.readUInt32LE(36) !== bytes.length) fail('length differs from its header');
    if (directoryOffset + count * entryBytes !== bytes.length) {
      fail('directory does not fill the rest');
    }
    const found = bytes.subarray(CHECKSUM_OFFSET, CHECKSUM_OFFSET + CHECKSUM_BYTES);
    if (!checksum(bytes, directoryOffset).equals(found)) fail('checksum does not match');
    const idFound = readU64(bytes, 8);
    if (idFound !== packId) fail(`it is pack ${idFound}`);
    const kind = bytes.readUInt8(5);
    this.header = { packId, batch: readU64(bytes, 16), createdMs: readU64(bytes, 24), count, kind };
    this.#bytes = bytes;
    this.#directory = new Directory(bytes.subarray(directoryOffset), count, entryBytes);
    if (PACK_HEADER_BYTES + this.#directory.storedBytes !== directoryOffset) {
      fail('frames and directory differ');
    }
  }

  /** All entries in order. */
  entries(): PackEntry[] {
    return Array.from({ length: this.header.count }, (_, index) => this.#directory.entry(index));
  }

  entry(index: number): PackEntry {
    this.#check(index);
    return this.#directory.entry(index);
  }

  /** The frame that holds a chunk; its bytes are a view. @throws CorruptionError  no such chunk */
  frameOf(index: number): Frame {
    this.#check(index);
    return frameFrom(this.#bytes, this.#directory, index);
  }

  /** What finds frames without the pack's bytes; a copy. */
  frameFinder(): FrameFinder {
    return new FrameFinder(this.header, this.#directory.clone());
  }

  #check(index: number): void {
    const { packId, count } = this.header;
    if (index >= count) throw new CorruptionError(`pack ${packId} has no chunk ${index}`);
  }
}

/** Tells where the frames of a pack lie, which itself is read elsewhere. */
export class FrameFinder {
  /** Memory it takes. */
  readonly bytes: number;
  readonly #header: PackHeader;
  readonly #directory: Directory;

  constructor(header: PackHeader, directory: Directory) {
    this.#header = header;
    this.#directory = directory;
    this.bytes = directory.bytes.length;
  }

  /** Chunks of the pack. */
  get count(): number {
    return this.#header.count;
  }

  /** `offset` counts from the start of the pack. @throws CorruptionError  no such chunk */
  placeOf(index: number): FramePlace {
    const { packId, count } = this.#header;
    if (index >= count) throw new CorruptionError(`pack ${packId} has no chunk ${index}`);
    const place = this.#directory.frameOf(index);
    return { ...place, offset: PACK_HEADER_BYTES + place.offset };
  }
}

/** Which pack begins here, by its unchecked header; undefined when none does. */
export function peekPack(bytes: Buffer): { packId: number; bytes: number } | undefined {
  if (bytes.length < PACK_HEADER_BYTES || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  const claim = { packId: readU64(bytes, 8), bytes: bytes.readUInt32LE(36) };
  return Number.isSafeInteger(claim.packId) && claim.bytes >= PACK_HEADER_BYTES ? claim : undefined;
}

function frameFrom(pack: Buffer, directory: Directory, index: number): Frame {
  const place = directory.frameOf(index);
  const offset = PACK_HEADER_BYTES + place.offset;
  return { ...place, stored: pack.subarray(offset, offset + place.storedBytes) };
}

function checksum(pack: Buffer, directoryOffset: number): Buffer {
  const covered = Buffer.concat([
    pack.subarray(0, CHECKSUM_OFFSET),
    pack.subarray(directoryOffset),
  ]);
  return blake3(covered).subarray(0, CHECKSUM_BYTES);
}

function writeU64(buffer: Buffer, value: number, offset: number): void {
  buffer.writeUInt32LE(value % 0x1_0000_0000, offset);
  buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4);
}

function readU64(buffer: Buffer, offset: number): number {
  return buffer.readUInt32LE(offset) + buffer.readUInt32LE(offset + 4) * 0x1_0000_0000;
}
