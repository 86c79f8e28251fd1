// Chunking parameters of algorithm 1 (minimum-based), one set for each preset.

import type { CutParameters } from '../native.ts';

/** Mean chunk sizes on offer, bytes. */
export const CHUNK_BYTES_PRESETS = [16, 32, 64, 256].map((kibibytes) => kibibytes * 1024);
export const CHUNK_BYTES_DEFAULT = 32 * 1024;

/**
 * The cut lies at the minimum of a hash over [min, 3 x min], so anywhere in it with equal chance:
 * the mean is 2 x min and the maximum 1.5 x the mean.
 */
export function cutParameters(bytesMean: number): CutParameters {
  return {
    bytesMin: bytesMean / 2,
    bytesMax: (bytesMean / 2) * 3,
    // Knuth's odd multiplier (2^32 / golden ratio) spreads neighbouring words; the addend keeps a
    // word of zeros from being the minimum everywhere.
    multiplier: 0x9e3779b1,
    addend: 0x7f4a7c15,
  };
}
