// What is live of a frame, and is what it should be.

import type { KeyedHash } from '../blake3.ts';
import type { PackEntry } from '../blockstore/directory.ts';
import type { Frame } from '../blockstore/frame.ts';
import type { ChunkId } from '../dedup/chunk-index.ts';
import { decompress } from '../dedup/codec.ts';
import { CorruptionError } from '../errors.ts';
import type { Metastore } from '../metastore/metastore.ts';
import type { DamageRegister } from './damage.ts';

export interface LiveChunk {
  readonly chunk: ChunkId;
  readonly entry: PackEntry;
  /** In its pack. */
  readonly index: number;
  /** Of its plain bytes in those of its frame. */
  readonly offset: number;
}

export interface VerifiedChunk extends LiveChunk {
  readonly plain: Buffer;
}

export interface VerifyParts {
  readonly metastore: Metastore;
  readonly hash: KeyedHash;
  readonly damage: DamageRegister;
}

/** Those that are what they should be; the others must not be given a new, unbroken home. */
export function verifiedLive(parts: VerifyParts, packId: number, frame: Frame): VerifiedChunk[] {
  const live = liveOf(parts, packId, frame);
  if (live.length === 0) return [];
  const { hash, damage } = parts;
  let plain: Buffer;
  try {
    plain = decompress(frame.stored, frame.codec, frame.plainBytes);
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    for (const { chunk, index } of live) damage.chunkDamaged(chunk, { packId, index }, error);
    return [];
  }
  const verified: VerifiedChunk[] = [];
  for (const one of live) {
    const bytes = plain.subarray(one.offset, one.offset + one.entry.plainBytes);
    if (hash.digest(bytes).equals(one.entry.fingerprint)) {
      verified.push({ ...one, plain: bytes });
    } else {
      const cause = new CorruptionError('gc found that it does not match its fingerprint');
      damage.chunkDamaged(one.chunk, { packId, index: one.index }, cause);
    }
  }
  return verified;
}

function liveOf({ metastore }: VerifyParts, packId: number, frame: Frame): LiveChunk[] {
  const live: LiveChunk[] = [];
  let offset = 0;
  for (const [position, entry] of frame.entries.entries()) {
    const index = frame.first + position;
    const chunk = metastore.chunks.at(entry.fingerprint, packId, index);
    if (chunk !== undefined) live.push({ chunk, entry, index, offset });
    offset += entry.plainBytes;
  }
  return live;
}
