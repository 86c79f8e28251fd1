// Arena files as LMDB writes them, of packs whose bytes are known.

import { readFileSync } from 'node:fs';
import { Arena } from '../../lib/blockstore/arena.ts';
import { Pack, PackBuilder } from '../../lib/blockstore/pack.ts';
import { blake3 } from '../../lib/blake3.ts';
import { CorruptionError } from '../../lib/errors.ts';
import { Random, randomBytesOf } from './random.ts';

export const CAPACITY_BYTES = 64 * 1024 * 1024;
const FRAME_BYTES_MAX = 16 * 1024 * 1024;

export interface ArenaSample {
  readonly path: string;
  /** By id, ascending. */
  readonly packs: ReadonlyMap<number, Buffer>;
}

export interface ArenaSampleOptions {
  readonly seed: number;
  readonly packs: number;
  /** Of the frame of each pack; sizes of all magnitudes occur. */
  readonly bytesMax: number;
  readonly perCommit?: number;
  /** The last pack holds this file as it is. */
  readonly image?: string;
}

/** A pack of one chunk, which is its frame too. */
export function packOf(packId: number, stored: Buffer): Buffer {
  const builder = new PackBuilder(FRAME_BYTES_MAX);
  const chunk = { fingerprint: blake3(stored), plainBytes: stored.length, chunk: packId };
  builder.append({ chunks: [chunk], codec: 0, stored });
  return Buffer.from(builder.seal({ packId, batch: Math.ceil(packId / 4), createdMs: packId }));
}

/** Whether the bytes are the pack, as a reader of its chunks would see it. */
export function isSoundPack(bytes: Buffer, packId: number): boolean {
  try {
    const pack = new Pack(bytes, packId);
    return blake3(pack.frameOf(0).stored).equals(pack.entry(0).fingerprint);
  } catch (error) {
    if (error instanceof CorruptionError) return false;
    throw error;
  }
}

/** Puts packs in commits of some, and removes others in between, so that there are free pages. */
export async function makeArena(path: string, options: ArenaSampleOptions): Promise<ArenaSample> {
  const random = new Random(options.seed);
  const arena = Arena.create(1, path, CAPACITY_BYTES);
  const packs = new Map<number, Buffer>();
  const isLast = (packId: number): boolean => packId === options.packs;
  for (let packId = 1; packId <= options.packs;) {
    const puts: Promise<void>[] = [];
    const end = packId + (options.perCommit ?? 1 + random.below(8));
    for (; packId < end && packId <= options.packs; packId += 1) {
      const isImage = options.image !== undefined && isLast(packId);
      const stored = isImage
        ? readFileSync(options.image ?? '')
        : randomBytesOf(packId, 1 + random.size(options.bytesMax));
      packs.set(packId, packOf(packId, stored));
      puts.push(arena.put(packId, packs.get(packId) ?? stored));
    }
    await Promise.all(puts);
    if (random.oneIn(4)) await putAndRemove(arena, options.packs + packId);
  }
  await arena.close();
  return { path, packs };
}

/** Leaves free pages behind, of zeros. */
async function putAndRemove(arena: Arena, packId: number): Promise<void> {
  await arena.put(packId, Buffer.alloc(10_000));
  await arena.remove([packId]);
}
