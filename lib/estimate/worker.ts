// A worker thread of an estimate: reads the files of a job through a window of some MiB and lets each
// chunk size have its way with it. See protocol.ts.

import { parentPort, workerData } from 'node:worker_threads';
import { expectDefined } from '../assert.ts';
import { JOB_BYTES_MAX } from '../dedup/worker-protocol.ts';
import type { Job, JobResult, Unit, Unreadable, WorkerSetup } from './protocol.ts';
import { Sizing } from './sizing.ts';
import { UnitReader } from './unit-reader.ts';

const setup = workerData as WorkerSetup;
const port = expectDefined(parentPort ?? undefined, 'the port of a worker');
const sizings = setup.chunkSizes.map((bytes, index) => {
  return new Sizing(bytes, expectDefined(setup.tables[index], 'table'), setup.codecs);
});
const chunkBytesMax = Math.max(...sizings.map(({ cut }) => cut.bytesMax));
/** The daemon's jobs end after so much, and so do their frames; what could not be cut yet stays. */
const window = Buffer.allocUnsafeSlow(JOB_BYTES_MAX + 2 * chunkBytesMax);
const output = Buffer.allocUnsafeSlow(Math.max(chunkBytesMax, JOB_BYTES_MAX));
let filled = 0;
const hashClock = { milliseconds: 0, bytes: 0 };
const readClock = { milliseconds: 0, bytes: 0 };

port.on('message', (job: Job) => port.postMessage(run(job)));

function run({ units }: Job): JobResult {
  Object.assign(hashClock, { milliseconds: 0, bytes: 0 });
  Object.assign(readClock, { milliseconds: 0, bytes: 0 });
  const unreadable: Unreadable[] = [];
  for (const unit of units) {
    try {
      readUnit(unit);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      unreadable.push({ path: unit.path, code, bytes: unit.bytes });
      cut(true, unit);
    }
  }
  flush(filled);
  return {
    bytesRead: readClock.bytes,
    readMs: readClock.milliseconds,
    bytesHashed: hashClock.bytes,
    hashMs: hashClock.milliseconds,
    sizes: sizings.map((sizing) => sizing.take()),
    unreadable,
  };
}

function readUnit(unit: Unit): void {
  let startMs = performance.now();
  using reader = new UnitReader(unit);
  for (const sizing of sizings) sizing.beginFile(filled);
  for (;;) {
    if (filled === window.length) {
      cut(false, unit);
      flush(Math.min(...sizings.map(({ cutEnd }) => cutEnd)));
      startMs = performance.now();
    }
    const piece = reader.next(window, filled, window.length - filled);
    readClock.milliseconds += performance.now() - startMs;
    startMs = performance.now();
    if (piece === undefined) break;
    if ('read' in piece) {
      filled += piece.read;
      readClock.bytes += piece.read;
      continue;
    }
    cut(true, unit);
    for (const sizing of sizings) sizing.skipHole();
    startMs = performance.now();
  }
  cut(true, unit);
}

function cut(isFinal: boolean, unit: Unit): void {
  for (const sizing of sizings) sizing.advance(window, filled, isFinal, unit.number, hashClock);
}

/** Ends the frames, and moves what follows `from` to the window's beginning. */
function flush(from: number): void {
  for (const sizing of sizings) sizing.flush(window, output, from);
  window.copyWithin(0, from, filled);
  filled -= from;
}
