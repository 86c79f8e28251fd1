// What all campaigns share: rounds until a number or a time is reached, counts of what was really
// done, and violations. The first violation ends a campaign: what it found stays as evidence.

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustRun } from '../support/commands.ts';
import type { StoreUser } from '../support/mounted-store.ts';

export interface CampaignOptions {
  /** Every decision follows from it; moments in real time do not. */
  readonly seed: number;
  readonly rounds: number;
  /** Ends after the round in which so much time has passed; undefined: after all rounds. */
  readonly minutes?: number | undefined;
  /** What happens meanwhile, line by line. */
  log(line: string): void;
}

export interface CampaignReport {
  /** What was really done, by name, in the order in which it is told. */
  readonly counts: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
  /** Where the store of a violation was copied to. */
  readonly evidence: string | undefined;
}

const PROGRESS_INTERVAL_MS = 10_000;
const EVIDENCE_TIMEOUT_MS = 600_000;
const VIOLATION_CHARACTERS_MAX = 4000;

/** A violation, thrown to end the round that found it. */
export class Violation extends Error {}

/** One run of a campaign; takes the place of a tap test for what supports tests. */
export class CampaignRun implements StoreUser {
  readonly #options: CampaignOptions;
  readonly #counts = new Map<string, number>();
  readonly #violations: string[] = [];
  readonly #ends: (() => void)[] = [];
  #evidence: string | undefined;

  constructor(options: CampaignOptions) {
    this.#options = options;
  }

  comment(...text: string[]): void {
    this.#options.log(text.join(' '));
  }

  count(name: string, by = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + by);
  }

  /** The largest of all that were noted under this name. */
  countMost(name: string, value: number): void {
    this.#counts.set(name, Math.max(this.#counts.get(name) ?? 0, value));
  }

  /** @throws Violation */
  violate(message: string): never {
    throw new Violation(message.slice(0, VIOLATION_CHARACTERS_MAX));
  }

  /** @throws Violation when there are problems */
  noneOf(problems: readonly string[], message: string): void {
    if (problems.length > 0) this.violate(`not true: ${message}: ${problems.join('; ')}`);
  }

  ok(isTrue: boolean, message: string): void {
    if (!isTrue) this.violate(`not true: ${message}`);
  }

  equal(found: unknown, wanted: unknown, message: string): void {
    if (found !== wanted) {
      this.violate(`${message}: found ${String(found)}, expected ${String(wanted)}`);
    }
  }

  doesNotThrow(run: () => void, message: string): void {
    try {
      run();
    } catch (cause) {
      throw new Violation(message, { cause });
    }
  }

  passing(): boolean {
    return this.#violations.length === 0;
  }

  teardown(end: () => void): void {
    this.#ends.push(end);
  }

  /** Runs rounds until their number, the time or violations (the first one by default) end it. */
  async rounds(
    one: (round: number) => Promise<void>,
    limits: { readonly rounds?: number; readonly violations?: number } = {},
  ): Promise<void> {
    const { rounds = this.#options.rounds, violations = 1 } = limits;
    const { minutes = Infinity } = this.#options;
    const startedMs = Date.now();
    let toldMs = startedMs;
    for (let round = 0; round < rounds; round++) {
      const nowMs = Date.now();
      if (nowMs - startedMs > minutes * 60_000) break;
      if (nowMs - toldMs > PROGRESS_INTERVAL_MS) {
        toldMs = nowMs;
        this.comment(`round ${round} of ${rounds}, ${Math.round((nowMs - startedMs) / 1000)} s`);
      }
      await this.#attempt(`round ${round}`, async () => one(round));
      if (this.#violations.length >= violations) break;
      this.count('rounds');
    }
    this.count('seconds', Math.round((Date.now() - startedMs) / 1000));
  }

  /** Runs a part whose failure is a violation: a command that fails or hangs is one as well. */
  async guard(what: string, part: () => Promise<void>): Promise<void> {
    if (this.passing()) await this.#attempt(what, part);
  }

  async #attempt(what: string, part: () => Promise<void>): Promise<void> {
    try {
      await part();
    } catch (error) {
      const isViolation = error instanceof Violation;
      const text = isViolation ? error.message : String((error as Error).stack);
      this.#violations.push(`${what}: ${text}`.slice(0, VIOLATION_CHARACTERS_MAX));
    }
  }

  /** Copies a folder to where it stays, if there is a violation. Nothing may change it any more. */
  async keepEvidence(folder: string): Promise<void> {
    if (this.passing()) return;
    this.#evidence = mkdtempSync(join(tmpdir(), 'dedupfs-evidence-'));
    await mustRun('cp', ['-a', '-x', folder, this.#evidence], { timeoutMs: EVIDENCE_TIMEOUT_MS });
  }

  /** Takes away everything that was made, and says what was found. */
  end(): CampaignReport {
    for (const end of this.#ends.reverse()) end();
    return {
      counts: Object.fromEntries(this.#counts),
      violations: this.#violations,
      evidence: this.#evidence,
    };
  }
}
