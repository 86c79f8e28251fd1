// Runs the workloads on the targets, round by round. Within a round the targets take turns at each
// workload, so that a machine that gets slower or busier does so for all of them.

import { createHash } from 'node:crypto';

import { describeError } from '../lib/errors.ts';
import { measure, runUntimed, type Folders } from './measure.ts';
import type { Failure, Sample } from './samples.ts';
import { writeSources, type SourceName } from './sources.ts';
import type { Target } from './targets.ts';
import { workloads as allWorkloads, type Suite, type Workload } from './workloads.ts';

export interface Plan {
  readonly rounds: number;
  readonly seed: string;
  readonly fileBytes: number;
  readonly treeBytes: number;
  readonly suites: readonly Suite[];
  readonly targets: readonly Target[];
  readonly folders: Folders;
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
  const pairs = suites.flat().flatMap((workload) => targetsOf(workload, targets));
  return rounds * pairs.length;
}

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
    const { suites, folders, seed, fileBytes } = this.#plan;
    writeSources(folders.sources, sourcesOf(suites), {
      seed: roundSeed(seed, round),
      bytes: fileBytes,
    });
    for (const suite of suites) await this.#runSuite(round, suite);
  }

  async #runSuite(round: number, suite: Suite): Promise<void> {
    const { targets } = this.#plan;
    try {
      for (const target of targets) await this.#start(round, target);
      for (const workload of suite) {
        for (const target of targetsOf(workload, targets)) await this.#run(round, workload, target);
      }
    } finally {
      this.#finished.clear();
      for (const target of targets) await target.stop();
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

  async #run(round: number, workload: Workload, target: Target): Promise<void> {
    this.#observer.onStart({ round, workload, target, done: this.#done });
    this.#done += 1;
    const finished = this.#finished.get(target);
    if (finished === undefined) return;
    const { folders } = this.#plan;
    const which = { round, workload: workload.name, target: target.name };
    try {
      const needed = allWorkloads.find(({ name }) => name === workload.needs);
      if (needed !== undefined && !finished.has(needed.name)) {
        await runUntimed(needed, target, folders, this.#signal);
        finished.add(needed.name);
      }
      const measured = await measure(workload, target, folders, this.#signal);
      finished.add(workload.name);
      const sample = { ...which, bytes: this.#bytesOf(workload), ...measured };
      this.samples.push(sample);
      this.#observer.onSample(sample);
    } catch (error) {
      this.#fail(which, error);
    }
  }

  #bytesOf({ source }: Workload): number {
    const { fileBytes, treeBytes } = this.#plan;
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

function targetsOf(workload: Workload, targets: readonly Target[]): Target[] {
  return targets.filter(({ name }) => workload.targets.includes(name));
}

/** Each round writes other data, so that no round finds what an earlier one has stored. */
function roundSeed(seed: string, round: number): string {
  return createHash('sha256').update(`${seed}\n${round}`).digest('hex');
}

function sourcesOf(suites: readonly Suite[]): Set<SourceName> {
  const needed = suites.flat().flatMap((workload) => {
    const before = allWorkloads.find(({ name }) => name === workload.needs);
    return before === undefined ? [workload] : [before, workload];
  });
  return new Set(needed.flatMap(({ source }) => source ?? []));
}
