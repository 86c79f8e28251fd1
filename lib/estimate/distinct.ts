// How many distinct bytes all units have, told from those that were read.
//
// Each unit was read with chance p. Of a chunk that m units have, the number that shows it among those
// read is binomial, so the chunks seen in one and in two units tell how many have one owner and how many
// have two: unbiased, if none had more; with many owners a chunk is hardly missed. The range is what the
// count of those seen in two units leaves open.

import type { TableSums } from './fingerprint-table.ts';

export interface Distinct {
  readonly bytes: number;
  readonly bytesMin: number;
  readonly bytesMax: number;
}

/** Doubt about a count of so many: three times its root. */
const DEVIATIONS = 3;

export interface Sampling {
  /** p; 1: all was read. */
  readonly readShare: number;
  /** Of all units. */
  readonly referencedBytes: number;
  /** Chunks of a unit are chosen together: they count as one for the doubt. */
  readonly chunksPerUnit: number;
}

export function estimateDistinct(sums: TableSums, sampling: Sampling): Distinct {
  const { readShare, referencedBytes, chunksPerUnit } = sampling;
  const seen = sums.bytes / sums.share;
  if (readShare >= 1) return trackedRange(sums, seen);
  const one = sums.bytesInOne / sums.share;
  const two = sums.bytesInTwo / sums.share;
  const more = seen - one - two;
  const most = Math.min(referencedBytes, one / readShare + two + more);
  const clamp = (bytes: number): number => Math.max(seen, Math.min(bytes, most));
  const singleBytes = (inTwo: number): number =>
    one / readShare - (2 * (1 - readShare) * inTwo) / readShare ** 2;
  const withTwo = (inTwo: number): number => {
    const single = singleBytes(inTwo);
    if (single >= 0) return clamp(single + inTwo / readShare ** 2 + more);
    // More pairs than such as are seen once: chunks have many owners, and hardly any was not seen.
    return clamp(one / (2 * readShare * (1 - readShare)) + more);
  };
  // At least one chunk more might have been seen twice.
  const together = Math.max(1, chunksPerUnit);
  const doubtChunks = DEVIATIONS * Math.sqrt(sums.chunksInTwo * together + together ** 2);
  const doubtBytes = (doubtChunks / sums.share) * (sums.bytes / Math.max(1, sums.chunks));
  const mayHaveMany = singleBytes(two + doubtBytes) < 0;
  return {
    bytes: withTwo(two),
    bytesMin: mayHaveMany ? seen : withTwo(two + doubtBytes),
    bytesMax: withTwo(Math.max(0, two - doubtBytes)),
  };
}

/** Everything was read; fingerprints were thinned out. */
function trackedRange(sums: TableSums, seen: number): Distinct {
  const error = sums.share >= 1 ? 0 : (2 / Math.sqrt(Math.max(1, sums.chunks))) * seen;
  return { bytes: seen, bytesMin: seen - error, bytesMax: seen + error };
}
