// Goal: whichever call of a store to its disk fails, nothing acknowledged is lost: the store turns
// read-only, or says that there is no room, and the next mount is clean. Method: one mixed workload
// (writes, overwrites, renames, removals, reads, commits, gc) on a lossy disk; its calls are counted;
// then it runs again for each of them, with that one failing: by EIO or by ENOSPC, once or from then
// on, reads by EIO only.
//
// ENOSPC that comes in spite of blocks held ready: only what SQLite writes may turn the store
// read-only then. It rolls the whole batch back, at COMMIT as in a statement, and names that are gone
// from a batch cannot be made again; what an earlier sync promised is there, as after any other failure.
//
// One round is one failing call. Without --rounds all calls fail, each in all its ways.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { failureOf, run as runProgram, type RunResult } from '../support/commands.ts';
import { supportScript } from '../support/commands-dedupfs.ts';
import type { LoggedState, LookReport, WorkReport } from '../support/failing-calls-worker.ts';
import type { FaultRule } from '../support/lossy-disk-faults.ts';
import { LossyDisk } from '../support/lossy-disk.ts';
import { Random } from '../support/random.ts';
import { CampaignRun, type CampaignOptions, type CampaignReport } from './campaign.ts';
import { manifestDifferences } from './copies.ts';

const DISK_BYTES = 512 * 1024 * 1024;
/** What a disk recorded takes room: a new one after so many rounds. */
const ROUNDS_PER_DISK = 50;
const WORKER_TIMEOUT_MS = 120_000;
/** Rounds do not depend on one another: one violation does not hide others. */
const VIOLATIONS_MAX = 20;
/** More calls than any workload has. */
const NEVER = 1_000_000_000;

/** SQLite's words for ENOSPC. */
const SQLITE_IS_FULL = 'database or disk is full';

/** The ways in which calls fail: every call of each of these kinds. */
const WAYS = [
  { operation: 'write', errno: 'EIO', times: 1 },
  { operation: 'write', errno: 'ENOSPC', times: 1 },
  { operation: 'sync', errno: 'EIO', times: 1 },
  { operation: 'name', errno: 'EIO', times: 1 },
  { operation: 'name', errno: 'ENOSPC', times: 1 },
  { operation: 'read', errno: 'EIO', times: 1 },
  { operation: 'write', errno: 'EIO', times: 'forever' },
  { operation: 'write', errno: 'ENOSPC', times: 'forever' },
  { operation: 'sync', errno: 'EIO', times: 'forever' },
] as const satisfies readonly FaultRule[];

type Fault = (typeof WAYS)[number] & { readonly after: number };

/**
 * lmdb 3.5.6 prints that a write failed, and then formats more of it into 100 bytes that do not always
 * hold it (mdb_page_flush): the process may end of that.
 */
function isEndedByLmdb({ code, stderr }: RunResult): boolean {
  return (code === 134 || code === 139) && /^Write error: .* position \d+/m.test(stderr);
}

/** Runs the campaign. With fewer `rounds` than there are calls, a random choice of them fails. */
export async function run(options: CampaignOptions): Promise<CampaignReport> {
  const campaign = new CampaignRun(options);
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-failing-'));
  campaign.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const calls = new FailingCalls(campaign, folder, options.seed);
  let faults: Fault[] = [];
  await campaign.guard('counting calls', async () => {
    faults = chosenOf(await calls.countAll(), options);
  });
  const rounds = Math.min(options.rounds, faults.length);
  await campaign.rounds(
    async (round) => {
      const fault = faults[round];
      if (fault !== undefined) await calls.round(round, fault);
    },
    { rounds, violations: VIOLATIONS_MAX },
  );
  await calls.close();
  await campaign.keepEvidence(folder);
  return campaign.end();
}

function chosenOf(faults: Fault[], { seed, rounds }: CampaignOptions): Fault[] {
  if (rounds >= faults.length) return faults;
  const random = new Random(seed);
  const chosen: Fault[] = [];
  while (chosen.length < rounds) chosen.push(...faults.splice(random.below(faults.length), 1));
  return chosen;
}

class FailingCalls {
  readonly #campaign: CampaignRun;
  readonly #folder: string;
  readonly #seed: number;
  #disk: LossyDisk | undefined;
  #rounds = 0;

  constructor(campaign: CampaignRun, folder: string, seed: number) {
    this.#campaign = campaign;
    this.#folder = folder;
    this.#seed = seed;
  }

  /** Runs the workload once without a failure. @returns all calls that can fail, in all ways */
  async countAll(): Promise<Fault[]> {
    const disk = await this.#startDisk();
    const kinds = [...new Set(WAYS.map(({ operation }) => operation))];
    for (const operation of kinds) await disk.fail({ operation, errno: 'EIO', after: NEVER });
    const store = join(disk.mountpoint, 'count');
    const report = await this.#work('no failure', store, join(this.#folder, 'count.log'));
    const wrong = report === undefined ? ['the end'] : [...report.failures, ...report.wrong];
    this.#campaign.noneOf(wrong, 'without a failure all goes well');
    const seen = await disk.faults();
    await disk.heal();
    rmSync(store, { recursive: true });
    const counts = new Map(kinds.map((kind, index) => [kind, seen[index]?.seen ?? 0]));
    for (const [kind, count] of counts) this.#campaign.count(`${kind} calls`, count);
    return WAYS.flatMap((way) =>
      Array.from({ length: counts.get(way.operation) ?? 0 }, (_, after) => ({ ...way, after })),
    );
  }

  async round(round: number, fault: Fault): Promise<void> {
    const disk = await this.#startDisk();
    const store = join(disk.mountpoint, `store-${round}`);
    const log = join(this.#folder, `log-${round}`);
    await disk.fail({ ...fault, path: `store-${round}` });
    const what = JSON.stringify(fault);
    const report = await this.#work(what, store, log);
    if (report === undefined) this.#campaign.count("stores that LMDB's error message ended");
    const [count] = await disk.faults();
    await disk.heal();
    if (count?.failed === 0) this.#campaign.count('calls that did not come again');
    // Whatever the store answered: the tree is compared first.
    await this.#checkAfterwards(what, { store, log });
    if (report !== undefined) {
      this.#campaign.noneOf(report.wrong, `${what}: what was read is right`);
      this.#checkRefusal(fault, report, count?.paths ?? []);
    }
    rmSync(store, { recursive: true });
    rmSync(log, { force: true });
  }

  /** No room turns a store read-only only where SQLite meets it. */
  #checkRefusal(
    fault: Fault,
    { failures, readOnlyReason }: WorkReport,
    failedPaths: readonly string[],
  ): void {
    const what = JSON.stringify(fault);
    if (readOnlyReason !== undefined) this.#campaign.count('stores that turned read-only');
    else if (failures.length > 0) this.#campaign.count('stores that refused something');
    else this.#campaign.count('stores that went on');
    if (fault.errno !== 'ENOSPC' || readOnlyReason === undefined) return;
    this.#campaign.count('stores that turned read-only for lack of room in meta.db');
    const isOfSqlite = readOnlyReason.endsWith(SQLITE_IS_FULL);
    this.#campaign.ok(isOfSqlite, `${what} in ${failedPaths.join(' ')}: ${readOnlyReason}`);
  }

  async #checkAfterwards(
    what: string,
    { store, log }: { readonly store: string; readonly log: string },
  ): Promise<void> {
    const { files, findings } = (await this.#run(what, ['look', store])) as LookReport;
    this.#campaign.noneOf(findings, `${what}: fsck finds nothing`);
    const found = new Map(Object.entries(files));
    const states = readStates(log);
    const last = states.findLastIndex(({ event }) => event === 'durable');
    // What was promised last, and every later tree whose commit was begun.
    const nothing: LoggedState = { event: 'durable', files: {}, unknown: [] };
    const allowed = states.slice(Math.max(0, last));
    if (last === -1) allowed.unshift(nothing);
    const differences = allowed.map((state) => differencesOf(state, found));
    const best = differences.find((lines) => lines.length === 0) ?? differences[0] ?? [];
    this.#campaign.noneOf(best, `${what}: the tree is one of ${allowed.length} that it may be`);
    this.#campaign.count('trees compared');
  }

  /** Undefined: the process ended as `isEndedByLmdb` says, which is as good as kill -9. */
  async #work(what: string, store: string, log: string): Promise<WorkReport | undefined> {
    const result = await this.#runWorker(['work', store, String(this.#seed), log]);
    if (isEndedByLmdb(result)) return undefined;
    return this.#reportOf(what, result) as WorkReport;
  }

  async #run(what: string, args: readonly string[]): Promise<unknown> {
    return this.#reportOf(what, await this.#runWorker(args));
  }

  async #runWorker(args: readonly string[]): Promise<RunResult> {
    const script = supportScript('failing-calls-worker');
    return runProgram(process.execPath, [script, ...args], {
      timeoutMs: WORKER_TIMEOUT_MS,
      onTimeout: () => this.#disk?.abort(),
    });
  }

  #reportOf(what: string, result: RunResult): unknown {
    this.#campaign.equal(result.code, 0, `${what}: ${failureOf(result)}`);
    return JSON.parse(result.stdout);
  }

  async #startDisk(): Promise<LossyDisk> {
    if (this.#disk !== undefined && this.#rounds++ % ROUNDS_PER_DISK !== 0) return this.#disk;
    await this.close();
    const folder = join(this.#folder, `disk-${this.#rounds}`);
    const mountpoint = join(this.#folder, 'mnt');
    if (!existsSync(mountpoint)) mkdirSync(mountpoint);
    this.#disk = await LossyDisk.start({
      folder,
      mountpoint,
      seed: this.#seed,
      bytesMax: DISK_BYTES,
      syncMsMax: 0,
    });
    return this.#disk;
  }

  async close(): Promise<void> {
    const disk = this.#disk;
    this.#disk = undefined;
    if (disk === undefined) return;
    await disk.close();
    if (this.#campaign.passing()) rmSync(disk.folder, { recursive: true, force: true });
  }
}

function readStates(log: string): LoggedState[] {
  if (!existsSync(log)) return [];
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as LoggedState);
}

function differencesOf(state: LoggedState, found: ReadonlyMap<string, string>): string[] {
  const known = new Map(Object.entries(state.files));
  const looked = new Map(found);
  for (const name of state.unknown) {
    known.delete(name);
    looked.delete(name);
  }
  return manifestDifferences(known, looked);
}
