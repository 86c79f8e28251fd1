// Runs the workloads on the targets, round by round. Within a round the targets take turns at each
// workload, so that a machine that gets slower or busier does so for all of them; each round begins
// with another target.

import { createHash } from 'node:crypto';

import { describeError } from '../lib/errors.ts';
import { measure, runUntimed, type Setting } from './measure.ts';
import type { Failure, Sample } from './samples.ts';
import { OVERWRITE_BYTES, writeSources, type SourceName } from './sources.ts';
import { targetRoundsMax, type Target } from './target.ts';
import { needsOf, type Suite, type Workload } from './workloads.ts';

export interface Plan {
  readonly rounds: number;
  readonly seed: string;
  readonly fileBytes: number;
  readonly treeBytes: number;
  readonly suites: readonly Suite[];
  readonly targets: readonly Target[];
  readonly setting: Omit<Setting, 'seed' | 'memoryBytes' | 'signal'>;
}

export interface Observer {
  /** Before and after each measurement; `done` of all counts also those that failed. */
  onStart(what: { round: number; workload: Workload; target: Target; done: number }): void;
  onSample(sample: Sample): void;
  onFailure(failure: Failure): void;
}

export interface Outcome {
  readonly samples: readonly Sample[];
  readonly failures: readonly Failure[];
}

/** @throws the signal's reason when interrupted; what fails otherwise is part of the outcome */
export async function runRounds(
  plan: Plan,
  observer: Observer,
  signal: AbortSignal,
): Promise<Outcome> {
  const run = new Run(plan, observer, signal);
  for (let round = 1; round <= plan.rounds; round += 1) await run.runRound(round);
  return run;
}

/** How many measurements the plan has. */
export function countMeasurements({ rounds, suites, targets }: Plan): number {
  const pairs = suites.flat().flatMap((workload) =>
    targetsOf([workload], targets).map(({ name }) => {
      const { roundsMax = rounds } = workload;
      return Math.min(rounds, roundsMax, targetRoundsMax[name] ?? rounds);
    }),
  );
  return pairs.reduce((sum, count) => sum + count, 0);
}

/** More than this is never touched before a measurement, since that takes time as well. */
const MEMORY_BYTES_MAX = 2 ** 30;

class Run implements Outcome {
  readonly samples: Sample[] = [];
  readonly failures: Failure[] = [];
  readonly #plan: Plan;
  readonly #observer: Observer;
  readonly #signal: AbortSignal;
  /** Of each target that runs: the workloads that it has behind it since its start. */
  readonly #finished = new Map<Target, Set<string>>();
  readonly #unavailable = new Set<Target>();
  #done = 0;

  constructor(plan: Plan, observer: Observer, signal: AbortSignal) {
    this.#plan = plan;
    this.#observer = observer;
    this.#signal = signal;
  }

  async runRound(round: number): Promise<void> {
    const { suites, setting, seed, fileBytes } = this.#plan;
    const ofRound = suites.map((suite) =>
      suite.filter(({ roundsMax = round }) => round <= roundsMax),
    );
    writeSources(setting.sources, sourcesOf(ofRound), {
      seed: roundSeed(seed, round),
      bytes: fileBytes,
    });
    for (const suite of ofRound) await this.#runSuite(round, suite);
  }

  /** Those of a suite, each round another one first. */
  #targetsOf(round: number, suite: Suite): Target[] {
    const targets = targetsOf(suite, this.#plan.targets);
    return rotate(
      targets.filter(({ name }) => round <= (targetRoundsMax[name] ?? round)),
      round - 1,
    );
  }

  async #runSuite(round: number, suite: Suite): Promise<void> {
    const targets = this.#targetsOf(round, suite);
    try {
      for (const target of targets) await this.#start(round, target);
      for (const workload of suite) {
        for (const target of targetsOf([workload], targets)) {
          await this.#run(round, workload, target);
        }
      }
    } finally {
      this.#finished.clear();
      for (const target of targets) await this.#stop(round, target);
    }
  }

  /** A target that does not start is named once and left out from then on. */
  async #start(round: number, target: Target): Promise<void> {
    if (this.#unavailable.has(target)) return;
    try {
      await target.start(this.#signal);
      this.#finished.set(target, new Set());
    } catch (error) {
      this.#unavailable.add(target);
      this.#fail({ round, workload: undefined, target: target.name }, error);
    }
  }

  /** One that cannot be taken away keeps none of the others. */
  async #stop(round: number, target: Target): Promise<void> {
    try {
      await target.stop();
    } catch (error) {
      this.#unavailable.add(target);
      const message = `cannot be taken away: ${describeError(error)}`;
      const failure = { round, workload: undefined, target: target.name, message };
      this.failures.push(failure);
      this.#observer.onFailure(failure);
    }
  }

  async #run(round: number, workload: Workload, target: Target): Promise<void> {
    this.#observer.onStart({ round, workload, target, done: this.#done });
    this.#done += 1;
    const finished = this.#finished.get(target);
    if (finished === undefined) return;
    const setting = this.#settingOf(round, workload);
    const which = { round, workload: workload.name, target: target.name };
    try {
      for (const needed of needsOf(workload)) {
        if (finished.has(needed.name)) continue;
        await runUntimed(needed, target, setting);
        finished.add(needed.name);
      }
      const measured = await measure(workload, target, setting);
      finished.add(workload.name);
      const sample = { ...which, bytes: this.#bytesOf(workload, measured.writes), ...measured };
      this.samples.push(sample);
      this.#observer.onSample(sample);
    } catch (error) {
      this.#fail(which, error);
    }
  }

  #settingOf(round: number, workload: Workload): Setting {
    // A mount has a file in the page cache twice: as its own and as the store's.
    const memoryBytes = Math.min(2 * this.#bytesOf(workload, undefined), MEMORY_BYTES_MAX);
    const seed = roundSeed(this.#plan.seed, round);
    return { ...this.#plan.setting, seed, memoryBytes, signal: this.#signal };
  }

  #bytesOf({ source }: Workload, writes: number | undefined): number {
    const { fileBytes, treeBytes } = this.#plan;
    if (writes !== undefined) return writes * OVERWRITE_BYTES;
    if (source === undefined) return treeBytes;
    return source === 'shifted' ? fileBytes + 1 : fileBytes;
  }

  #fail(which: Omit<Failure, 'message'>, error: unknown): void {
    this.#signal.throwIfAborted();
    const failure = { ...which, message: describeError(error) };
    this.failures.push(failure);
    this.#observer.onFailure(failure);
  }
}

/** Those that take part in one of the workloads. */
function targetsOf(workloads: readonly Workload[], targets: readonly Target[]): Target[] {
  return targets.filter(({ name }) => workloads.some(({ targets }) => targets.includes(name)));
}

function rotate<Item>(items: readonly Item[], by: number): Item[] {
  const at = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

/** Each round writes other data, so that no round finds what an earlier one has stored. */
function roundSeed(seed: string, round: number): string {
  return createHash('sha256').update(`${seed}\n${round}`).digest('hex');
}

/** What these workloads and those that they need read. */
export function sourcesOf(suites: readonly Suite[]): Set<SourceName> {
  const needed = suites.flat().flatMap((workload) => [...needsOf(workload), workload]);
  return new Set(needed.flatMap(({ source }) => source ?? []));
}
