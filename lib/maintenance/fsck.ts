// fsck: runs the checks in order and collects what they find. Changes nothing.
//
// The caller holds the gate from a commit on until this is done: with changes let in between, parts
// read at different moments would not agree. Reads go on, because checks work in slices.

import type Database from 'better-sqlite3';
import { setImmediate } from 'node:timers/promises';
import { assert } from '../assert.ts';
import type { KeyedHash } from '../blake3.ts';
import { CorruptionError, describeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { explainDamage } from '../metastore/checked-database.ts';
import { COUNTER_NAMES } from '../metastore/counters.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { arenaFiles } from './checks/arena-files.ts';
import { arenaTotals } from './checks/arena-totals.ts';
import type { ArenaReader, Check, CheckContext, CheckLevel, Finding } from './checks/check.ts';
import { chunkRecords } from './checks/chunk-records.ts';
import { chunkReferences } from './checks/chunk-references.ts';
import { dentries } from './checks/dentries.ts';
import { directoryTree } from './checks/directory-tree.ts';
import { extentBounds } from './checks/extent-bounds.ts';
import { extentMapsCheck } from './checks/extent-maps.ts';
import { inodeRows } from './checks/inode-rows.ts';
import { linkCounts } from './checks/link-counts.ts';
import { metadataCheckpoint } from './checks/metadata-checkpoint.ts';
import { metastorePages } from './checks/metastore-pages.ts';
import { packTotals } from './checks/pack-totals.ts';
import { packsAbove } from './checks/packs-above.ts';
import { packsKnown } from './checks/packs-known.ts';
import { packsStored } from './checks/packs-stored.ts';
import { quarantine } from './checks/quarantine.ts';
import { sequences } from './checks/sequences.ts';
import { symlinks } from './checks/symlinks.ts';
import { totals } from './checks/totals.ts';
import { xattrs } from './checks/xattrs.ts';

export type { CheckLevel, Finding } from './checks/check.ts';

/** In the order in which they run: what others rest on comes first. */
export const CHECKS: readonly Check[] = [
  metastorePages,
  sequences,
  arenaFiles,
  packsAbove,
  inodeRows,
  dentries,
  linkCounts,
  directoryTree,
  symlinks,
  xattrs,
  extentMapsCheck,
  extentBounds,
  chunkReferences,
  quarantine,
  packTotals,
  arenaTotals,
  totals,
  packsKnown,
  packsStored,
  chunkRecords,
  metadataCheckpoint,
];

/** In the order in which repairs build on each other: rows of packs, chunks, inodes, names, counts. */
export const REPAIRS: readonly Check[] = [
  metastorePages,
  sequences,
  arenaFiles,
  packsAbove,
  packsKnown,
  packsStored,
  chunkRecords,
  quarantine,
  inodeRows,
  dentries,
  symlinks,
  directoryTree,
  xattrs,
  extentMapsCheck,
  extentBounds,
  chunkReferences,
  linkCounts,
  packTotals,
  arenaTotals,
  totals,
  metadataCheckpoint,
];

/** Findings listed for one check: a lost arena must not hide what the others find. */
const FINDINGS_PER_CHECK_MAX = 100;
/** 32 MB for each of at most two arrays of counters. */
export const IDS_PER_PASS = 8 * 1024 * 1024;

const NONE: ReadonlySet<number> = new Set();

export interface FsckProgress {
  readonly check: string;
  /** Of the checks, counted from 1. */
  readonly number: number;
  readonly checks: number;
  /** Of this check. */
  readonly done: number;
  readonly total: number;
}

export interface FsckReport {
  readonly level: CheckLevel;
  /** Names of the checks that ran. */
  readonly checks: readonly string[];
  readonly findings: readonly Finding[];
  /** More findings than are listed. */
  readonly findingsOmitted: number;
  /** Chunks in quarantine: the store is sound, and files that have them are not. */
  readonly damagedChunks: number;
}

export interface FsckContext {
  /** The metastore's, with an empty batch open on it. */
  readonly connection: Database.Database;
  readonly metastore: Metastore;
  readonly blockStore: ArenaReader;
  readonly hash: KeyedHash;
  readonly log: Logger;
  readonly onProgress?: ((progress: FsckProgress) => void) | undefined;
  /** Ends it at the next turn. */
  readonly signal?: AbortSignal | undefined;
  /** Arenas with metadata checkpoints that a repair puts aside. */
  readonly checkpointsPutAside?: ReadonlySet<number>;
  /** For tests: fewer ids in one pass than IDS_PER_PASS. */
  readonly idsPerPass?: number;
}

/**
 * Runs the checks of a level.
 * @throws the signal's reason
 * @throws Error when the store was changed meanwhile, or a check failed for a reason that is no damage
 */
export async function runFsck(context: FsckContext, level: CheckLevel): Promise<FsckReport> {
  context.signal?.throwIfAborted();
  const checks = CHECKS.filter((check) => level === 'full' || check.level === 'quick');
  const turn = createTurn(context.metastore, context.signal);
  const findings: Finding[] = [];
  let findingsOmitted = 0;
  for (const [index, check] of checks.entries()) {
    const step = { check: check.name, number: index + 1, checks: checks.length };
    const report = (done: number, total: number): void => {
      context.onProgress?.({ ...step, done: Math.min(done, total), total });
    };
    report(0, 1);
    const { connection, metastore, blockStore, hash, log, checkpointsPutAside = NONE } = context;
    const idsPerPass = context.idsPerPass ?? IDS_PER_PASS;
    const shared = { connection, metastore, blockStore, hash, log, checkpointsPutAside };
    const parts = { ...shared, level, idsPerPass };
    const found = await runCheck(check, { ...parts, progress: report, turn });
    findings.push(...found.findings);
    findingsOmitted += found.omitted;
    report(1, 1);
    await turn();
  }
  const { damagedChunks } = context.metastore.counters;
  const names = checks.map(({ name }) => name);
  return { level, checks: names, findings, findingsOmitted, damagedChunks };
}

/**
 * Gives control to the event loop and asserts that what came in changed nothing.
 * @param signal its reason is thrown when nobody wants to go on
 */
export function createTurn({ counters }: Metastore, signal?: AbortSignal): () => Promise<void> {
  const before = { ...counters };
  return async () => {
    await setImmediate();
    signal?.throwIfAborted();
    const changed = COUNTER_NAMES.find((name) => counters[name] !== before[name]);
    assert(changed === undefined, `nothing changes the store during fsck (${changed} did)`);
  };
}

async function runCheck(
  check: Check,
  context: CheckContext,
): Promise<{ findings: Finding[]; omitted: number }> {
  const findings: Finding[] = [];
  let omitted = 0;
  const add = (finding: Finding): void => {
    if (findings.length < FINDINGS_PER_CHECK_MAX) findings.push(finding);
    else omitted += 1;
  };
  try {
    for await (const finding of check.find(context)) add(finding);
  } catch (thrown) {
    const error = explainDamage(context.connection, thrown);
    if (!isDamage(error)) throw error;
    const { name, invariant } = check;
    context.log.error({ err: error, check: name }, 'a check could not be finished');
    const message = `the check could not be finished: ${describeError(error)}`;
    add({ check: name, invariant, message });
  }
  return { findings, omitted };
}

/** Damage of a kind that keeps SQLite or LMDB from reading on. */
export function isDamage(error: unknown): boolean {
  if (error instanceof CorruptionError) return true;
  const { code } = error as { code?: unknown };
  const isSqlite = typeof code === 'string' && code.startsWith('SQLITE_IOERR');
  return isSqlite || (error instanceof Error && error.message.startsWith('MDB_'));
}
