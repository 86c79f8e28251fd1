// What lies on the disk: packs, extent maps, FORMAT, arena files, meta.db.

import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import { blake3 } from '../../lib/blake3.ts';
import { arenaFileDefect } from '../../lib/blockstore/arena-file.ts';
import { ArenaReader } from '../../lib/blockstore/arena-reader.ts';
import { salvagePacks } from '../../lib/blockstore/arena-salvage.ts';
import { Pack, peekPack } from '../../lib/blockstore/pack.ts';
import { decompress } from '../../lib/dedup/codec.ts';
import { CorruptionError, DedupfsError, UserError } from '../../lib/errors.ts';
import type { ChunkId } from '../../lib/dedup/chunk-index.ts';
import { decodeExtents, encodeExtents, SEGMENT_BYTES } from '../../lib/metastore/extent-codec.ts';
import { Metastore } from '../../lib/metastore/metastore.ts';
import { createFormat, parseFormat } from '../../lib/store/format.ts';
import { makeArena, packOf } from '../support/arena-sample.ts';
import { randomBytesOf } from '../support/random.ts';
import { codedPacks } from './codecs.ts';
import { answerOf, must, type Target } from './target.ts';

const isCorruption = (error: unknown): boolean => error instanceof CorruptionError;

/** Gives the pack a checksum that fits, or nothing behind the header would ever be reached. */
function reseal(input: Buffer): Buffer {
  if (input.length < 64) return input;
  const bytes = Buffer.from(input);
  bytes.writeUInt32LE(bytes.length, 36);
  const directory = bytes.readUInt32LE(32);
  const covered = Buffer.concat([bytes.subarray(0, 40), bytes.subarray(directory)]);
  blake3(covered).copy(bytes, 40, 0, 16);
  return bytes;
}

export const pack: Target = {
  name: 'pack',
  seeds: async () => [packOf(7, randomBytesOf(1, 900)), ...codedPacks()],
  run: (input) => {
    for (const bytes of [input, reseal(input)]) {
      const packId = peekPack(bytes)?.packId ?? 7;
      const parsed = answerOf(() => new Pack(bytes, packId), isCorruption);
      if ('refusal' in parsed) {
        if (bytes !== input) return parsed.refusal;
        continue;
      }
      const { count } = parsed.value.header;
      must(parsed.value.entries().length === count, 'as many entries as the header says');
      const indexes = [0, 1, count - 1].filter((index) => index >= 0 && index < count);
      const answers = indexes.map((index) => {
        const plain = answerOf(() => {
          const { stored, codec, plainBytes } = parsed.value.frameOf(index);
          return decompress(stored, codec, plainBytes);
        }, isCorruption);
        return 'refusal' in plain ? plain.refusal : 'decoded';
      });
      return `${Math.min(count, 3)} chunks, ${answers.join()}`;
    }
    return 'nothing';
  },
};

export const extents: Target = {
  name: 'extents',
  seeds: async () => {
    const chunk = 5 as ChunkId;
    return [
      encodeExtents([{ offset: 0, bytes: SEGMENT_BYTES, chunk, chunkOffset: 0 }], 0),
      encodeExtents(
        Array.from({ length: 40 }, (_, index) => {
          const offset = index * 5000;
          return { offset, bytes: 4096, chunk: (chunk + index * 7) as ChunkId, chunkOffset: index };
        }),
        0,
      ),
    ];
  },
  run: (input) => {
    const decoded = answerOf(() => decodeExtents(input, 0), isCorruption);
    if ('refusal' in decoded) return decoded.refusal;
    const again = decodeExtents(encodeExtents(decoded.value, 0), 0);
    must(isDeepStrictEqual(again, decoded.value), 'what was decoded comes back when encoded');
    return `${Math.min(decoded.value.length, 50)} extents`;
  },
};

export const format: Target = {
  name: 'format',
  seeds: async () => [Buffer.from(JSON.stringify(createFormat(undefined, 2 ** 40), undefined, 2))],
  run: (input) => {
    const isUserError = (error: unknown): boolean => error instanceof UserError;
    const parsed = answerOf(() => parseFormat('/store', input.toString()), isUserError);
    if ('refusal' in parsed) return parsed.refusal;
    const { bytesMin, bytesMean, bytesMax } = parsed.value.chunking;
    must(bytesMin <= bytesMean && bytesMean <= bytesMax, 'chunk sizes in order');
    return 'taken';
  },
};

let arenaPath = '';

export const arena: Target = {
  name: 'arena',
  seeds: async (folder) => {
    arenaPath = join(folder, 'fuzzed');
    const options = { seed: 9, packs: 12, bytesMax: 3000 };
    const few = await makeArena(join(folder, 'few'), options);
    const many = await makeArena(join(folder, 'many'), { seed: 10, packs: 90, bytesMax: 300 });
    return [readFileSync(few.path), readFileSync(many.path)];
  },
  run: async (input) => {
    writeFileSync(arenaPath, input);
    const defect = arenaFileDefect(arenaPath);
    let salvaged = 0;
    for await (const { packId } of salvagePacks(arenaPath)) if (packId > 0) salvaged += 1;
    const reader = new ArenaReader(arenaPath);
    const ids = answerOf(() => [...reader.packIds()], isCorruption);
    for (const packId of 'value' in ids ? ids.value : [1, 5, 9]) {
      answerOf(() => reader.get(packId), isCorruption);
    }
    reader.close();
    const what = (defect ?? 'sound').replaceAll(/\/\S+|\d+/g, '#');
    return `${what}, ${'value' in ids ? 'listed' : 'not listed'}, ${salvaged > 0}`;
  },
};

let metaPath = '';

export const metastore: Target = {
  name: 'metastore',
  seeds: async (folder) => {
    metaPath = join(folder, 'meta.db');
    const made = join(folder, 'made.db');
    const sample = new Metastore(made, { create: true });
    sample.setMeta('uuid', 'fuzz');
    sample.commit();
    await sample.database.checkpoint('idle');
    sample.close();
    copyFileSync(made, metaPath);
    return [readFileSync(made)];
  },
  run: (input) => {
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${metaPath}${suffix}`, { force: true });
    writeFileSync(metaPath, input);
    const isOurs = (error: unknown): boolean => error instanceof DedupfsError;
    const opened = answerOf(() => new Metastore(metaPath, { create: false }), isOurs);
    if ('refusal' in opened) return opened.refusal;
    const uuid = answerOf(() => opened.value.getMeta('uuid'), isSqliteError);
    opened.value.close();
    return 'refusal' in uuid ? uuid.refusal : 'opened';
  },
};

/** After opening, what SQLite says of a damaged page is told by the one who asked. */
function isSqliteError(error: unknown): boolean {
  return String((error as { code?: unknown }).code).startsWith('SQLITE_');
}
