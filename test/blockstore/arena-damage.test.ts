// Goal: whatever is wrong with an arena's file, nothing crashes or hangs, no wrong bytes are given back,
// LMDB opens it only when it is sound, and packs that were not hit can be salvaged.
// Method: files that LMDB wrote, random damage, and all that a store would do with the file, in a child
// process whose end is looked at.

import { fork } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { open } from 'lmdb';
import t, { type Test } from 'tap';
import { arenaFileDefect, arenaSpineDefect } from '../../lib/blockstore/arena-file.ts';
import { ArenaPages } from '../../lib/blockstore/arena-pages.ts';
import { ArenaReader } from '../../lib/blockstore/arena-reader.ts';
import { salvagePacks } from '../../lib/blockstore/arena-salvage.ts';
import { Arena } from '../../lib/blockstore/arena.ts';
import { emptyEnvironment } from '../../lib/blockstore/lmdb-page.ts';
import {
  makeArena,
  packOf,
  type ArenaSample,
  type ArenaSampleOptions,
} from '../support/arena-sample.ts';
import { flipByte, overwrite } from '../support/damage.ts';
import { printedSeed, randomBytesOf } from '../support/random.ts';

const WORKER = new URL('../support/arena-damage-worker.js', import.meta.url);
const ROUNDS = 300;
const PAGE = 4096;
/** Place of the persistent flags in a meta page. */
const FREE_TREE_FLAGS = 52;
const ROUND_MS_MAX = 60_000;

async function sampleIn(t: Test, options: ArenaSampleOptions): Promise<ArenaSample> {
  const folder = t.testdir();
  mkdirSync(folder, { recursive: true });
  return makeArena(join(folder, 'a000001.mdb'), options);
}

t.test('the first pages of a new arena are those that LMDB would write', async (t) => {
  const path = join(t.testdir(), 'lmdb.mdb');
  const mapSize = 123 * 1024 * 1024;
  const environment = open({ path, noSubdir: true, mapSize, keyEncoding: 'binary' });
  await environment.close();
  t.strictSame(emptyEnvironment(mapSize), readFileSync(path));
});

t.test('random damage to the tree and to packs: never a crash, never wrong bytes', async (t) => {
  const seed = printedSeed(t);
  const folder = t.testdir();
  const messages: unknown[] = [];
  const worker = fork(WORKER, [folder, String(seed), String(ROUNDS)], { stdio: 'pipe' });
  let errors = '';
  worker.stderr?.on('data', (text) => (errors += String(text)));
  let watchdog = setTimeout(() => worker.kill('SIGKILL'), ROUND_MS_MAX);
  worker.on('message', (message) => {
    messages.push(message);
    clearTimeout(watchdog);
    watchdog = setTimeout(() => worker.kill('SIGKILL'), ROUND_MS_MAX);
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    worker.on('exit', (...end) => resolve(end));
  });
  clearTimeout(watchdog);
  t.strictSame([code, signal], [0, null], `after ${messages.length} rounds: ${errors}`);
  const counts = messages.at(-1) as { rounds: number; defective: number; refused: number };
  t.comment(`seed ${seed}: ${JSON.stringify(counts)}`);
  t.equal(counts.rounds, ROUNDS);
  t.ok(counts.defective > 0 && counts.refused > 0, 'damage was met');
});

t.test('a sound file has no defect, and gives back every pack, large and small', async (t) => {
  const { path, packs } = await sampleIn(t, { seed: 1, packs: 300, bytesMax: 20_000 });
  t.equal(arenaFileDefect(path), undefined);
  const reader = new ArenaReader(path);
  t.strictSame([...reader.packIds()], [...packs.keys()]);
  t.strictSame([...reader.packIds(200)], [...packs.keys()].slice(199));
  for (const [packId, bytes] of packs) t.ok(reader.get(packId).equals(bytes));
  t.throws(() => reader.get(301), { code: 'DEDUPFS_CORRUPT' });
  const memory = Buffer.alloc(40_000);
  t.equal(reader.get(7, memory).buffer, memory.buffer, 'in the memory that was given');
  reader.close();
});

t.test('before a put only the end of the tree is looked at', async (t) => {
  const { path } = await sampleIn(t, { seed: 6, packs: 600, bytesMax: 3000, perCommit: 4 });
  const pages = new ArenaPages(path);
  const meta = pages.newestMeta();
  const { children } = pages.nodePage(meta, meta.main.root ?? 0, 'packs');
  pages.close();
  t.ok(children.length > 3, `${children.length} leaves`);
  t.equal(arenaSpineDefect(path), undefined);
  for (const [child, isOnSpine] of [
    [children[0], false],
    [children.at(-1), true],
  ] as const) {
    const broken = `${path}.${child}`;
    copyFileSync(path, broken);
    flipByte(broken, (child ?? 0) * PAGE);
    t.match(arenaFileDefect(broken), `page ${child} is damaged`);
    t.equal(arenaSpineDefect(broken) !== undefined, isOnSpine, `leaf ${child}`);
  }
});

t.test('packs put after the reader was opened are found', async (t) => {
  const path = join(t.testdir(), 'a000001.mdb');
  // LMDB's write thread alone does not keep the event loop, and so the test, going.
  const awake = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(awake));
  const arena = Arena.create(1, path, 64 * 1024 * 1024);
  const reader = new ArenaReader(path);
  for (let packId = 1; packId <= 200; packId += 1) {
    const bytes = packOf(packId, randomBytesOf(packId, 3000));
    await arena.put(packId, bytes);
    t.ok(reader.get(packId).equals(bytes));
  }
  t.equal([...reader.packIds()].length, 200);
  reader.close();
  await arena.close();
});

for (const meta of [0, 1]) {
  t.test(`with meta page ${meta} gone the packs of earlier commits can be read`, async (t) => {
    const { path, packs } = await sampleIn(t, { seed: 2, packs: 40, bytesMax: 9000, perCommit: 4 });
    flipByte(path, meta * PAGE + 24);
    t.match(arenaFileDefect(path), `damaged meta page ${meta}`);
    t.throws(() => new Arena(1, path, 1024 * 1024).openToWrite(), { code: 'DEDUPFS_CORRUPT' });
    const reader = new ArenaReader(path);
    const found = [...reader.packIds()];
    t.ok(found.length === 40 || found.length === 36, `${found.length} packs`);
    for (const packId of found) t.strictSame(reader.get(packId), packs.get(packId));
    reader.close();
  });
}

for (const meta of [0, 1]) {
  t.test(`a flag of meta page ${meta} that would have LMDB refuse the file`, async (t) => {
    const folder = t.testdir({ 'a file': '' });
    // One more transaction, and the other meta is the newer one.
    for (const packs of [3, 4]) {
      const options = { seed: 6, packs, bytesMax: 9000, perCommit: 1 };
      const { path } = await makeArena(join(folder, `a00000${packs}.mdb`), options);
      overwrite(path, meta * PAGE + FREE_TREE_FLAGS, Buffer.from([0x08, 0x60])); // "encrypted"
      t.match(arenaFileDefect(path), 'a meta page');
      t.throws(() => new Arena(1, path, 1024 * 1024).openToWrite(), { code: 'DEDUPFS_CORRUPT' });
    }
  });
}

t.test('a lock file that cannot be opened is an error, not the end of the process', async (t) => {
  const { path } = await sampleIn(t, { seed: 7, packs: 3, bytesMax: 9000 });
  rmSync(`${path}-lock`);
  mkdirSync(`${path}-lock`);
  t.throws(() => new Arena(1, path, 1024 * 1024).openToWrite(), /-lock cannot be opened to write/);
});

t.test('with both metas and the whole tree gone, all packs are salvaged', async (t) => {
  const { path, packs } = await sampleIn(t, { seed: 3, packs: 120, bytesMax: 60_000 });
  const broken = `${path}.broken`;
  copyFileSync(path, broken);
  flipByte(broken, 24);
  flipByte(broken, PAGE + 24);
  t.match(arenaFileDefect(broken), 'not an LMDB file');
  const salvaged = new Map<number, Buffer>();
  for await (const { packId, bytes, isInside } of salvagePacks(broken)) {
    t.notOk(isInside);
    salvaged.set(packId, bytes);
  }
  t.strictSame(
    [...salvaged.keys()].sort((left, right) => left - right),
    [...packs.keys()],
  );
  for (const [packId, bytes] of packs) t.ok(salvaged.get(packId)?.equals(bytes));
});

t.test('an image of an arena inside of a pack is told apart', async (t) => {
  const inner = await sampleIn(t, { seed: 4, packs: 9, bytesMax: 9000 });
  const path = `${inner.path}.outer`;
  const { packs } = await makeArena(path, { seed: 5, packs: 5, bytesMax: 9000, image: inner.path });
  const outside: number[] = [];
  for await (const { packId, isInside } of salvagePacks(path)) if (!isInside) outside.push(packId);
  t.strictSame(
    outside.sort((left, right) => left - right),
    [...packs.keys()],
  );
});

t.test('what is no arena at all', async (t) => {
  const folder = t.testdir({ folder: {}, text: 'no arena', empty: '' });
  writeFileSync(join(folder, 'zeros'), Buffer.alloc(100 * PAGE));
  for (const name of ['folder', 'text', 'empty', 'zeros', 'absent']) {
    const path = join(folder, name);
    t.type(arenaFileDefect(path), 'string', name);
  }
  for (const name of ['text', 'empty', 'zeros']) {
    for await (const found of salvagePacks(join(folder, name))) t.fail(`found ${found.packId}`);
  }
});
