// Sums of reference counts as runs of neighbouring chunks: what a stream refers to was mostly stored
// in one go, so that one statement counts hundreds of rows.

import type { ChunkId } from '../dedup/chunk-index.ts';

/** Chunks first..last, whose counts all change by the same number. */
export interface ReferenceRun {
  readonly first: ChunkId;
  last: ChunkId;
  readonly references: number;
}

/** @param changes chunks that exist, each once, with a number other than 0 */
export function referenceRuns(changes: [chunk: ChunkId, references: number][]): ReferenceRun[] {
  const runs: ReferenceRun[] = [];
  changes.sort(([left], [right]) => left - right);
  for (const [chunk, references] of changes) {
    const run = runs.at(-1);
    if (run?.references === references && run.last === chunk - 1) run.last = chunk;
    else runs.push({ first: chunk, last: chunk, references });
  }
  return runs;
}
