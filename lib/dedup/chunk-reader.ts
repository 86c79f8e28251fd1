// Gives chunks back: finds the frame, decodes it, checks the chunk against its fingerprint (G2), and
// keeps the plain bytes of the most recent frames: who wants one chunk mostly wants the next.

import type { BlockStore } from '../blockstore/block-store.ts';
import type { Frame } from '../blockstore/frame.ts';
import type { KeyedHash } from '../blake3.ts';
import { CorruptionError } from '../errors.ts';
import type { ChunkId, ChunkIndex, ChunkLocation } from './chunk-index.ts';
import { decompress } from './codec.ts';
import { PackCache } from './pack-cache.ts';
import type { PackWriter } from './pack-writer.ts';

/** Bound on decoded frames kept: a dozen interleaved readers with some frames each. */
export const DECODED_BYTES_MAX = 16 * 1024 * 1024;
/** More chunks than a pack can have: packId x this + index is unique and exact. */
const PACK_CHUNKS_MAX = 0x10000;

interface DecodedChunk {
  readonly fingerprint: Buffer;
  readonly plain: Buffer;
  isVerified: boolean;
}

/** Frames share nothing with the pack they came from: its memory is reused. */
interface DecodedFrame {
  readonly first: number;
  readonly bytes: number;
  readonly chunks: readonly DecodedChunk[];
}

export class ChunkReader {
  readonly #index: ChunkIndex;
  readonly #writer: PackWriter;
  readonly #packs: PackCache;
  readonly #hash: KeyedHash;
  /** By place of each of their chunks (see `keyOf`). */
  readonly #byPlace = new Map<number, DecodedFrame>();
  /** By place of their first chunk, the least recently used first. */
  readonly #recent = new Map<number, DecodedFrame>();
  #decodedBytes = 0;

  constructor(options: {
    readonly index: ChunkIndex;
    readonly writer: PackWriter;
    readonly blockStore: BlockStore;
    readonly hash: KeyedHash;
  }) {
    this.#index = options.index;
    this.#writer = options.writer;
    this.#packs = new PackCache(options.blockStore);
    this.#hash = options.hash;
  }

  /**
   * The chunk's plain bytes, verified. Shared with the cache: do not write to them.
   * @throws CorruptionError  missing, undecodable, or not the bytes that were stored
   */
  read(chunk: ChunkId): Buffer {
    const location = this.#index.locate(chunk);
    try {
      const frame = this.#frame(location);
      const decoded = frame.chunks[location.index - frame.first];
      if (decoded === undefined) throw new CorruptionError('its frame is shorter than its place');
      if (!decoded.isVerified) this.#verify(decoded, location);
      return decoded.plain;
    } catch (cause) {
      if (!(cause instanceof CorruptionError)) throw cause;
      const { packId } = location;
      throw new CorruptionError(`chunk ${chunk} in pack ${packId} cannot be read`, { cause });
    }
  }

  #frame({ packId, index }: ChunkLocation): DecodedFrame {
    const known = this.#byPlace.get(keyOf(packId, index));
    if (known !== undefined) {
      const key = keyOf(packId, known.first);
      this.#recent.delete(key);
      this.#recent.set(key, known);
      return known;
    }
    const frame = decodeFrame(this.#writer.find(packId, index) ?? this.#readFrame(packId, index));
    this.#keep(packId, frame);
    return frame;
  }

  #readFrame(packId: number, index: number): Frame {
    return this.#packs.read(packId, (id) => this.#index.arenaOf(id)).frameOf(index);
  }

  #verify(decoded: DecodedChunk, location: ChunkLocation): void {
    const found = this.#hash.digest(decoded.plain);
    if (!found.equals(decoded.fingerprint)) {
      const [want, got] = [decoded.fingerprint, found].map((digest) => {
        return digest.toString('hex', 0, 8);
      });
      throw new CorruptionError(`its bytes hash to ${got}..., its fingerprint is ${want}...`);
    }
    // The index must mean this very record, or a wrong row would read as right bytes.
    if (!found.subarray(0, location.fingerprint.length).equals(location.fingerprint)) {
      throw new CorruptionError('the index names another chunk at this place');
    }
    if (decoded.plain.length !== location.plainBytes) {
      throw new CorruptionError(
        `it has ${decoded.plain.length} bytes, the index says ${location.plainBytes}`,
      );
    }
    decoded.isVerified = true;
  }

  #keep(packId: number, frame: DecodedFrame): void {
    frame.chunks.forEach((_, position) => {
      this.#byPlace.set(keyOf(packId, frame.first + position), frame);
    });
    this.#recent.set(keyOf(packId, frame.first), frame);
    this.#decodedBytes += frame.bytes;
    for (const [key, oldest] of this.#recent) {
      if (this.#decodedBytes <= DECODED_BYTES_MAX) return;
      this.#recent.delete(key);
      oldest.chunks.forEach((_, position) => this.#byPlace.delete(key + position));
      this.#decodedBytes -= oldest.bytes;
    }
  }
}

function keyOf(packId: number, index: number): number {
  return packId * PACK_CHUNKS_MAX + index;
}

/** @throws CorruptionError  the frame does not decode to what its directory says */
function decodeFrame(frame: Frame): DecodedFrame {
  const plain = decompress(frame.stored, frame.codec, frame.plainBytes);
  let offset = 0;
  const chunks = frame.entries.map((entry): DecodedChunk => {
    const start = offset;
    offset += entry.plainBytes;
    return {
      fingerprint: Buffer.from(entry.fingerprint),
      plain: plain.subarray(start, offset),
      isVerified: false,
    };
  });
  return { first: frame.first, bytes: plain.length, chunks };
}
