// Goal: what is put into a pack comes back, and nothing else does. Method: packs built from small
// frames, then every byte of header and directory flipped, and every length cut off.

import t from 'tap';
import { blake3 } from '../../lib/blake3.ts';
import { ENTRY_BYTES } from '../../lib/blockstore/directory.ts';
import { shareStoredBytes, type FrameContent } from '../../lib/blockstore/frame.ts';
import {
  Pack,
  PACK_BYTES_TARGET,
  PACK_HEADER_BYTES,
  PackBuilder,
  PackKind,
} from '../../lib/blockstore/pack.ts';
import { CorruptionError } from '../../lib/errors.ts';
import { printedSeed, Random, randomBytesOf } from '../support/random.ts';

const CORRUPT = { code: 'DEDUPFS_CORRUPT' };
const FRAME_BYTES_MAX = 128 * 1024;
const HEADER = { packId: 0x1_0000_0002, batch: 7, createdMs: 0x19a_0000_0000 };

function frameOf(seed: string, plainBytes: readonly number[], storedBytes: number): FrameContent {
  return {
    chunks: plainBytes.map((bytes, index) => ({
      fingerprint: blake3(Buffer.from(`${seed} ${index}`)),
      plainBytes: bytes,
      chunk: 2 ** 40 + index,
    })),
    codec: 1,
    stored: randomBytesOf(seed, storedBytes),
  };
}

function packOf(frames: readonly FrameContent[]): Buffer {
  const builder = new PackBuilder(FRAME_BYTES_MAX);
  for (const frame of frames) builder.append(frame);
  return Buffer.from(builder.seal(HEADER));
}

const FRAMES = [
  frameOf('three', [4096, 8192, 1], 5000),
  frameOf('one', [100], 100),
  frameOf('two', [30_000, 40_000], 12_345),
];

t.test('frames of several chunks come back from every index of theirs', (t) => {
  const pack = new Pack(packOf(FRAMES), HEADER.packId);
  t.strictSame(pack.header, { ...HEADER, count: 6, kind: PackKind.CHUNKS });
  let index = 0;
  for (const want of FRAMES) {
    const first = index;
    for (const chunk of want.chunks) {
      const frame = pack.frameOf(index);
      t.equal(frame.first, first);
      t.ok(frame.stored.equals(want.stored));
      t.equal(frame.codec, want.codec);
      t.equal(frame.entries.length, want.chunks.length);
      const entry = pack.entry(index);
      t.ok(entry.fingerprint.equals(chunk.fingerprint));
      t.equal(entry.plainBytes, chunk.plainBytes);
      t.equal(entry.chunk, chunk.chunk);
      index += 1;
    }
  }
  t.throws(() => pack.frameOf(6), CORRUPT, 'there is no seventh chunk');
  t.end();
});

t.test('a builder gives the same frames before sealing, and starts afresh after reset', (t) => {
  const builder = new PackBuilder(FRAME_BYTES_MAX);
  const indexes = FRAMES.map((frame) => builder.append(frame));
  t.strictSame(indexes, [0, 3, 4]);
  t.ok(builder.frameOf(5).stored.equals(FRAMES[2]?.stored ?? Buffer.alloc(0)));
  const sealed = Buffer.from(builder.seal(HEADER));
  t.equal(sealed.length, PACK_HEADER_BYTES + 5000 + 100 + 12_345 + 6 * ENTRY_BYTES);
  builder.reset();
  for (const frame of FRAMES) builder.append(frame);
  t.ok(builder.seal(HEADER).equals(sealed), 'the same frames make the same bytes');
  t.end();
});

t.test('a pack is full at its target, also when the last frame is the largest', (t) => {
  const builder = new PackBuilder(FRAME_BYTES_MAX);
  let count = 0;
  while (!builder.isFull) {
    builder.append(frameOf(`${count}`, [FRAME_BYTES_MAX], FRAME_BYTES_MAX));
    count += 1;
  }
  t.equal(count, Math.ceil(PACK_BYTES_TARGET / (FRAME_BYTES_MAX + ENTRY_BYTES)));
  t.throws(() => builder.append(frameOf('more', [1], 1)), /full/);
  const pack = new Pack(builder.seal(HEADER), HEADER.packId);
  t.equal(pack.entries().length, count);
  t.end();
});

t.test('the bytes of a pack are those of the format', (t) => {
  const fingerprint = Buffer.alloc(32, 0xfe);
  const chunks = [
    { fingerprint, plainBytes: 8, chunk: 1 },
    { fingerprint, plainBytes: 24, chunk: 2 ** 48 - 2 },
  ];
  const pack = packOf([{ chunks, codec: 2, stored: Buffer.from('STORED') }]);
  const want = [
    '4446504b 02 00 0200', // magic "DFPK", version, flags, count of chunks
    '0200000001000000', //    pack id
    '0700000000000000', //    batch
    '000000009a010000', //    created, ms
    '46000000 a6000000', //   directory offset 70, bytes of the whole pack 166
  ];
  const head = Buffer.from(want.join('').replaceAll(' ', ''), 'hex');
  t.ok(pack.subarray(0, 40).equals(head), pack.subarray(0, 40).toString('hex'));
  const covered = Buffer.concat([pack.subarray(0, 40), pack.subarray(70)]);
  t.ok(pack.subarray(40, 56).equals(blake3(covered).subarray(0, 16)), 'checksum');
  t.ok(pack.subarray(56, 64).equals(Buffer.alloc(8)), 'zero');
  t.equal(pack.subarray(64, 70).toString(), 'STORED');
  const directory = [
    'fe'.repeat(32),
    '08000000 01000000 02 00', // plain, stored (6 x 8 / 32), codec, first of its frame
    '010000000000', // id
    'fe'.repeat(32),
    '18000000 05000000 02 01', // plain, stored, codec, continues the frame
    'feffffffffff', // id
  ];
  t.equal(pack.subarray(70).toString('hex'), directory.join('').replaceAll(' ', ''));
  t.end();
});

t.test('packs of version 1 are read', (t) => {
  const directory = [
    'fe'.repeat(32),
    '08000000 01000000 02 00 0000', // plain, stored (6 x 8 / 32), codec, first of its frame
    'fd'.repeat(32),
    '18000000 05000000 02 01 0000', // plain, stored, codec, continues the frame
  ];
  const head = '4446504b 01 00 0200 0200000001000000 0700000000000000 000000009a010000';
  const bytes = Buffer.concat([
    Buffer.from(`${head} 46000000 9e000000`.replaceAll(' ', ''), 'hex'),
    Buffer.alloc(24),
    Buffer.from('STORED'),
    Buffer.from(directory.join('').replaceAll(' ', ''), 'hex'),
  ]);
  const covered = Buffer.concat([bytes.subarray(0, 40), bytes.subarray(70)]);
  blake3(covered).copy(bytes, 40, 0, 16);
  const pack = new Pack(bytes, HEADER.packId);
  t.strictSame(
    pack.entries().map(({ fingerprint, ...entry }) => ({ first: fingerprint[0], ...entry })),
    [
      { first: 0xfe, plainBytes: 8, storedBytes: 1, codec: 2, chunk: 0 },
      { first: 0xfd, plainBytes: 24, storedBytes: 5, codec: 2, chunk: 0 },
    ],
  );
  t.equal(pack.frameOf(1).stored.toString(), 'STORED');
  bytes.writeUInt8(3, 4);
  t.throws(() => new Pack(bytes, HEADER.packId), /version 3, expected 1 or 2/);
  t.end();
});

t.test('every flipped byte of header and directory is refused', (t) => {
  const pack = packOf(FRAMES);
  const directory = pack.readUInt32LE(32);
  let accepted = 0;
  for (let at = 0; at < pack.length; at += 1) {
    // Zeros behind the checksum mean nothing; frames are checked chunk by chunk.
    if (at >= 56 && at < directory) continue;
    for (const mask of [0x01, 0x80, 0xff]) {
      const damaged = Buffer.from(pack);
      damaged[at] = (pack[at] ?? 0) ^ mask;
      if (!isRefused(damaged)) accepted += 1;
    }
  }
  t.equal(accepted, 0);
  t.end();
});

t.test('every other length and every other id is refused', (t) => {
  const pack = packOf([frameOf('small', [10, 20], 25)]);
  for (let bytes = 0; bytes < pack.length; bytes += 1) {
    if (!isRefused(pack.subarray(0, bytes))) t.fail(`${bytes} bytes were accepted`);
  }
  t.ok(isRefused(Buffer.concat([pack, Buffer.alloc(1)])));
  t.throws(() => new Pack(pack, 3), /it is pack 4294967298/);
  t.end();
});

function isRefused(bytes: Buffer): boolean {
  try {
    void new Pack(bytes, HEADER.packId);
    return false;
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    return true;
  }
}

t.test('shares of stored bytes add up to the frame, whatever the chunks', (t) => {
  const random = new Random(printedSeed(t));
  for (let round = 0; round < 2000; round += 1) {
    const plain = Array.from({ length: 1 + random.below(40) }, () => 1 + random.size(100_000));
    const stored = 1 + random.size(200_000);
    const shares = shareStoredBytes(plain, stored);
    const sum = shares.reduce((total, share) => total + share, 0);
    if (sum !== stored || shares.some((share) => share < 0)) t.fail(`${plain.join()} in ${stored}`);
  }
  t.strictSame(shareStoredBytes([1, 1, 1], 2), [0, 1, 1]);
  t.strictSame(shareStoredBytes([5], 7), [7]);
  t.end();
});
