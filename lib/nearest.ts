// What somebody who wrote an unknown word probably meant.

import { closest, distance } from 'fastest-levenshtein';

/** Letters that may differ, as a share of the word's. */
const DIFFERENCE_MAX = 0.4;

/** `did you mean 'scrub-days'?`, or, when none is near, all that there are. */
export function suggest(word: string, known: readonly string[]): string {
  const plain = word.toLowerCase().replaceAll('_', '-');
  const found = closest(plain, known);
  const isNear = distance(plain, found) <= Math.max(1, Math.floor(plain.length * DIFFERENCE_MAX));
  return isNear ? `did you mean '${found}'?` : `known: ${known.join(', ')}`;
}
