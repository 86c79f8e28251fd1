// How well frames compress, told from some of them. All of the first few MiB are compressed, later ones
// ever more rarely; each counts for as many as it stands for, so the ratio is that of all.

/** Sums over the sampled frames, from which a ratio and its error are told; they add up. */
export interface FrameSums {
  frames: number;
  /** Plain and stored bytes, weighted. */
  plain: number;
  stored: number;
  /** w (w - 1) times plain^2, plain x stored, stored^2: what the frames left out can differ by. */
  plainPlain: number;
  plainStored: number;
  storedStored: number;
  /** Not weighted: what was really compressed, and for how long. */
  plainBytesDone: number;
  milliseconds: number;
}

export function emptySums(): FrameSums {
  return {
    frames: 0,
    plain: 0,
    stored: 0,
    plainPlain: 0,
    plainStored: 0,
    storedStored: 0,
    plainBytesDone: 0,
    milliseconds: 0,
  };
}

export function addSums(to: FrameSums, from: FrameSums): void {
  for (const key of Object.keys(to) as (keyof FrameSums)[]) to[key] += from[key];
}

export function noteFrame(
  sums: FrameSums,
  frame: { readonly plain: number; readonly stored: number; readonly milliseconds: number },
  weight: number,
): void {
  const { plain, stored, milliseconds } = frame;
  const spread = weight * (weight - 1);
  sums.frames += 1;
  sums.plain += weight * plain;
  sums.stored += weight * stored;
  sums.plainPlain += spread * plain * plain;
  sums.plainStored += spread * plain * stored;
  sums.storedStored += spread * stored * stored;
  sums.plainBytesDone += plain;
  sums.milliseconds += milliseconds;
}

/** Stored / plain, and the standard error of that; 1 when nothing was sampled. */
export function ratioOf(sums: FrameSums): { readonly ratio: number; readonly error: number } {
  if (sums.plain === 0) return { ratio: 1, error: 0 };
  const ratio = sums.stored / sums.plain;
  const spread = sums.storedStored - 2 * ratio * sums.plainStored + ratio * ratio * sums.plainPlain;
  return { ratio, error: Math.sqrt(Math.max(0, spread)) / sums.plain };
}

/**
 * The chance of a frame to be compressed when `bytesBefore` of new data were met before: of each
 * doubling of the data equally many bytes.
 * @param bytesFully of which all are compressed
 */
export function chanceAt(bytesBefore: number, bytesFully: number): number {
  return Math.min(1, bytesFully / Math.max(1, bytesBefore));
}
