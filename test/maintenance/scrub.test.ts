// Goal: scrub reads everything, finds every damage and names every file it hits; a stopped scrub goes on.
// Method: real stores without compression, damaged in their arena files.

import t, { type Test } from 'tap';
import { flipByte, findPack } from '../support/damage.ts';
import { arenaPaths, damageContent } from '../support/damaged-content.ts';
import { assertStoreClean, copyStore, openAt, openFresh } from '../support/open-store.ts';
import { printedSeed, Random, randomBytesOf } from '../support/random.ts';
import type { ScrubReport } from '../../lib/store/contract.ts';
import { isScrubDue } from '../../lib/store/scrub-schedule.ts';

const FILES = 12;
const BYTES = 1_000_000;
const DAY_MS = 24 * 60 * 60 * 1000;
/** Packs so far; a scrub that is stopped there has begun and is not done. */
const STOP_AT = 5;

function contentOf(file: number): Buffer {
  return randomBytesOf(`scrub ${file}`, BYTES);
}

async function openFilled(t: Test) {
  const opened = await openFresh(t, { compression: 'none' });
  for (let file = 0; file < FILES; file += 1) await opened.driver.put(`${file}`, contentOf(file));
  await opened.store.commit();
  return opened;
}

t.test('a sound store is clean, and all of it was read', async (t) => {
  const { store } = await openFilled(t);
  const { chunks, packs } = store.statistics();
  const progress: number[] = [];
  const report = await store.scrub({ onProgress: ({ bytesDone }) => progress.push(bytesDone) });
  t.match(report, { isComplete: true, isResumed: false, packs, chunks, chunksDamaged: 0 });
  t.ok(report.bytes >= FILES * BYTES);
  t.equal(progress.length, packs, 'progress after each pack');
  t.equal(progress.at(-1), report.bytes);
  t.strictSame(report.findings, []);
  t.match(store.statistics().lastScrub, { packs, chunksDamaged: 0, findings: 0 });
  await assertStoreClean(t, store);
});

t.test('every damaged byte of data is found, every file named and healed by a copy', async (t) => {
  const { store, driver, path } = await openFilled(t);
  const random = new Random(printedSeed(t));
  const hit = new Set<number>();
  for (let damage = 0; damage < 20; damage += 1) {
    const file = random.below(FILES);
    damageContent(path, contentOf(file), random.below(BYTES - 32));
    hit.add(file);
  }
  const report = await store.scrub();
  const named = report.damage.files.flatMap(({ paths }) => paths);
  t.strictSame(named, [...hit].map((file) => `/${file}`).sort());
  t.equal(report.chunksDamaged, report.damage.chunks);
  t.equal(report.damage.chunks, store.statistics().damagedChunks);
  await assertStoreClean(t, store);
  for (const file of hit) await driver.put(`again ${file}`, contentOf(file));
  await store.commit();
  for (let file = 0; file < FILES; file += 1) {
    t.ok((await driver.get(`${file}`)).equals(contentOf(file)), `file ${file}`);
  }
  const after = await store.scrub();
  t.equal(after.damage.chunks, 0);
  t.ok(after.deadRecordsDamaged > 0, 'the bad records are still there, dead');
  await assertStoreClean(t, store);
});

t.test('a damaged directory takes the whole pack, whoever comes first', async (t) => {
  const { store, driver, path } = await openFilled(t);
  const [arena = ''] = arenaPaths(path);
  flipByte(arena, findPack(arena, 3) + 17);
  const report = await store.scrub();
  t.ok(report.chunksDamaged > 5, `${report.chunksDamaged} chunks of the pack`);
  t.equal(report.damage.chunks, report.chunksDamaged);
  for (let file = 0; file < FILES; file += 1) await driver.put(`again ${file}`, contentOf(file));
  await store.commit();
  for (let file = 0; file < FILES; file += 1) {
    t.ok((await driver.get(`${file}`)).equals(contentOf(file)), `file ${file}`);
  }
  await assertStoreClean(t, store);
  for (const file of [10, 11]) {
    await driver.remove(`${file}`);
    await driver.remove(`again ${file}`);
  }
  const again = await store.gc({ threshold: 1 });
  t.ok(again.arenasRemoved > 0, 'the damaged pack pins no arena');
  await assertStoreClean(t, store);
});

t.test('a stopped scrub goes on where it was, also after a crash', async (t) => {
  const { store, path } = await openFilled(t);
  const { packs, chunks } = store.statistics();
  damageContent(path, contentOf(0), 100);
  const first = await stopped(store.scrub.bind(store));
  t.match(first, { isComplete: false, isResumed: false, packs: STOP_AT, chunksDamaged: 1 });
  const crashed = copyStore(path, `${t.testdirName}/crashed`);
  for (const opened of [{ store }, await openAt(t, crashed, { compression: 'none' })]) {
    const second = await opened.store.scrub();
    t.match(second, { isComplete: true, isResumed: true, packs, chunks, chunksDamaged: 1 });
    const third = await opened.store.scrub();
    t.match(third, { isComplete: true, isResumed: false, packs, chunksDamaged: 0 });
    t.equal(third.damage.chunks, 1, 'what is damaged still is told');
    await assertStoreClean(t, opened.store);
  }
});

t.test('--restart begins anew', async (t) => {
  const { store } = await openFilled(t);
  const { packs } = store.statistics();
  await stopped(store.scrub.bind(store));
  t.match(await store.scrub({ restart: true }), { isComplete: true, isResumed: false, packs });
});

async function stopped(
  scrub: (request: { signal: AbortSignal; onProgress: () => void }) => Promise<ScrubReport>,
): Promise<ScrubReport> {
  const stop = new AbortController();
  let packs = 0;
  const onProgress = (): void => {
    packs += 1;
    if (packs === STOP_AT) stop.abort();
  };
  return scrub({ signal: stop.signal, onProgress });
}

t.test('closing the store stops a scrub and keeps its position', async (t) => {
  const { store, path } = await openFilled(t);
  const { packs } = store.statistics();
  let seen = 0;
  const running = store.scrub({
    onProgress: () => {
      seen += 1;
      if (seen === STOP_AT) void store.close();
    },
  });
  t.match(await running, { isComplete: false });
  await store.close();
  const again = await openAt(t, path, { compression: 'none' });
  t.match(await again.store.scrub(), { isComplete: true, isResumed: true, packs });
});

t.test('a rate is kept', async (t) => {
  const { store } = await openFilled(t);
  const startMs = performance.now();
  const report = await store.scrub({ bytesPerSecond: 16 * 1024 * 1024 });
  const seconds = (performance.now() - startMs) / 1000;
  // The last rest is slept as well, and what was missed is made up for within a second at most.
  const least = report.bytes / (16 * 1024 * 1024) - 1 / 8;
  t.ok(seconds >= least, `${seconds} s for ${report.bytes} bytes, expected at least ${least}`);
});

t.test('while a scrub runs the store is used, and gc moves what it has not seen yet', async (t) => {
  const { store, driver } = await openFilled(t);
  for (let file = 0; file < FILES; file += 2) await driver.remove(`${file}`);
  await store.commit();
  const running = store.scrub({ bytesPerSecond: 32 * 1024 * 1024 });
  const collected = store.gc({ threshold: 1 });
  await driver.put('new', contentOf(100));
  t.equal((await store.fsck({ level: 'full' })).findings.length, 0);
  t.ok((await collected).arenasRemoved > 0);
  t.match(await running, { isComplete: true, chunksDamaged: 0, findings: [] });
  for (let file = 1; file < FILES; file += 2) {
    t.ok((await driver.get(`${file}`)).equals(contentOf(file)), `file ${file}`);
  }
  await assertStoreClean(t, store);
});

t.test('what SQLite finds wrong is told', async (t) => {
  const { store, path } = await openFilled(t);
  await store.close();
  const { default: Database } = await import('better-sqlite3');
  const database = new Database(`${path}/meta.db`);
  database.unsafeMode();
  database.pragma('writable_schema = ON');
  // The index then holds an entry for each pack, under the number of another.
  const swap = "UPDATE sqlite_schema SET sql = replace(sql, '(arena)', '(live)') WHERE name = ?";
  database.prepare(swap).run('pack_arena');
  database.close();
  const again = await openAt(t, path, { compression: 'none' });
  const report = await again.store.scrub();
  t.match(report.findings[0], /metastore, table pack: .*pack_arena/);
  t.equal(report.chunksDamaged, 0);
  t.equal(again.store.statistics().lastScrub?.findings, report.findings.length);
});

t.test('a scrub is due days after the last, at once when it was cut off, never with 0', (t) => {
  const nowMs = 1_800_000_000_000;
  const outcome = { startedMs: 0, packs: 0, bytes: 0, chunks: 0, chunksDamaged: 0, findings: 0 };
  const counts = { packs: 0, bytes: 0, chunks: 0, chunksDamaged: 0, deadRecordsDamaged: 0 };
  const position = { startedMs: 0, afterPack: 0, ...counts };
  const done = (days: number) => ({ ...outcome, completedMs: nowMs - days * DAY_MS });
  const due = (state: Partial<Parameters<typeof isScrubDue>[0]>, days = 30, bornDays = 0) =>
    isScrubDue(
      { position: undefined, last: undefined, ...state },
      { days, bornMs: nowMs - bornDays * DAY_MS, nowMs },
    );
  t.equal(due({ last: done(29) }), false);
  t.equal(due({ last: done(31) }), true);
  t.equal(due({ last: done(31) }, 0), false, 'never');
  t.equal(due({}, 30, 29), false, 'a young store');
  t.equal(due({}, 30, 31), true, 'an old store that was never scrubbed');
  t.equal(due({ last: done(1), position: { ...position, isScheduled: true } }), true, 'cut off');
  t.equal(due({ last: done(1), position: { ...position, isScheduled: false } }), false, 'by hand');
  t.equal(due({ last: done(-3) }), true, 'the clock was set back');
  t.end();
});
