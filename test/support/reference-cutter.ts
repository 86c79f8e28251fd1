// The slow, obviously right twin of the native cutter and zero scanner: the oracle of their tests.
// It follows the words of native/src/cutter.h and zero_scan.h, one byte at a time.

import type { CutParameters } from '../../lib/native.ts';

export interface CutOptions {
  readonly from: number;
  readonly to: number;
  readonly isFinal: boolean;
}

/** End offset of each chunk of bytes[from, to). */
export function referenceCut(
  bytes: Uint8Array,
  parameters: CutParameters,
  { from, to, isFinal }: CutOptions,
): number[] {
  const ends: number[] = [];
  let start = from;
  while (to - start > parameters.bytesMax) {
    start = earliestMinimum(bytes, parameters, start);
    ends.push(start);
  }
  if (isFinal && start < to) ends.push(to);
  return ends;
}

function earliestMinimum(bytes: Uint8Array, parameters: CutParameters, start: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let least = Infinity;
  let leastAt = -1;
  for (let at = start + parameters.bytesMin; at <= start + parameters.bytesMax; at++) {
    const product = Math.imul(view.getUint32(at - 4, true), parameters.multiplier);
    const value = (product + parameters.addend) >>> 0;
    if (value < least) {
      least = value;
      leastAt = at;
    }
  }
  return leastAt;
}

/** First maximal run of at least `bytesMin` zeros in bytes[from, to), as [start, end). */
export function referenceZeroRun(
  bytes: Uint8Array,
  from: number,
  to: number,
  bytesMin: number,
): [start: number, end: number] | undefined {
  let start = from;
  while (start < to) {
    const end = referenceSkipZeros(bytes, start, to);
    if (end - start >= bytesMin) return [start, end];
    start = end + 1;
  }
  return undefined;
}

/** First offset in [from, to) that is not zero, or `to`. */
export function referenceSkipZeros(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && bytes[at] === 0) at++;
  return at;
}
