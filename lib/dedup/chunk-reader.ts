// Gives chunks back: finds the frame, decodes it, checks the chunk against its fingerprint (G2), and
// keeps the plain bytes of the most recent frames: who wants one chunk mostly wants the next.
//
// What is bad is read once more, past all caches: only bytes that are bad at rest are reported as
// damage. A frame that does not decode takes all its chunks with it, a damaged directory the pack.

import type { BlockStore } from '../blockstore/block-store.ts';
import type { Frame } from '../blockstore/frame.ts';
import type { KeyedHash } from '../blake3.ts';
import { CacheCounts } from '../cache-counts.ts';
import { CorruptionError } from '../errors.ts';
import type { ChunkId, ChunkIndex, ChunkLocation, DamageListener } from './chunk-index.ts';
import { checkPlainBytes, decompressInto } from './codec.ts';
import { FrameMemory } from './frame-memory.ts';
import { PackCache } from './pack-cache.ts';
import type { PackWriter } from './pack-writer.ts';
import type { ReadAhead } from './read-ahead.ts';

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
  /** Its plain bytes, and what is too much of it. */
  readonly memory: Buffer;
  readonly chunks: readonly DecodedChunk[];
}

export class ChunkReader {
  /** Chunks that were decoded ahead of who reads them. */
  readonly aheadCounts = new CacheCounts();
  /** Of the others, those whose frame was decoded already. */
  readonly frameCounts = new CacheCounts();
  readonly #index: ChunkIndex;
  readonly #writer: PackWriter;
  readonly #packs: PackCache;
  readonly #hash: KeyedHash;
  readonly #damage: DamageListener;
  readonly #ahead: Pick<ReadAhead, 'find'> | undefined;
  /** By place of each of their chunks (see `keyOf`). */
  readonly #byPlace = new Map<number, DecodedFrame>();
  /** By place of their first chunk, the least recently used first. */
  readonly #recent = new Map<number, DecodedFrame>();
  #decodedBytes = 0;
  readonly #memory = new FrameMemory();

  constructor(options: {
    readonly index: ChunkIndex;
    readonly writer: PackWriter;
    readonly blockStore: BlockStore;
    readonly hash: KeyedHash;
    readonly damage: DamageListener;
    readonly ahead?: Pick<ReadAhead, 'find'>;
  }) {
    this.#index = options.index;
    this.#writer = options.writer;
    const { index, blockStore } = options;
    this.#packs = new PackCache({
      read: (packId, memory) => blockStore.read(index.arenaOf(packId), packId, memory),
      readPart: (packId, offset, into) =>
        blockStore.readPart(index.arenaOf(packId), packId, offset, into),
    });
    this.#ahead = options.ahead;
    this.#hash = options.hash;
    this.#damage = options.damage;
  }

  /** Packs whose bytes or directory were at hand. */
  get packCounts(): CacheCounts {
    return this.#packs.counts;
  }

  /**
   * The chunk's plain bytes, verified. Shared with the caches: not to be written to, valid until the next call.
   * @throws CorruptionError  missing, undecodable, or not the bytes that were stored
   */
  read(chunk: ChunkId): Buffer {
    const ahead = this.#ahead?.find(chunk);
    if (ahead === undefined) {
      this.aheadCounts.misses += 1;
      return this.#readNow(chunk);
    }
    this.aheadCounts.hits += 1;
    return ahead;
  }

  #readNow(chunk: ChunkId): Buffer {
    const location = this.#index.locate(chunk);
    try {
      return this.#read(location);
    } catch (first) {
      if (!(first instanceof CorruptionError)) throw first;
      this.#forget(location);
    }
    try {
      return this.#read(location);
    } catch (cause) {
      if (!(cause instanceof CorruptionError)) throw cause;
      this.#report(chunk, location, cause);
      const { packId } = location;
      throw new CorruptionError(`chunk ${chunk} in pack ${packId} cannot be read`, { cause });
    }
  }

  #read(location: ChunkLocation): Buffer {
    const frame = this.#frame(location);
    const decoded = frame.chunks[location.index - frame.first];
    if (decoded === undefined) throw new CorruptionError('its frame is shorter than its place');
    if (!decoded.isVerified) this.#verify(decoded, location);
    return decoded.plain;
  }

  #frame({ packId, index }: ChunkLocation): DecodedFrame {
    const known = this.#byPlace.get(keyOf(packId, index));
    if (known === undefined) this.frameCounts.misses += 1;
    else {
      this.frameCounts.hits += 1;
      const key = keyOf(packId, known.first);
      this.#recent.delete(key);
      this.#recent.set(key, known);
      return known;
    }
    const stored = this.#writer.find(packId, index) ?? this.#readFrame(packId, index);
    const frame = this.#decode(stored);
    this.#keep(packId, frame);
    return frame;
  }

  /** @throws DamagedPackError */
  #readFrame(packId: number, index: number): Frame {
    try {
      return this.#packs.frameOf(packId, index);
    } catch (cause) {
      if (!(cause instanceof CorruptionError)) throw cause;
      throw new DamagedPackError(cause.message, { cause });
    }
  }

  /** @throws DamagedFrameError  the frame does not decode to what its directory says */
  #decode(frame: Frame): DecodedFrame {
    const memory = this.#memory.take(checkedPlainBytes(frame));
    const plain = memory.subarray(0, frame.plainBytes);
    try {
      decompressInto(frame.stored, frame.codec, plain);
    } catch (cause) {
      this.#memory.giveBack(memory);
      throw damaged(frame, cause);
    }
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
    return { first: frame.first, memory, chunks };
  }

  #forget({ packId, index }: ChunkLocation): void {
    this.#packs.forget(packId);
    const known = this.#byPlace.get(keyOf(packId, index));
    if (known !== undefined) this.#drop(keyOf(packId, known.first), known);
  }

  #report(chunk: ChunkId, location: ChunkLocation, cause: CorruptionError): void {
    const { packId, index } = location;
    this.#damage.chunkDamaged(chunk, { packId, index }, cause);
    if (cause instanceof DamagedPackError) this.#damage.packDamaged(packId, cause);
    const others = cause instanceof DamagedFrameError ? cause.chunks : this.#badBeside(location);
    for (const { fingerprint, index } of others) {
      const other = this.#index.at(fingerprint, packId, index);
      if (other !== undefined) this.#damage.chunkDamaged(other, { packId, index }, cause);
    }
  }

  /** A frame that decodes in spite of damage: what lies beside the bad chunk is suspicious. */
  #badBeside({ packId, index }: ChunkLocation): PlacedFingerprint[] {
    const frame = this.#byPlace.get(keyOf(packId, index));
    return (frame?.chunks ?? [])
      .map((chunk, position) => ({ ...chunk, index: (frame?.first ?? 0) + position }))
      .filter(({ plain, fingerprint }) => !this.#hash.digest(plain).equals(fingerprint));
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
    this.#decodedBytes += frame.memory.length;
    for (const [key, oldest] of this.#recent) {
      if (this.#decodedBytes <= DECODED_BYTES_MAX) return;
      this.#drop(key, oldest);
    }
  }

  /** @param key place of the frame's first chunk */
  #drop(key: number, frame: DecodedFrame): void {
    this.#recent.delete(key);
    frame.chunks.forEach((_, position) => this.#byPlace.delete(key + position));
    this.#decodedBytes -= frame.memory.length;
    this.#memory.giveBack(frame.memory);
  }
}

interface PlacedFingerprint {
  readonly fingerprint: Buffer;
  /** In the pack. */
  readonly index: number;
}

/** Nothing in the pack can be told. */
class DamagedPackError extends CorruptionError {}

/** None of the frame's chunks can be told. */
class DamagedFrameError extends CorruptionError {
  readonly chunks: readonly PlacedFingerprint[];

  constructor(frame: Frame, cause: CorruptionError) {
    super(cause.message, { cause });
    this.chunks = frame.entries.map(({ fingerprint }, position) => {
      return { fingerprint: Buffer.from(fingerprint), index: frame.first + position };
    });
  }
}

function keyOf(packId: number, index: number): number {
  return packId * PACK_CHUNKS_MAX + index;
}

/** What a damaged length may not make us allocate. @throws DamagedFrameError */
function checkedPlainBytes(frame: Frame): number {
  try {
    checkPlainBytes(frame.plainBytes);
    return frame.plainBytes;
  } catch (cause) {
    throw damaged(frame, cause);
  }
}

function damaged(frame: Frame, cause: unknown): unknown {
  return cause instanceof CorruptionError ? new DamagedFrameError(frame, cause) : cause;
}
