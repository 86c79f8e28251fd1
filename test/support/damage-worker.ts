// Child process of the damage campaign: damages a store of its own again and again, and lets it heal
// in between. A crash of this process is what the campaign must see.
//
// Arguments: WorkerTask as JSON. Prints a WorkerReport.
//
// In arenas, for each damage: all is read from a store that notes nothing, then scrubbed, then what is
// named is copied again from the originals into the same store, whose packs so change from damage to
// damage. What copies cannot mend (LMDB's own pages, checkpoints) is undone by writing the old bytes
// back. In meta.db: all is read, `fsck --rebuild` follows, all is read again, each time on a new copy.

import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DedupfsError, describeError } from '../../lib/errors.ts';
import { ROOT_INO, type Ino } from '../../lib/filesystem/contract.ts';
import { silentLog } from '../../lib/log.ts';
import { SlabPool } from '../../lib/slab-pool.ts';
import type { ScrubReport, Store } from '../../lib/store/contract.ts';
import { checkOffline } from '../../lib/store/offline.ts';
import { rebuildStore } from '../../lib/store/rebuild.ts';
import { openStore } from '../../lib/store/store.ts';
import { readTree, type ExpectedTree, type ReadReport } from './damage-reader.ts';
import {
  damageInMetastore,
  DamageTruth,
  describeDamage,
  inflict,
  type Damage,
  type DamageKind,
  type Hit,
} from './damage-truth.ts';
import { FileSystemDriver, O_TRUNC } from './filesystem-driver.ts';
import { Random } from './random.ts';

export interface WorkerTask {
  readonly where: 'arenas' | 'metastore';
  readonly pristine: string;
  /** Made from the pristine one. */
  readonly store: string;
  readonly originals: string;
  /** File with the expected tree as JSON. */
  readonly expected: string;
  readonly seed: number;
  readonly kinds: readonly DamageKind[];
}

export interface WorkerReport {
  readonly counts: Readonly<Record<string, number>>;
  /** What must not be. */
  readonly problems: readonly string[];
}

interface Opened {
  readonly store: Store;
  readonly driver: FileSystemDriver;
}

const SLABS = 8;
const PROBLEMS_MAX = 10;
const PATHS_MAX = 5;

const task = JSON.parse(process.argv[2] ?? '') as WorkerTask;
const expected = JSON.parse(readFileSync(task.expected, 'utf8')) as ExpectedTree;
const random = new Random(task.seed);
const pool = new SlabPool(SLABS);
const counts: Record<string, number> = {};
const problems: string[] = [];
/** What was done last. */
let after = '';

if (task.where === 'arenas') await damageArenas();
else for (const kind of task.kinds) await damageMetastore(kind);
process.stdout.write(JSON.stringify({ counts, problems } satisfies WorkerReport));

function count(what: string, by = 1): void {
  counts[what] = (counts[what] ?? 0) + by;
}

function must(isTrue: boolean, what: string): void {
  if (!isTrue && problems.length < PROBLEMS_MAX) problems.push(`after ${after}: ${what}`);
}

/** The store as a mount opens it; what stops that must be an error for people. */
async function opened(options: { readonly isReadOnly?: boolean } = {}): Promise<Opened | string> {
  const log = silentLog();
  try {
    const store = await openStore(task.store, {
      ...options,
      create: false,
      background: false,
      pool,
      log,
    });
    return { store, driver: new FileSystemDriver(store.filesystem, pool) };
  } catch (error) {
    must(error instanceof DedupfsError, `refused unclearly: ${(error as Error).stack}`);
    return describeError(error);
  }
}

/** Reads all from a store that notes no damage. @returns undefined when it cannot be opened */
async function readAll(): Promise<ReadReport | undefined> {
  const found = await opened({ isReadOnly: true });
  if (typeof found === 'string') return undefined;
  const report = await readTree(found.driver, expected);
  // Nothing was changed; what cannot be closed well on a damaged store is not what this is about.
  await found.store.close().catch(() => undefined);
  count('names read right', report.right);
  count('wrong names or bytes returned', report.wrong.length);
  must(report.wrong.length === 0, `wrong: ${report.wrong.slice(0, PATHS_MAX).join('; ')}`);
  return report;
}

async function mustBeWhole(): Promise<void> {
  const report = await readAll();
  const unreadable = report?.unreadable.slice(0, PATHS_MAX).join('; ') ?? 'the store is refused';
  must(unreadable === '', `not healed: ${unreadable}`);
  const found = await fsck();
  must(found.length === 0, `fsck: ${found.slice(0, PATHS_MAX).join('; ')}`);
}

async function fsck(): Promise<string[]> {
  try {
    const { findings } = await checkOffline(task.store, { level: 'full', log: silentLog() });
    return findings.map(({ check, message }) => `${check}: ${message}`);
  } catch (error) {
    if (!(error instanceof DedupfsError)) throw error;
    return [describeError(error)];
  }
}

function renew(): void {
  rmSync(task.store, { recursive: true, force: true });
  cpSync(task.pristine, task.store, { recursive: true });
}

async function damageArenas(): Promise<void> {
  renew();
  for (const kind of task.kinds) {
    const truth = await DamageTruth.of(task.store);
    const damage = truth.inArena(random, kind);
    const hit = truth.hitOf(damage);
    await damageArena(damage, hit);
  }
  await mustBeWhole();
}

async function damageArena(damage: Damage, hit: Hit): Promise<void> {
  after = `${describeDamage(damage)}, ${hit.where}`;
  count(damage.bytes.length === 1 ? 'bytes damaged' : 'blocks damaged');
  count(`damages of ${hit.where}`);
  const undo = inflict(task.store, damage);
  const isHarmed = hit.isHarmed();
  const read = await readAll();
  const found = await opened();
  if (read === undefined || typeof found === 'string') {
    must(read === undefined && typeof found === 'string', 'refused once, and once not');
    count('stores refused for their arenas');
    undo();
    return;
  }
  const scrub = await found.store.scrub({ restart: true });
  checkScrub(scrub, read, { hit, isHarmed });
  await copyAgain(found, read.unreadable);
  const again = await readTree(found.driver, expected);
  const bad = [...again.wrong, ...again.unreadable].slice(0, PATHS_MAX);
  must(bad.length === 0, `after copying: ${bad.join('; ')}`);
  await found.store.close();
  // Copies have mended what was in packs of chunks: the rest is not theirs to mend.
  if (!hit.where.startsWith('live')) undo();
}

function checkScrub(
  scrub: ScrubReport,
  read: ReadReport,
  { hit, isHarmed }: { readonly hit: Hit; readonly isHarmed: boolean },
): void {
  const named = new Set(scrub.damage.files.flatMap(({ paths }) => paths));
  const unreadable = new Set(read.unreadable.map((path) => `/${path}`));
  const unnamed = [...unreadable].filter((path) => !named.has(path));
  const readable = [...named].filter((path) => !unreadable.has(path));
  must(unnamed.length === 0, `scrub does not name ${unnamed.slice(0, PATHS_MAX).join('; ')}`);
  must(readable.length === 0, `scrub names ${readable.slice(0, PATHS_MAX).join('; ')}`);
  must(scrub.isComplete, 'scrub did not come to its end');
  count('files unreadable by damage in arenas', unreadable.size);
  count('files named by scrub', named.size);
  const isFound = scrub.damage.chunks > 0;
  if (isHarmed) {
    count('damages that harm live chunks');
    count('of them found by scrub', isFound ? 1 : 0);
    must(isFound && unreadable.size > 0, 'a live chunk is harmed, and scrub did not find it');
  } else if (hit.where === 'live data') {
    // Another way to compress the same bytes.
    count('damages of live data that decode to the same bytes');
    must(!isFound, 'no live chunk is harmed, but scrub says so');
  }
}

/** Copies originals over what is damaged, as cp does. */
async function copyAgain({ store, driver }: Opened, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const names = path.split('/');
    const name = names.pop() ?? '';
    let parent: Ino = ROOT_INO;
    for (const folder of names) parent = driver.stat(folder, parent).ino;
    const { fh } = await driver.open(name, O_TRUNC, parent);
    await driver.write(fh, 0, readFileSync(join(task.originals, path)));
    driver.release(fh);
    count('files copied again');
  }
  await store.commit();
}

async function damageMetastore(kind: DamageKind): Promise<void> {
  renew();
  const damage = damageInMetastore(task.store, random, kind);
  after = describeDamage(damage);
  count(kind === 'byte' ? 'bytes damaged' : 'blocks damaged');
  count('damages of meta.db');
  inflict(task.store, damage);
  const report = await readAll();
  if (report === undefined) count('stores refused for their meta.db');
  else count('names unreadable by damage in meta.db', report.unreadable.length);
  if (report?.unreadable.length === 0 && (await fsck()).length === 0) {
    count('damages of meta.db where nothing lies');
    return;
  }
  await rebuildStore(task.store, { log: silentLog(), onProgress: () => undefined });
  count('metastores rebuilt');
  await mustBeWhole();
}
