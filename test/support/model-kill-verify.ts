// Child process of the kill test: compares what is in the mount after a kill with the workers' logs.
//
// Arguments: directory with the workers' trees, directory with their logs, one seed per worker.
// Prints a KillReport.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readFromDisk } from './model-disk.ts';
import { promisedCount, promisedUntilNs, readWorkerLog, recoveredCount } from './model-recovery.ts';

export interface KillReport {
  readonly problems: readonly string[];
  /** Operations of all workers: finished under a promise, started, and found. */
  readonly promised: number;
  readonly started: number;
  readonly found: number;
  /** The call that ended each worker. */
  readonly failures: readonly { readonly message: string; readonly timeNs: string }[];
}

function verify(root: string, logDirectory: string, seeds: readonly number[]): KillReport {
  const logs = seeds.map((_, index) => readWorkerLog(join(logDirectory, String(index))));
  const untilNs = promisedUntilNs(logs);
  const problems: string[] = [];
  let [promisedTotal, startedTotal, foundTotal] = [0, 0, 0];
  for (const [index, log] of logs.entries()) {
    const tree = join(root, String(index));
    const promised = promisedCount(log, untilNs);
    const started = log.operations.length;
    const found = existsSync(tree) ? readFromDisk(tree) : new Map();
    const recovery = recoveredCount(found, { seed: seeds[index] ?? 0, promised, started });
    promisedTotal += promised;
    startedTotal += started;
    foundTotal += recovery.count ?? 0;
    if (recovery.count !== undefined) continue;
    const range = `after ${promised} to ${started} operations`;
    problems.push(`worker ${index} has no state ${range}: ${recovery.problems.join('; ')}`);
  }
  const failures = logs.flatMap(({ failure: message, failedNs }) =>
    message === undefined ? [] : [{ message, timeNs: String(failedNs) }],
  );
  return { problems, promised: promisedTotal, started: startedTotal, found: foundTotal, failures };
}

const [root = '', logDirectory = '', ...seeds] = process.argv.slice(2);
process.stdout.write(JSON.stringify(verify(root, logDirectory, seeds.map(Number))));
