// Cuts a stretch of file content into spans: holes (runs of zeros) and chunks. Runs in workers.
//
// The result depends on the content only, not on how a stream was split into calls: without
// `isFinal` nothing is cut that later bytes could change, and the rest is handed back uncut.

import { native, type CutParameters } from '../native.ts';

/** Zero runs from this length on become holes. */
export const ZERO_RUN_BYTES_MIN = 4096;
/** Marks a span as a hole; the lower 31 bits are its length. */
export const HOLE_FLAG = 0x8000_0000;

export interface SegmentOptions {
  readonly cut: CutParameters;
  /** Nothing follows that belongs to the same stretch: cut everything. */
  readonly isFinal: boolean;
  /** The byte before the segment is in a hole, which then swallows leading zeros of any length. */
  readonly isAfterHole: boolean;
}

const ENDS_MAX = 4096;
const ends = new Uint32Array(ENDS_MAX);
const run = new Uint32Array(2);

/**
 * Spans of bytes[from, to) in order, each a length with HOLE_FLAG set for a hole. Their sum is less
 * than `to - from` when the rest could not be cut yet.
 */
export function cutSegment(
  bytes: Uint8Array,
  from: number,
  to: number,
  options: SegmentOptions,
): number[] {
  const spans: number[] = [];
  let position = from;
  if (options.isAfterHole) {
    const end = native.skipZeros(bytes, from, to);
    if (end > from) spans.push(asHole(end - from));
    position = end;
  }
  while (position < to) {
    const hasRun = native.findZeroRun(bytes, position, to, ZERO_RUN_BYTES_MIN, run);
    const [runStart = to, runEnd = to] = hasRun ? [run[0], run[1]] : [to, to];
    const isFinal = hasRun || options.isFinal;
    // Zeros at the very end may turn out to begin a long run: they must not decide a cut yet.
    const dataEnd = isFinal ? runStart : trailingZeros(bytes, position, to);
    position = cutData(bytes, position, dataEnd, options.cut, isFinal, spans);
    if (!hasRun) break;
    spans.push(asHole(runEnd - runStart));
    position = runEnd;
  }
  return spans;
}

function cutData(
  bytes: Uint8Array,
  from: number,
  to: number,
  cut: CutParameters,
  isFinal: boolean,
  spans: number[],
): number {
  let start = from;
  let count = ENDS_MAX;
  while (start < to && count === ENDS_MAX) {
    count = native.cutChunks(bytes, start, to, cut, isFinal, ends);
    for (let index = 0; index < count; index += 1) {
      const end = ends[index] ?? start;
      spans.push(end - start);
      start = end;
    }
  }
  return start;
}

/** Where the zeros that reach `to` begin; at most ZERO_RUN_BYTES_MIN are looked at. */
function trailingZeros(bytes: Uint8Array, from: number, to: number): number {
  let start = to;
  while (start > from && bytes[start - 1] === 0) start -= 1;
  return start;
}

function asHole(bytes: number): number {
  return (bytes | HOLE_FLAG) >>> 0;
}
