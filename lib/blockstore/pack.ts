// The pack: about 128 KiB of stored chunks with a directory of them, one LMDB value, immutable.
//
//   offset  bytes  field
//        0      4  magic "DFPK"
//        4      1  version (1)
//        5      1  flags (0)
//        6      2  count of chunks                      u16 little endian, as everything below
//        8      8  pack id                              u64
//       16      8  batch: the commit that made it durable u64
//       24      8  created, ms since 1970               u64
//       32      4  directory offset                     u32
//       36      4  bytes of the whole pack              u32
//       40     16  checksum: BLAKE3 of [0, 40) and of the directory, first 16 bytes
//       56      8  zero
//       64      .  records: stored chunks, back to back, in directory order
//        .  44 x n directory: fingerprint[32] plain bytes u32, stored bytes u32, codec u8, flags u8, zero u16
//
// The directory follows the records, so that a record is copied once, straight to its final place;
// with the directory in front, every record would move when the number of chunks is known.
// The checksum does not cover the records: each is checked against its fingerprint when it is read.

import { assert } from '../assert.ts';
import { blake3, DIGEST_BYTES } from '../blake3.ts';
import { CorruptionError } from '../errors.ts';
import { native } from '../native.ts';

/** A pack is closed when its records and directory reach this size. */
export const PACK_BYTES_TARGET = 512 * 1024;
export const PACK_HEADER_BYTES = 64;
const DIRECTORY_ENTRY_BYTES = 44;
const CHECKSUM_OFFSET = 40;
const CHECKSUM_BYTES = 16;
const COUNT_MAX = 0xffff;
const MAGIC = 0x4b504644; // "DFPK", little endian

/** One record's directory entry. */
export interface PackEntry {
  /** 32 bytes; a view of the pack. */
  readonly fingerprint: Buffer;
  readonly plainBytes: number;
  readonly storedBytes: number;
  /** Codec id, see dedup/codec.ts. */
  readonly codec: number;
  /** Offset of the stored bytes in the pack. */
  readonly offset: number;
}

export interface PackHeader {
  readonly packId: number;
  readonly batch: number;
  readonly createdMs: number;
  readonly count: number;
}

/** Fills one pack. Reused: `reset` begins the next one in the same memory. */
export class PackBuilder {
  readonly #buffer: Buffer;
  readonly #directory: Buffer;
  readonly #records: { offset: number; plainBytes: number; storedBytes: number; codec: number }[] =
    [];
  #end = PACK_HEADER_BYTES;
  #count = 0;

  /** @param recordBytesMax largest stored chunk that will be appended */
  constructor(recordBytesMax: number) {
    const bytes = PACK_HEADER_BYTES + PACK_BYTES_TARGET + recordBytesMax + DIRECTORY_ENTRY_BYTES;
    // Unpooled and not shared: LMDB's write thread reads it, and the binding crashes on shared memory.
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
    this.#directory = Buffer.alloc(PACK_BYTES_TARGET + DIRECTORY_ENTRY_BYTES);
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of the records appended so far. */
  get recordBytes(): number {
    return this.#end - PACK_HEADER_BYTES;
  }

  /** Size of the finished pack if it were sealed now. */
  get bytes(): number {
    return this.#end + this.#count * DIRECTORY_ENTRY_BYTES;
  }

  get isFull(): boolean {
    return this.bytes >= PACK_BYTES_TARGET || this.#count === COUNT_MAX;
  }

  reset(): void {
    this.#end = PACK_HEADER_BYTES;
    this.#count = 0;
    this.#records.length = 0;
  }

  /** Copies a record in; returns its index in the pack. The pack must not be full. */
  append(
    fingerprint: Uint8Array,
    stored: Uint8Array,
    details: { readonly plainBytes: number; readonly codec: number },
  ): number {
    assert(!this.isFull, 'append to a full pack');
    assert(fingerprint.length === DIGEST_BYTES, 'a fingerprint has 32 bytes');
    assert(this.#end + stored.length <= this.#buffer.length, 'record larger than announced');
    const offset = this.#end;
    const { plainBytes, codec } = details;
    native.copy(stored, 0, this.#buffer, offset, stored.length);
    const entry = this.#count * DIRECTORY_ENTRY_BYTES;
    this.#directory.set(fingerprint, entry);
    this.#directory.writeUInt32LE(plainBytes, entry + 32);
    this.#directory.writeUInt32LE(stored.length, entry + 36);
    this.#directory.writeUInt32LE(codec, entry + 40); // codec, flags 0, zero
    this.#records.push({ offset, plainBytes, storedBytes: stored.length, codec });
    this.#end += stored.length;
    this.#count += 1;
    return this.#count - 1;
  }

  /** A record already appended, also after sealing, until `reset`. The view is not a copy. */
  entry(index: number): PackEntry {
    const record = this.#records[index];
    assert(record !== undefined, `pack has no record ${index}`);
    const at = index * DIRECTORY_ENTRY_BYTES;
    return { ...record, fingerprint: this.#directory.subarray(at, at + DIGEST_BYTES) };
  }

  record(entry: PackEntry): Buffer {
    return this.#buffer.subarray(entry.offset, entry.offset + entry.storedBytes);
  }

  /** Writes directory and header; the view is valid until `reset`. */
  seal(header: {
    readonly packId: number;
    readonly batch: number;
    readonly createdMs: number;
  }): Buffer {
    const directoryBytes = this.#count * DIRECTORY_ENTRY_BYTES;
    const bytes = this.#end + directoryBytes;
    assert(bytes <= this.#buffer.length, 'pack outgrew its buffer');
    this.#directory.copy(this.#buffer, this.#end, 0, directoryBytes);
    const buffer = this.#buffer;
    buffer.fill(0, 0, PACK_HEADER_BYTES);
    buffer.writeUInt32LE(MAGIC, 0);
    buffer.writeUInt8(1, 4);
    buffer.writeUInt16LE(this.#count, 6);
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

/** A pack as read back: header and directory checked, records not yet. */
export class Pack {
  readonly header: PackHeader;
  readonly #bytes: Buffer;
  readonly #directoryOffset: number;

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
    if (bytes.readUInt8(4) !== 1) fail(`version ${bytes.readUInt8(4)}, expected 1`);
    const count = bytes.readUInt16LE(6);
    this.#directoryOffset = bytes.readUInt32LE(32);
    if (bytes.readUInt32LE(36) !== bytes.length) fail('length differs from its header');
    if (this.#directoryOffset + count * DIRECTORY_ENTRY_BYTES !== bytes.length) {
      fail('directory does not fill the rest');
    }
    const found = bytes.subarray(CHECKSUM_OFFSET, CHECKSUM_OFFSET + CHECKSUM_BYTES);
    if (!checksum(bytes, this.#directoryOffset).equals(found)) fail('checksum does not match');
    const idFound = readU64(bytes, 8);
    if (idFound !== packId) fail(`it is pack ${idFound}`);
    this.header = { packId, batch: readU64(bytes, 16), createdMs: readU64(bytes, 24), count };
    this.#bytes = bytes;
  }

  /** All entries in order. @throws CorruptionError  records reach past the directory */
  entries(): PackEntry[] {
    const entries: PackEntry[] = [];
    let offset = PACK_HEADER_BYTES;
    for (let index = 0; index < this.header.count; index += 1) {
      const entry = this.#entryAt(index, offset);
      entries.push(entry);
      offset += entry.storedBytes;
    }
    if (offset !== this.#directoryOffset) {
      throw new CorruptionError(
        `pack ${this.header.packId} is damaged: records and directory differ`,
      );
    }
    return entries;
  }

  /** One entry, without building the others. @throws CorruptionError  no such entry */
  entry(index: number): PackEntry {
    if (index >= this.header.count) {
      throw new CorruptionError(`pack ${this.header.packId} has no chunk ${index}`);
    }
    let offset = PACK_HEADER_BYTES;
    for (let before = 0; before < index; before += 1) {
      offset += this.#bytes.readUInt32LE(
        this.#directoryOffset + before * DIRECTORY_ENTRY_BYTES + 36,
      );
    }
    const entry = this.#entryAt(index, offset);
    if (offset + entry.storedBytes > this.#directoryOffset) {
      throw new CorruptionError(
        `pack ${this.header.packId} is damaged: records reach its directory`,
      );
    }
    return entry;
  }

  #entryAt(index: number, offset: number): PackEntry {
    const at = this.#directoryOffset + index * DIRECTORY_ENTRY_BYTES;
    return {
      fingerprint: this.#bytes.subarray(at, at + DIGEST_BYTES),
      plainBytes: this.#bytes.readUInt32LE(at + 32),
      storedBytes: this.#bytes.readUInt32LE(at + 36),
      codec: this.#bytes.readUInt8(at + 40),
      offset,
    };
  }

  record(entry: PackEntry): Buffer {
    return this.#bytes.subarray(entry.offset, entry.offset + entry.storedBytes);
  }
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
