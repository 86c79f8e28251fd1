// The campaign of power cuts (G1). A recording (recording.ts) is cut live at its end, and at as many of
// its disk's records as pay for it; each cut leaves a disk of its own, on which the store must open
// without repair, pass a full fsck, and show the tree of one moment that is allowed. Half of the cuts
// hit records by chance, half the step of the protocols that was hit least. What a live cut left is
// mostly where the next recording begins, so that stores live through several cuts.

import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { plainly } from '../support/commands.ts';
import { Recording, type DiskRecord } from '../support/lossy-disk-record.ts';
import { Random } from '../support/random.ts';
import type { CampaignOptions, CampaignReport } from './campaign.ts';
import { LIVE, type Cut, type CutCheckOptions, type CutResult } from './cut-check.ts';
import { readWorkloadLog } from './history.ts';
import { record, STORE_NAME, type RecordingFacts } from './recording.ts';
import { STEPS, stepOf } from './steps.ts';
import type { Operation } from './workload.ts';

/** `rounds` is the number of cuts. */
export interface PowerCutOptions extends CampaignOptions {
  /** Length of a recording; default 12. */
  readonly recordSeconds?: number;
  /** Cuts of a recording; default 300. */
  readonly cutsPerRecording?: number;
}

const RECORD_SECONDS = 12;
const CUTS_PER_RECORDING = 300;
/** A process opens so many stores: what one cut breaks in it cannot hide behind the next ones. */
const CUTS_PER_PROCESS = 100;
/** One in so many cuts is looked at through a daemon and the kernel. */
const MOUNTED_EVERY = 50;
/** A store lives through so many live cuts at most. */
const LIVES_MAX = 5;
const CHECK_TIMEOUT_MS = 600_000;

interface Base {
  readonly folder: string;
  readonly operations: readonly Operation[];
  readonly lives: number;
}

export async function run(options: PowerCutOptions): Promise<CampaignReport> {
  const campaign = new PowerCuts(options);
  try {
    await campaign.run();
  } finally {
    campaign.end();
  }
  return campaign.report();
}

class PowerCuts {
  readonly #options: PowerCutOptions;
  readonly #random: Random;
  /** Memory where there is some: nothing here needs to survive. */
  readonly #work = mkdtempSync(
    join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'dedupfs-cuts-'),
  );
  readonly #steps = new Map(STEPS.map((step) => [step, 0]));
  readonly #startedMs = Date.now();
  readonly #violations: string[] = [];
  #evidence: string | undefined;
  #recordings = 0;
  #cuts = 0;
  #liveCuts = 0;
  #mountedCuts = 0;
  #oldestNs = 0;
  #syncsPromised = 0;

  readonly #onExit = (): void => rmSync(this.#work, { recursive: true, force: true });

  constructor(options: PowerCutOptions) {
    process.once('exit', this.#onExit);
    this.#options = options;
    this.#random = new Random(options.seed);
  }

  async run(): Promise<void> {
    const { rounds, minutes = Infinity } = this.#options;
    let base: Base | undefined;
    while (this.#violations.length === 0 && this.#cuts < rounds) {
      if (Date.now() - this.#startedMs > minutes * 60_000) break;
      base = await this.#round(base);
      this.#options.log(
        `${this.#cuts} cuts of ${this.#recordings} recordings, ${this.#seconds()} s`,
      );
    }
  }

  /** @returns where the next recording begins */
  async #round(base: Base | undefined): Promise<Base | undefined> {
    const folder = join(this.#work, `recording-${this.#recordings}`);
    const seed = this.#random.below(2 ** 31);
    const seconds = this.#options.recordSeconds ?? RECORD_SECONDS;
    let facts: RecordingFacts;
    try {
      facts = await record({ folder, base, seed, seconds });
    } catch (error) {
      this.#violate(folder, `while the power was on: ${String((error as Error).stack)}`);
      return undefined;
    }
    this.#recordings += 1;
    const { performed, failure } = readWorkloadLog(join(folder, 'workload.log'));
    if (failure !== undefined && failure.timeNs < facts.cutNs) {
      this.#violate(folder, `a call failed before the cut: ${failure.message}`);
      return undefined;
    }
    const live = await this.#checkAll(folder, this.#plan(folder, facts));
    if (base !== undefined) rmSync(base.folder, { recursive: true });
    if (live === undefined) return undefined;
    const operations = performed.slice(0, live.state).map(({ operation }) => operation);
    const next = join(this.#work, `left-${this.#recordings}`);
    renameSync(join(folder, 'left'), next);
    rmSync(folder, { recursive: true });
    const lives = (base?.lives ?? 0) + 1;
    if (lives < LIVES_MAX && !this.#random.oneIn(LIVES_MAX)) {
      return { folder: next, operations: [...(base?.operations ?? []), ...operations], lives };
    }
    rmSync(next, { recursive: true });
    return undefined;
  }

  /** The live cut, then others by position. */
  #plan(folder: string, facts: RecordingFacts): Cut[] {
    const recording = new Recording(join(folder, 'disk'));
    recording.close();
    const { from, to } = facts.ownRecords;
    const candidates = recording.records.filter(
      ({ number }) => number >= facts.firstRecord && (number < from || number >= to),
    );
    const byStep = new Map<string, DiskRecord[]>();
    for (const one of candidates) {
      const step = stepOf(one, STORE_NAME);
      byStep.set(step, [...(byStep.get(step) ?? []), one]);
    }
    const left = this.#options.rounds - this.#cuts - 1;
    const count = Math.min(left, this.#options.cutsPerRecording ?? CUTS_PER_RECORDING);
    const cuts: Cut[] = [];
    for (let index = 0; index < count; index += 1) {
      const rarest = [...byStep.keys()].sort((one, other) => this.#hits(one) - this.#hits(other));
      const chosen = index % 2 === 0 ? candidates : (byStep.get(rarest[0] ?? '') ?? candidates);
      const hit = this.#random.pick(chosen);
      const step = stepOf(hit, STORE_NAME);
      this.#steps.set(step, this.#hits(step) + 1);
      const openedBy = this.#random.oneIn(MOUNTED_EVERY) ? 'mount' : 'process';
      cuts.push({ position: hit.number, seed: this.#random.below(2 ** 31), openedBy });
    }
    cuts.sort((one, other) => one.position - other.position);
    return [{ position: LIVE, seed: facts.cutSeed, openedBy: 'mount' }, ...cuts];
  }

  #hits(step: string): number {
    return this.#steps.get(step) ?? 0;
  }

  /** @returns what the live cut left, when all is well */
  async #checkAll(folder: string, cuts: readonly Cut[]): Promise<CutResult | undefined> {
    let live: CutResult | undefined;
    let found: string | undefined;
    for (let first = 0; first < cuts.length; first += CUTS_PER_PROCESS) {
      const part = cuts.slice(first, first + CUTS_PER_PROCESS);
      for await (const result of this.#check(folder, part)) {
        const { cut, problem, ageNs, promised } = result;
        this.#cuts += 1;
        if (cut.position === LIVE) this.#liveCuts += 1;
        else if (cut.openedBy === 'mount') this.#mountedCuts += 1;
        if (promised > 0) this.#syncsPromised += 1;
        this.#oldestNs = Math.max(this.#oldestNs, ageNs);
        if (problem !== undefined) found = `${problem}\n  cut ${JSON.stringify(cut)}`;
        if (found !== undefined) break;
        live ??= result;
      }
      if (found !== undefined) this.#violate(folder, found);
      if (this.#violations.length > 0) return undefined;
    }
    return live;
  }

  async *#check(folder: string, cuts: readonly Cut[]): AsyncGenerator<CutResult> {
    const scratch = join(folder, 'cuts');
    const options: CutCheckOptions = { folder, cuts, scratch };
    const script = fileURLToPath(new URL('cut-check-process.js', import.meta.url));
    const command = plainly(process.execPath, [script, JSON.stringify(options)]);
    const child = spawn(...command, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise<string>((resolve) => {
      child.once('close', (code, signal) => resolve(String(signal ?? code)));
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), CHECK_TIMEOUT_MS);
    let count = 0;
    let end = '';
    try {
      for await (const line of createInterface({ input: child.stdout })) {
        count += 1;
        yield JSON.parse(line) as CutResult;
      }
    } finally {
      // Whoever has seen a violation asks for no more.
      if (count < cuts.length) child.kill('SIGTERM');
      clearTimeout(timer);
      end = await ended;
    }
    if (end === '0' && count === cuts.length) return;
    const cut = JSON.stringify(cuts[count]);
    this.#violate(folder, `the process that opened the store ended with ${end} at cut ${cut}`);
  }

  /** Keeps the recording, and the disk of the cut. */
  #violate(folder: string, message: string): void {
    this.#evidence ??= mkdtempSync(join(tmpdir(), 'dedupfs-evidence-'));
    cpSync(folder, this.#evidence, { recursive: true, filter: (path) => !isSocket(path) });
    const script = fileURLToPath(new URL('cut-check-process.js', import.meta.url));
    const again = `node ${script} '{"folder":"${this.#evidence}","cuts":[CUT],"scratch":"DIR"}'`;
    this.#violations.push(`${message}\n  the recording is in ${this.#evidence}; again: ${again}`);
  }

  #seconds(): number {
    return Math.round((Date.now() - this.#startedMs) / 1000);
  }

  end(): void {
    process.removeListener('exit', this.#onExit);
    this.#onExit();
  }

  report(): CampaignReport {
    const counts: Record<string, number> = {
      'power cuts': this.#cuts,
      'of them live': this.#liveCuts,
      'of them opened by a daemon': this.#mountedCuts,
      'after an acknowledged sync': this.#syncsPromised,
      recordings: this.#recordings,
      'oldest tree, ms before the cut': Math.round(this.#oldestNs / 1e6),
      seconds: this.#seconds(),
    };
    for (const [step, hits] of this.#steps) if (hits > 0) counts[`at ${step}`] = hits;
    return { counts, violations: this.#violations, evidence: this.#evidence };
  }
}

function isSocket(path: string): boolean {
  return path.endsWith('.sock');
}
