// Where the damage campaign hits a store's files, and what lies there.

import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { randomBytesOf, type Random } from '../support/random.ts';

export const BLOCK_BYTES = 4096;
const PAGE_BYTES = 4096;
/** LMDB puts a value of several pages behind a header of so many bytes. */
const PAGE_HEADER_BYTES = 24;
const PACK_MAGIC = 'DFPK';
const PACK_BYTES_OFFSET = 36;

export type DamageKind = 'byte' | 'block';

export interface Damage {
  /** Below the store. */
  readonly file: string;
  readonly offset: number;
  readonly bytes: Buffer;
  /** It changes a pack: bytes of chunks, or what describes them. */
  readonly hitsPack: boolean;
}

interface Range {
  readonly offset: number;
  readonly end: number;
}

/** The arenas of a store that nobody has open, with the places of their packs. */
export class DamagePlaces {
  readonly #store: string;
  readonly #arenas: readonly {
    readonly file: string;
    readonly bytes: number;
    readonly packs: readonly Range[];
  }[];

  constructor(store: string) {
    this.#store = store;
    this.#arenas = readdirSync(join(store, 'arenas'))
      .filter((name) => /^[ac]\d+\.mdb$/.test(name))
      .map((name) => {
        const content = readFileSync(join(store, 'arenas', name));
        return { file: `arenas/${name}`, bytes: content.length, packs: packsIn(content) };
      });
  }

  get packs(): number {
    return this.#arenas.reduce((sum, { packs }) => sum + packs.length, 0);
  }

  /** Somewhere in the arenas, those of metadata checkpoints too; one in five outside of packs, where LMDB's own pages are. */
  inArena(random: Random, kind: DamageKind): Damage {
    const wantsPack = !random.oneIn(5);
    for (;;) {
      const { file, bytes, packs } = random.pick(this.#arenas);
      const offset = placeOf(random, kind, bytes);
      const end = offset + (kind === 'byte' ? 1 : BLOCK_BYTES);
      const hitsPack = packs.some((pack) => offset < pack.end && end > pack.offset);
      if (hitsPack === wantsPack) return this.#damage(random, { file, offset, kind, hitsPack });
    }
  }

  inMetastore(random: Random, kind: DamageKind): Damage {
    const { size } = statSync(join(this.#store, 'meta.db'));
    const offset = placeOf(random, kind, size);
    return this.#damage(random, { file: 'meta.db', offset, kind, hitsPack: false });
  }

  #damage(
    random: Random,
    place: {
      readonly file: string;
      readonly offset: number;
      readonly kind: DamageKind;
      readonly hitsPack: boolean;
    },
  ): Damage {
    const { file, offset, kind, hitsPack } = place;
    const path = join(this.#store, file);
    const bytes =
      kind === 'byte'
        ? Buffer.from([readByte(path, offset) ^ (1 + random.below(255))])
        : random.oneIn(3)
          ? Buffer.alloc(BLOCK_BYTES)
          : randomBytesOf(random.below(1_000_000_000), BLOCK_BYTES);
    return { file, offset, bytes, hitsPack };
  }
}

/** Does the damage to a store, which may be another copy of the one that was looked at. */
export function inflict(store: string, { file, offset, bytes }: Damage): void {
  const descriptor = openSync(join(store, file), 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, offset);
  closeSync(descriptor);
}

/** For people: where and how much. */
export function describeDamage({ file, offset, bytes, hitsPack }: Damage): string {
  return `${bytes.length} bytes of ${file} at ${offset}${hitsPack ? ', in a pack' : ''}`;
}

function placeOf(random: Random, kind: DamageKind, fileBytes: number): number {
  if (kind === 'byte') return random.below(fileBytes);
  return random.below(Math.floor(fileBytes / BLOCK_BYTES)) * BLOCK_BYTES;
}

function packsIn(arena: Buffer): Range[] {
  const packs: Range[] = [];
  for (let page = 0; page < arena.length; page += PAGE_BYTES) {
    const offset = page + PAGE_HEADER_BYTES;
    if (arena.toString('latin1', offset, offset + PACK_MAGIC.length) !== PACK_MAGIC) continue;
    const end = offset + arena.readUInt32LE(offset + PACK_BYTES_OFFSET);
    if ((packs.at(-1)?.end ?? 0) <= offset) packs.push({ offset, end });
  }
  return packs;
}

function readByte(path: string, offset: number): number {
  const byte = Buffer.alloc(1);
  const descriptor = openSync(path, 'r');
  readSync(descriptor, byte, 0, 1, offset);
  closeSync(descriptor);
  return byte.readUInt8(0);
}
