// What lies where in a store that nobody has open, and so what a damage must do: found without the
// code that reads packs for a mount or a scrub. Packs come from their magic in the file, what is live
// in them from the metastore's rows.

import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { salvagePacks } from '../../lib/blockstore/arena-salvage.ts';
import { Pack, PACK_HEADER_BYTES } from '../../lib/blockstore/pack.ts';
import { createKeyedHash, type KeyedHash } from '../../lib/blake3.ts';
import { decompress } from '../../lib/dedup/codec.ts';
import { Metastore } from '../../lib/metastore/metastore.ts';
import { randomBytesOf, type Random } from './random.ts';

export const BLOCK_BYTES = 4096;

export type DamageKind = 'byte' | 'block';

export interface Damage {
  /** Below the store. */
  readonly file: string;
  readonly offset: number;
  readonly bytes: Buffer;
}

/** What a damage of an arena hits. */
export interface Hit {
  readonly where:
    'live data' | 'live directory' | 'dead data' | 'checkpoint' | 'tree or free pages';
  /** Some live chunk can no longer be what it was: to be asked after the damage is done. */
  readonly isHarmed: () => boolean;
}

interface LivePack {
  readonly id: number;
  readonly file: string;
  readonly offset: number;
  readonly end: number;
  readonly bytes: Buffer;
  /** Indices of its live chunks. */
  readonly live: ReadonlySet<number>;
}

export class DamageTruth {
  readonly #store: string;
  readonly #files: readonly string[];
  readonly #packs: readonly LivePack[];
  readonly #hash: KeyedHash;

  private constructor(store: string, files: readonly string[], packs: readonly LivePack[]) {
    this.#store = store;
    this.#files = files;
    this.#packs = packs;
    const format = readFileSync(join(store, 'FORMAT'), 'utf8');
    const { fingerprintKey } = JSON.parse(format) as { fingerprintKey: string };
    this.#hash = createKeyedHash(Buffer.from(fingerprintKey, 'hex'));
  }

  static async of(store: string): Promise<DamageTruth> {
    const names = readdirSync(join(store, 'arenas')).filter((name) => /^[ac]\d+\.mdb$/.test(name));
    const files = names.map((name) => `arenas/${name}`);
    const metastore = new Metastore(join(store, 'meta.db'), { create: false });
    try {
      const packs: LivePack[] = [];
      for (const file of files) packs.push(...(await packsOf(store, file, metastore)));
      return new DamageTruth(store, files, packs);
    } finally {
      metastore.close();
    }
  }

  get livePacks(): number {
    return this.#packs.filter(({ live }) => live.size > 0).length;
  }

  get arenas(): number {
    return this.#files.filter((file) => file.startsWith('arenas/a')).length;
  }

  /** Somewhere in the arenas, those of checkpoints too; one in five where no pack is. */
  inArena(random: Random, kind: DamageKind): Damage {
    const wantsPack = !random.oneIn(5);
    // By their sizes: a larger file is hit more often.
    const sizes = this.#files.map((file) => statSync(join(this.#store, file)).size);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    for (;;) {
      let place = random.below(total);
      const index = sizes.findIndex((size) => (place -= size) < 0);
      const [file = '', size = 0] = [this.#files[index], sizes[index]];
      const offset = placeOf(random, kind, size);
      const end = offset + (kind === 'byte' ? 1 : BLOCK_BYTES);
      const hitsPack = this.#packs.some((pack) => overlaps(pack, { file, offset, end }));
      if (hitsPack === wantsPack) return damageAt(this.#store, random, { file, offset, kind });
    }
  }

  hitOf({ file, offset, bytes }: Damage): Hit {
    const end = offset + bytes.length;
    const packs = this.#packs.filter((pack) => overlaps(pack, { file, offset, end }));
    const live = packs.filter((pack) => pack.live.size > 0);
    const hitsDirectory = live.some((pack) => touchesDirectory(pack, offset, end));
    if (hitsDirectory) return { where: 'live directory', isHarmed: () => true };
    if (live.length > 0) {
      const isHarmed = (): boolean => live.some((pack) => this.#isHarmed(pack));
      return { where: 'live data', isHarmed };
    }
    const isCheckpoint = file.startsWith('arenas/c');
    const where = isCheckpoint ? 'checkpoint' : packs.length > 0 ? 'dead data' : undefined;
    return { where: where ?? 'tree or free pages', isHarmed: () => false };
  }

  /** Decodes what the file has now, frame by frame of the directory as it was. */
  #isHarmed(pack: LivePack): boolean {
    const now = readAt(join(this.#store, pack.file), pack.offset, pack.bytes.length);
    const before = new Pack(pack.bytes, pack.id);
    for (let index = 0; index < before.header.count;) {
      const { entries, stored, codec, plainBytes } = before.frameOf(index);
      const at = stored.byteOffset - pack.bytes.byteOffset;
      const live = entries.map((_, position) => pack.live.has(index + position));
      const frame = now.subarray(at, at + stored.length);
      const isSame = frame.equals(stored) || !live.includes(true);
      if (!isSame && !this.#isRight(frame, { entries, codec, plainBytes, live })) return true;
      index += entries.length;
    }
    return false;
  }

  #isRight(
    stored: Buffer,
    frame: {
      readonly entries: readonly { readonly fingerprint: Buffer; readonly plainBytes: number }[];
      readonly codec: number;
      readonly plainBytes: number;
      readonly live: readonly boolean[];
    },
  ): boolean {
    try {
      const plain = decompress(stored, frame.codec, frame.plainBytes);
      let offset = 0;
      return frame.entries.every(({ fingerprint, plainBytes }, position) => {
        const chunk = plain.subarray(offset, offset + plainBytes);
        offset += plainBytes;
        return frame.live[position] === false || this.#hash.digest(chunk).equals(fingerprint);
      });
    } catch {
      return false;
    }
  }
}

async function packsOf(store: string, file: string, metastore: Metastore): Promise<LivePack[]> {
  const { connection } = metastore.database;
  const arena = /\/a(\d+)/.exec(file)?.[1];
  const select = connection
    .prepare(
      `SELECT idx FROM chunk JOIN pack ON pack.id = chunk.pack
       WHERE pack.id = ? AND pack.arena = ? AND h IS NOT NULL`,
    )
    .pluck();
  const packs: LivePack[] = [];
  for await (const { packId, offset, bytes, isInside } of salvagePacks(join(store, file))) {
    if (isInside) continue;
    const rows = arena === undefined ? [] : (select.all(packId, Number(arena)) as number[]);
    const end = offset + bytes.length;
    packs.push({ id: packId, file, offset, end, bytes, live: new Set(rows) });
  }
  return packs;
}

function overlaps(pack: LivePack, range: { file: string; offset: number; end: number }): boolean {
  return pack.file === range.file && range.offset < pack.end && range.end > pack.offset;
}

function touchesDirectory(pack: LivePack, offset: number, end: number): boolean {
  const frames = { start: pack.offset + PACK_HEADER_BYTES, end: pack.offset + directoryOf(pack) };
  return offset < frames.start || end > frames.end;
}

/** Where a pack's directory begins: its last frame's end. */
function directoryOf({ bytes, id }: LivePack): number {
  const pack = new Pack(bytes, id);
  const { stored } = pack.frameOf(pack.header.count - 1);
  return stored.byteOffset - bytes.byteOffset + stored.length;
}

export function damageInMetastore(store: string, random: Random, kind: DamageKind): Damage {
  const { size } = statSync(join(store, 'meta.db'));
  const offset = placeOf(random, kind, size);
  return damageAt(store, random, { file: 'meta.db', offset, kind });
}

function damageAt(
  store: string,
  random: Random,
  place: { readonly file: string; readonly offset: number; readonly kind: DamageKind },
): Damage {
  const { file, offset, kind } = place;
  const old = readAt(join(store, file), offset, 1).readUInt8(0);
  const seed = random.below(1_000_000_000);
  const block = random.oneIn(3) ? Buffer.alloc(BLOCK_BYTES) : randomBytesOf(seed, BLOCK_BYTES);
  const bytes = kind === 'byte' ? Buffer.from([old ^ (1 + random.below(255))]) : block;
  return { file, offset, bytes };
}

/** Does the damage. @returns what undoes it */
export function inflict(store: string, { file, offset, bytes }: Damage): () => void {
  const path = join(store, file);
  const old = readAt(path, offset, bytes.length);
  writeAt(path, offset, bytes);
  return () => writeAt(path, offset, old);
}

/** For people: where and how much. */
export function describeDamage({ file, offset, bytes }: Damage): string {
  return `${bytes.length} bytes of ${file} at ${offset}`;
}

function placeOf(random: Random, kind: DamageKind, fileBytes: number): number {
  if (kind === 'byte') return random.below(fileBytes);
  return random.below(Math.floor(fileBytes / BLOCK_BYTES)) * BLOCK_BYTES;
}

function readAt(path: string, offset: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  const descriptor = openSync(path, 'r');
  readSync(descriptor, buffer, 0, bytes, offset);
  closeSync(descriptor);
  return buffer;
}

function writeAt(path: string, offset: number, bytes: Buffer): void {
  const descriptor = openSync(path, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, offset);
  closeSync(descriptor);
}
