// What a recording's workload did, and which states of the tree a cut may show: G1 as numbers.

import { readFileSync } from 'node:fs';
import { describeFacts, factsOfModel, type TreeFacts } from './tree-facts.ts';
import { isPromise, ModelTree, type Operation } from './workload.ts';
import type { WorkloadEvent } from './workload-worker.ts';

/** G1: a cut loses at most so much time. */
const AGE_MAX_NS = 5e9;

export interface Performed {
  readonly operation: Operation;
  readonly startedNs: number;
  /** When it had returned; Infinity when it has not. */
  doneNs: number;
}

export interface Failure {
  readonly message: string;
  readonly timeNs: number;
}

export interface Verdict {
  readonly problem: string | undefined;
  /** Number of the workload's operations that the tree shows. */
  readonly state: number;
  /** How much older than the cut the tree is: since when an operation was finished that it lacks. */
  readonly ageNs: number;
  /** Operations that had been promised. */
  readonly promised: number;
}

export class History {
  /** Operations that led to what was there at first. */
  readonly before: readonly Operation[];
  readonly performed: readonly Performed[];
  /** The call that ended the worker. */
  readonly failure: Failure | undefined;
  /** After so many operations. */
  readonly #states: readonly TreeFacts[];
  readonly #statesByText = new Map<string, number[]>();

  constructor(beforePath: string, logPath: string) {
    this.before = JSON.parse(readFileSync(beforePath, 'utf8')) as Operation[];
    const { performed, failure } = readWorkloadLog(logPath);
    this.failure = failure;
    this.performed = performed;
    this.#states = this.#describeStates();
    for (const [state, { text }] of this.#states.entries()) {
      const same = this.#statesByText.get(text);
      if (same === undefined) this.#statesByText.set(text, [state]);
      else same.push(state);
    }
  }

  #describeStates(): TreeFacts[] {
    const model = new ModelTree();
    for (const operation of this.before) model.apply(operation);
    const states = [describeFacts(factsOfModel(model))];
    for (const { operation } of this.performed) {
      model.apply(operation);
      states.push(describeFacts(factsOfModel(model)));
    }
    return states;
  }

  /**
   * Whether a tree is what a cut at a moment may leave.
   * @param slackNs for how long the machine did not run anybody
   */
  judge(found: TreeFacts, cutNs: number, slackNs: number): Verdict {
    const promised = this.#promisedAt(cutNs);
    const young = this.performed.filter(({ doneNs }) => doneNs < cutNs - AGE_MAX_NS - slackNs);
    const started = this.performed.filter(({ startedNs }) => startedNs < cutNs).length;
    const allowed = { from: Math.max(promised, young.length), to: started };
    const matching = (this.#statesByText.get(found.text) ?? []).filter((state) =>
      this.#agreesOnTimes(found, state),
    );
    // The last one that fits: the others are no younger.
    const state = matching.findLast((number) => number <= allowed.to) ?? -1;
    const lacking = this.performed[state]?.doneNs ?? Infinity;
    const ageNs = state === -1 ? 0 : Math.max(0, cutNs - lacking);
    if (state >= allowed.from) return { problem: undefined, state, ageNs, promised };
    const problem = this.#explain(found, state, { ...allowed, promised });
    return { problem, state, ageNs, promised };
  }

  /** Everything up to the last sync that had returned. */
  #promisedAt(timeNs: number): number {
    return (
      this.performed.findLastIndex(
        ({ operation, doneNs }) => isPromise(operation) && doneNs < timeNs,
      ) + 1
    );
  }

  #agreesOnTimes({ mtimes }: TreeFacts, state: number): boolean {
    const wanted = this.#states[state]?.mtimes ?? new Map<string, number>();
    return [...wanted].every(([path, seconds]) => mtimes.get(path) === seconds);
  }

  #explain(
    found: TreeFacts,
    state: number,
    allowed: { readonly from: number; readonly to: number; readonly promised: number },
  ): string {
    const range = `states ${allowed.from} to ${allowed.to} (promised ${allowed.promised})`;
    if (state !== -1) return `the tree is state ${state}, allowed are ${range}`;
    // The state with the fewest differences says best what went wrong.
    const differences = this.#states
      .slice(allowed.from, allowed.to + 1)
      .map(({ lines }, index) => ({ index, lines: differencesOf(lines, found.lines) }))
      .sort((left, right) => left.lines.length - right.lines.length);
    const [best] = differences;
    const shown = best === undefined ? [] : best.lines.slice(0, 8);
    const nearest = allowed.from + (best?.index ?? 0);
    return `the tree is none of ${range}; against state ${nearest}: ${shown.join(' ;; ')}`;
  }
}

function differencesOf(wanted: readonly string[], found: readonly string[]): string[] {
  const [want, have] = [new Set(wanted), new Set(found)];
  return [
    ...wanted.filter((line) => !have.has(line)).map((line) => `- ${line}`),
    ...found.filter((line) => !want.has(line)).map((line) => `+ ${line}`),
  ];
}

/** What a worker did, and what ended it, if a call failed. */
export function readWorkloadLog(path: string): {
  readonly performed: Performed[];
  readonly failure: Failure | undefined;
} {
  const performed: Performed[] = [];
  let failure: Failure | undefined;
  for (const line of readFileSync(path, 'utf8').split('\n').filter(Boolean)) {
    const event = JSON.parse(line) as WorkloadEvent;
    if (event.event === 'started') {
      const { operation, timeNs: startedNs } = event;
      performed.push({ operation, startedNs, doneNs: Infinity });
    }
    const last = performed.at(-1);
    if (event.event === 'done' && last !== undefined) last.doneNs = event.timeNs;
    if (event.event === 'failed') failure = event;
  }
  return { performed, failure };
}
