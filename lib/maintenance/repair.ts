// Repair: runs the repairs over a copy of the metastore until the full fsck of the copy finds nothing.
//
// One repair can bring to light what another has to put right (a file that comes back has no name), so
// they run in rounds. Each round is one transaction, and every change is in the journal.

import type { KeyedHash } from '../blake3.ts';
import type { Logger } from '../log.ts';
import { Metastore } from '../metastore/metastore.ts';
import { viewArenas } from './arena-view.ts';
import type { ArenaReader, Check, Finding, RepairContext } from './checks/check.ts';
import { createTurn, IDS_PER_PASS, isDamage, REPAIRS, runFsck, type FsckProgress } from './fsck.ts';
import type { RepairJournal } from './repair-journal.ts';

/** What one round leaves is mostly nothing, and never more than a few steps from sound. */
const ROUNDS_MAX = 6;
/** Names by inode: only repairs ask for them, so the index lives as long as they do. */
const NAME_INDEX = 'repair_dentry_ino';

export interface RepairParts {
  /** The copy of meta.db that is changed. No connection to it is open. */
  readonly path: string;
  readonly blockStore: ArenaReader;
  readonly hash: KeyedHash;
  readonly log: Logger;
  readonly journal: RepairJournal;
  readonly onProgress?: ((progress: FsckProgress) => void) | undefined;
  /** Ends it at the next turn. */
  readonly signal?: AbortSignal | undefined;
  /** Filled with the arenas that are made of damaged ones; also when this throws. */
  readonly arenasMade?: Set<number>;
  /** For tests: fewer ids in one pass. */
  readonly idsPerPass?: number;
}

export interface RepairOutcome {
  /** What fsck found before anything was repaired. */
  readonly findings: readonly Finding[];
  readonly findingsOmitted: number;
  /** What it finds in the repaired copy; empty when the repair succeeded. */
  readonly left: readonly Finding[];
  /** Arena files that the repaired metastore has no use for and nobody can read. */
  readonly arenasPutAside: readonly number[];
  /** The same of arenas with metadata checkpoints. */
  readonly checkpointsPutAside: readonly number[];
}

/** What goes out of the way when the repair takes effect. */
interface PutAside {
  readonly arenasPutAside: Set<number>;
  readonly arenasMade: Set<number>;
  readonly checkpointsPutAside: Set<number>;
}

/** @throws the signal's reason  @throws Error when the copy cannot be opened, or something failed that is no damage */
export async function repairMetastore(parts: RepairParts): Promise<RepairOutcome> {
  const aside: PutAside = {
    arenasPutAside: new Set(),
    arenasMade: parts.arenasMade ?? new Set(),
    checkpointsPutAside: new Set(),
  };
  const hidden = { arenas: aside.arenasPutAside, packsFrom: new Map<number, number>() };
  const view = { ...parts, ...aside, blockStore: viewArenas(parts.blockStore, [hidden]) };
  const first = await withMetastore(view, async (metastore) => check(view, metastore));
  let left = first.findings;
  for (let round = 0; left.length > 0 && round < ROUNDS_MAX; round += 1) {
    await withMetastore(view, async (metastore) => runRepairs(view, metastore));
    left = (await withMetastore(view, async (metastore) => check(view, metastore))).findings;
  }
  return {
    findings: first.findings,
    findingsOmitted: first.findingsOmitted,
    left,
    arenasPutAside: [...aside.arenasPutAside],
    checkpointsPutAside: [...aside.checkpointsPutAside],
  };
}

/** Opened anew for each step: its tables keep rows in memory that a repair has changed. */
async function withMetastore<Result>(
  { path }: RepairParts,
  work: (metastore: Metastore) => Promise<Result>,
): Promise<Result> {
  const metastore = new Metastore(path, { create: false });
  try {
    return await work(metastore);
  } finally {
    metastore.close();
  }
}

async function check(
  parts: RepairParts & PutAside,
  metastore: Metastore,
): Promise<{ findings: readonly Finding[]; findingsOmitted: number }> {
  const { blockStore, hash, log, onProgress, signal, idsPerPass, checkpointsPutAside } = parts;
  const { connection } = metastore.database;
  const base = { connection, metastore, blockStore, hash, log, checkpointsPutAside };
  const context = { ...base, onProgress, signal };
  return runFsck({ ...context, ...(idsPerPass === undefined ? {} : { idsPerPass }) }, 'full');
}

async function runRepairs(parts: RepairParts & PutAside, metastore: Metastore): Promise<void> {
  const { blockStore, hash, log, journal, onProgress, idsPerPass = IDS_PER_PASS } = parts;
  const { arenasPutAside, arenasMade, checkpointsPutAside } = parts;
  const { connection } = metastore.database;
  const base = { connection, metastore, blockStore, hash, log, idsPerPass };
  const shared = { ...base, arenasPutAside, arenasMade, checkpointsPutAside };
  const turn = createTurn(metastore, parts.signal);
  connection.exec(`CREATE INDEX ${NAME_INDEX} ON dentry (ino)`);
  const done = new Set<unknown>();
  for (const [index, repair] of REPAIRS.entries()) {
    // Some checks look at two sides of what one repair puts right.
    if (done.has(repair.repair)) continue;
    done.add(repair.repair);
    const { name } = repair;
    const context: RepairContext = {
      ...shared,
      turn,
      level: 'full',
      progress: (at, total) => {
        const step = { check: `repair ${name}`, number: index + 1, checks: REPAIRS.length };
        onProgress?.({ ...step, done: Math.min(at, total), total });
      },
      record: (change) => journal.record({ check: name, ...change }),
    };
    await attempt(context, repair, journal);
  }
  connection.exec(`DROP INDEX ${NAME_INDEX}`);
  metastore.database.commit();
}

/** Damage that stops one repair must not stop the others; fsck tells what is left. */
async function attempt(
  context: RepairContext,
  { name, repair }: Check,
  journal: RepairJournal,
): Promise<void> {
  const { connection, log } = context;
  const mark = journal.mark();
  connection.exec('SAVEPOINT repair');
  try {
    await repair(context);
    connection.exec('RELEASE repair');
  } catch (error) {
    // SQLite ends the whole transaction on some errors: then nothing of this round can be kept.
    if (!isDamage(error) || !connection.inTransaction) throw error;
    log.error({ err: error, check: name }, 'a repair was given up');
    connection.exec('ROLLBACK TO repair; RELEASE repair');
    journal.takeBack(mark);
  }
}
