// Child process of the arena damage test: damages copies of an arena's file and does with each what a
// store would. A crash or a hang is its parent's to see; wrong bytes end it with an error.
//
// Arguments: folder, seed, rounds.

import { copyFileSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { arenaFileDefect } from '../../lib/blockstore/arena-file.ts';
import { ArenaReader } from '../../lib/blockstore/arena-reader.ts';
import { salvagePacks } from '../../lib/blockstore/arena-salvage.ts';
import { Arena } from '../../lib/blockstore/arena.ts';
import { PACK_HEADER_BYTES } from '../../lib/blockstore/pack.ts';
import { CorruptionError } from '../../lib/errors.ts';
import {
  CAPACITY_BYTES,
  isSoundPack,
  makeArena,
  packOf,
  type ArenaSample,
} from './arena-sample.ts';
import { overwrite } from './damage.ts';
import { Random, randomBytesOf } from './random.ts';

const PAGE = 4096;
const [folder = '', seed = '', rounds = ''] = process.argv.slice(2);
const random = new Random(Number(seed));
const counts = { rounds: 0, defective: 0, refused: 0, read: 0, salvaged: 0, written: 0 };

const samples = await Promise.all([
  makeArena(join(folder, 'small'), { seed: random.below(1e9), packs: 250, bytesMax: 3000 }),
  makeArena(join(folder, 'large'), { seed: random.below(1e9), packs: 90, bytesMax: 40_000 }),
  makeArena(join(folder, 'few'), { seed: random.below(1e9), packs: 3, bytesMax: 9000 }),
]);

function must(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(`round ${counts.rounds}: ${what}`);
}

/** Pages that LMDB follows: all but the inner ones of packs. */
function treePages(file: Buffer): number[] {
  const pages = Array.from({ length: Math.floor(file.length / PAGE) }, (_, page) => page);
  return pages.filter((page) => {
    const flags = file.readUInt16LE(page * PAGE + 18);
    return file.readUInt32LE(page * PAGE) === page && flags !== 4 && flags !== 0;
  });
}

function damage(path: string): void {
  const file = readFileSync(path);
  const tree = treePages(file);
  const page = random.oneIn(3) ? random.below(file.length / PAGE) : random.pick(tree);
  const place = page * PAGE + random.below(random.oneIn(2) ? 200 : PAGE);
  const kind = random.below(7);
  if (kind === 0) truncateSync(path, random.below(file.length));
  else if (kind === 1) overwrite(path, page * PAGE, randomBytesOf(random.below(1e9), PAGE));
  else if (kind === 2) overwrite(path, page * PAGE, Buffer.alloc(PAGE, random.pick([0, 0xff])));
  else if (kind === 3) {
    const other = random.pick(tree) * PAGE;
    overwrite(path, page * PAGE, file.subarray(other, other + PAGE));
  } else if (kind === 4) {
    const number = Buffer.alloc(8);
    number.writeUInt32LE(random.pick([0, 1, page, file.length / PAGE, 0xffff_ffff]), 0);
    overwrite(path, page * PAGE + 8 * random.below(25), number);
  } else overwrite(path, place, Buffer.from([random.below(256)]));
}

/** Whether two packs are the same but for the zeros of their headers, which nobody reads. */
function isSame(left: Buffer, right: Buffer): boolean {
  const [start, end] = [56, PACK_HEADER_BYTES];
  if (!left.subarray(0, start).equals(right.subarray(0, start))) return false;
  return left.subarray(end).equals(right.subarray(end));
}

/** What the store gives back: each pack as it was, or an error. */
function read(sample: ArenaSample, path: string): Set<number> {
  const found = new Set<number>();
  let reader: ArenaReader;
  try {
    reader = new ArenaReader(path);
  } catch (error) {
    if (error instanceof CorruptionError) return found;
    throw error;
  }
  for (const [packId, bytes] of sample.packs) {
    const got = tolerating(() => reader.get(packId));
    if (got === undefined || !isSoundPack(got, packId)) {
      counts.refused += 1;
      continue;
    }
    must(isSame(got, bytes), `pack ${packId} reads wrong`);
    counts.read += 1;
    found.add(packId);
  }
  tolerating(() => [...reader.packIds()]);
  reader.close();
  return found;
}

function tolerating<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof CorruptionError) return undefined;
    throw error;
  }
}

/** LMDB goes through all it has: if it is given the file, it must get along, and lose nothing. */
async function write(sample: ArenaSample, path: string, readable: Set<number>): Promise<void> {
  const arena = new Arena(1, path, CAPACITY_BYTES);
  const added = new Map<number, Buffer>();
  for (let round = 0; round < 4; round += 1) {
    const ids = [1000 + round * 2, 1001 + round * 2];
    for (const packId of ids) added.set(packId, packOf(packId, randomBytesOf(packId, 9000)));
    await Promise.all(ids.map(async (id) => arena.put(id, added.get(id) ?? Buffer.alloc(0))));
    if (round === 1) await arena.remove([1000]);
    if (round === 2) await removeOne(arena, random.pick([...sample.packs.keys()]), readable);
  }
  added.delete(1000);
  await arena.close();
  must(arenaFileDefect(path) === undefined, 'a defect after writing');
  const after = read(sample, path);
  for (const packId of readable) must(after.has(packId), `writing lost pack ${packId}`);
  const reader = new ArenaReader(path);
  for (const [packId, bytes] of added)
    must(reader.get(packId).equals(bytes), 'a new pack is wrong');
  reader.close();
  counts.written += 1;
}

async function removeOne(arena: Arena, packId: number, readable: Set<number>): Promise<void> {
  try {
    await arena.remove([packId]);
    readable.delete(packId);
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
  }
}

async function salvage(sample: ArenaSample, whole: Buffer, path: string): Promise<void> {
  const damaged = readFileSync(path);
  const intact = new Set<number>();
  for (const [packId, bytes] of sample.packs) {
    const offset = whole.indexOf(bytes);
    if (damaged.subarray(offset, offset + bytes.length).equals(bytes)) intact.add(packId);
  }
  for await (const { packId, bytes } of salvagePacks(path)) {
    if (!isSoundPack(bytes, packId)) continue;
    const want = sample.packs.get(packId) ?? Buffer.alloc(0);
    must(isSame(bytes, want), `pack ${packId} was made up`);
    intact.delete(packId);
    counts.salvaged += 1;
  }
  must(intact.size === 0, `packs ${[...intact].join()} were not salvaged`);
}

for (; counts.rounds < Number(rounds); counts.rounds += 1) {
  const sample = random.pick(samples);
  const path = join(folder, 'damaged');
  copyFileSync(sample.path, path);
  rmSync(`${path}-lock`, { force: true });
  for (let hits = random.below(2); hits >= 0; hits -= 1) {
    if (statSync(path).size >= PAGE) damage(path);
  }
  await salvage(sample, readFileSync(sample.path), path);
  const readable = read(sample, path);
  if (arenaFileDefect(path) === undefined) await write(sample, path, readable);
  else counts.defective += 1;
  process.send?.(counts);
}
process.send?.(counts);
