// Child process of the kill test: performs operations in a directory until the filesystem dies under
// it, and tells a log on the host before and after each. The log survives, so it says what had been
// promised when the daemon was killed.
//
// Arguments: directory, seed, log file, seconds.

import { openSync, writeSync } from 'node:fs';
import { performOn } from './model-disk.ts';
import { chooseOperation } from './model-operations.ts';
import { ModelTree } from './model.ts';
import { Random } from './random.ts';

const [directory = '', seed = '', logFile = '', seconds = ''] = process.argv.slice(2);
const log = openSync(logFile, 'a');
const random = new Random(Number(seed));
const model = new ModelTree();
const untilMs = Date.now() + Number(seconds) * 1000;

/** One line. The clock is CLOCK_MONOTONIC: the same for all processes of the machine. */
function note(event: 'started' | 'done' | 'failed', index: number, detail = ''): void {
  writeSync(log, `${event} ${index} ${process.hrtime.bigint()} ${detail.replaceAll('\n', ' ')}\n`);
}

for (let index = 0; Date.now() < untilMs; index++) {
  const operation = chooseOperation(random, model);
  note('started', index, operation.kind);
  try {
    performOn(directory, operation);
  } catch (error) {
    note('failed', index, error instanceof Error ? error.message : String(error));
    break;
  }
  note('done', index);
  model.apply(operation);
}
