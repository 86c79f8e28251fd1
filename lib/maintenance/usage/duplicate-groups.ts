// Files counted by content, in bounded memory: when there are too many contents, those with the highest
// digests are given up, and counted in the next pass, which begins where this one ended.

/** Parts of the digests that come and go together, by the first byte. */
const PARTS = 256;
/** Contents in memory, at about 200 bytes each. */
const CONTENTS_MAX = 128 * 1024;

export interface DuplicateGroup {
  readonly digest: string;
  /** Size of the file. */
  readonly bytes: number;
  /** That extents show: the rest is holes. */
  readonly mappedBytes: number;
  files: number;
}

export class DuplicateGroups {
  readonly #from: number;
  readonly #contentsMax: number;
  readonly #parts: (Map<string, DuplicateGroup> | undefined)[] = [];
  #limit = PARTS;
  #count = 0;

  /** @param from the `end` of the pass before */
  constructor(from: number, contentsMax = CONTENTS_MAX) {
    this.#from = from;
    this.#contentsMax = contentsMax;
  }

  /** Where the next pass begins; undefined: all that was added is counted. */
  get end(): number | undefined {
    return this.#limit === PARTS ? undefined : this.#limit;
  }

  add(digest: string, bytes: number, mappedBytes: number): void {
    const number = digest.charCodeAt(0);
    if (number < this.#from || number >= this.#limit) return;
    const part = (this.#parts[number] ??= new Map<string, DuplicateGroup>());
    const known = part.get(digest);
    if (known !== undefined) {
      known.files += 1;
      return;
    }
    part.set(digest, { digest, bytes, mappedBytes, files: 1 });
    this.#count += 1;
    while (this.#count > this.#contentsMax && this.#limit > this.#from + 1) this.#giveUpLast();
  }

  #giveUpLast(): void {
    this.#limit -= 1;
    this.#count -= this.#parts[this.#limit]?.size ?? 0;
    this.#parts[this.#limit] = undefined;
  }

  /** Contents of more than one file, a part at a time. */
  *duplicates(): Generator<DuplicateGroup[]> {
    for (const part of this.#parts) {
      if (part !== undefined) yield [...part.values()].filter(({ files }) => files > 1);
    }
  }
}

/** Bytes that need not be stored because their content is there already. */
export function savedBytesOf({ files, mappedBytes }: DuplicateGroup): number {
  return (files - 1) * mappedBytes;
}

/** Keeps those that save most. */
export class TopGroups {
  readonly #max: number;
  #groups: DuplicateGroup[] = [];

  constructor(max: number) {
    this.#max = max;
  }

  add(groups: readonly DuplicateGroup[]): void {
    for (const group of groups) {
      this.#groups.push(group);
      if (this.#groups.length >= 2 * this.#max + 1024) this.#groups = this.sorted;
    }
  }

  /** The best first; of equal ones in a fixed order. */
  get sorted(): DuplicateGroup[] {
    const inOrder = this.#groups.sort((left, right) => {
      const difference = savedBytesOf(right) - savedBytesOf(left);
      if (difference !== 0) return difference;
      return left.digest < right.digest ? -1 : 1;
    });
    return inOrder.slice(0, this.#max);
  }
}
