// Says whether a tree found after a kill is one the workers' logs allow (G1): for each worker it must
// be the state after some number of its operations, not less than had been promised. A promise is an
// fsync that returned: everything that any worker had finished before it began is durable.

import { readFileSync } from 'node:fs';
import { differenceOf } from './model-disk.ts';
import { chooseOperation } from './model-operations.ts';
import { ModelTree, type ModelNode, type Operation } from './model.ts';
import { Random } from './random.ts';

export interface LoggedOperation {
  readonly kind: string;
  readonly startedNs: bigint;
  /** When it had returned; absent when the daemon died first. */
  readonly doneNs: bigint | undefined;
}

export interface WorkerLog {
  readonly operations: readonly LoggedOperation[];
  /** Message of the call that failed, which ended the worker. */
  readonly failure: string | undefined;
  readonly failedNs: bigint | undefined;
}

export type FoundTree = ReadonlyMap<string, ModelNode>;

const DIFFERENCES_MAX = 5;

/** Reads what a worker noted. */
export function readWorkerLog(path: string): WorkerLog {
  const operations: { kind: string; startedNs: bigint; doneNs: bigint | undefined }[] = [];
  let failure: string | undefined;
  let failedNs: bigint | undefined;
  for (const line of readFileSync(path, 'utf8').trimEnd().split('\n')) {
    const [event, index, timeNs = '0', ...detail] = line.split(' ');
    const time = BigInt(timeNs);
    const operation = operations[Number(index)];
    if (event === 'started') {
      operations.push({ kind: detail.join(' '), startedNs: time, doneNs: undefined });
    }
    if (event === 'done' && operation !== undefined) operation.doneNs = time;
    if (event === 'failed') [failure, failedNs] = [detail.join(' '), time];
  }
  return { operations, failure, failedNs };
}

/** When the last fsync began that returned to any worker; what was finished then is promised. */
export function promisedUntilNs(logs: readonly WorkerLog[]): bigint {
  return logs
    .flatMap((log) => log.operations)
    .filter((operation) => operation.kind === 'fsync' && operation.doneNs !== undefined)
    .reduce((latest, { startedNs }) => (startedNs > latest ? startedNs : latest), 0n);
}

/** The number of a worker's operations that must have survived. */
export function promisedCount(log: WorkerLog, untilNs: bigint): number {
  return log.operations.filter(({ doneNs }) => doneNs !== undefined && doneNs < untilNs).length;
}

export interface Recovery {
  /** How many operations the tree shows, when it is a state that is allowed. */
  readonly count: number | undefined;
  /** What differs from the last promised state, when it is not. */
  readonly problems: readonly string[];
}

/** Finds the number of operations after which the model is the tree, in [promised, started]. */
export function recoveredCount(
  found: FoundTree,
  options: { readonly seed: number; readonly promised: number; readonly started: number },
): Recovery {
  const random = new Random(options.seed);
  const model = new ModelTree();
  let problems: readonly string[] = [];
  for (let count = 0; ; count++) {
    const isAllowed = count >= options.promised;
    if (isAllowed) {
      const differences = differencesOfTrees(model.nodes, found, () => false);
      if (differences.length === 0) return { count, problems: [] };
      if (count === options.promised) problems = differences;
    }
    if (count === options.started) return { count: undefined, problems };
    const before = model.clone();
    const operation = chooseOperation(random, model);
    model.apply(operation);
    if (isAllowed && isHalfDone(operation, before, model, found)) return { count, problems: [] };
  }
}

/** Whether the tree is between two states: an operation of several requests was cut short. */
function isHalfDone(
  operation: Operation,
  before: ModelTree,
  after: ModelTree,
  found: FoundTree,
): boolean {
  const path = touchedPathOf(operation);
  if (path === undefined) return false;
  const touched = new Set([path, ...linksOf(before, path)]);
  if (differencesOfTrees(before.nodes, found, (name) => touched.has(name)).length > 0) return false;
  return [...touched].every((name) =>
    isMixture(before.nodes.get(name), after.nodes.get(name), found.get(name)),
  );
}

/** The file that an operation changes step by step; all others are one request. */
function touchedPathOf(operation: Operation): string | undefined {
  const { kind, path } = operation;
  if (kind === 'create' || kind === 'write' || kind === 'append') return path;
  return kind === 'copy' ? operation.to : undefined;
}

function linksOf(model: ModelTree, path: string): string[] {
  const node = model.nodes.get(path);
  return [...model.nodes].filter(([, other]) => other === node).map(([name]) => name);
}

/** Whether each byte of a file is the old or the new one. */
function isMixture(
  before: ModelNode | undefined,
  after: ModelNode | undefined,
  found: ModelNode | undefined,
): boolean {
  if (found === undefined) return before === undefined;
  if (found.kind !== 'file' || after?.kind !== 'file') return false;
  const old = before?.kind === 'file' ? before.content : Buffer.alloc(0);
  return found.content.every((byte, index) => byte === old[index] || byte === after.content[index]);
}

function differencesOfTrees(
  want: ReadonlyMap<string, ModelNode>,
  found: FoundTree,
  isIgnored: (path: string) => boolean,
): string[] {
  const differences: string[] = [];
  for (const path of new Set([...want.keys(), ...found.keys()])) {
    if (isIgnored(path)) continue;
    const difference = differenceOf(want.get(path), found.get(path));
    if (difference !== undefined) differences.push(`${path} ${difference}`);
    if (differences.length === DIFFERENCES_MAX) break;
  }
  return differences;
}
