// References to chunks, counted by chunk in bounded memory: pages of counters for stretches of ids that
// are met. When there are too many, those with the highest ids are given up, and counted in the next
// pass over the extents, which begins where this one ended.

/** Ids of one page: 16 KiB. */
const PAGE_IDS = 4096;
/** 32 MiB: 8 million chunks that lie close to one another. */
const PAGES_MAX = 2048;
const MET = 0x80000000;
const COUNT_MASK = 0x7fffffff;

export interface CountedPage {
  /** Id of the first counter. */
  readonly base: number;
  /** Ids with a counter that is not 0. */
  readonly met: number;
  /** See `leavingOf`; 0: not met. */
  readonly counters: Uint32Array;
}

interface Page {
  met: number;
  readonly counters: Uint32Array;
}

export class ChunkCounts {
  readonly #pagesMax: number;
  readonly #from: number;
  #limit = Infinity;
  readonly #pages = new Map<number, Page>();

  /** @param from chunks with smaller ids were counted in an earlier pass */
  constructor(from: number, pagesMax = PAGES_MAX) {
    this.#from = Math.floor(from / PAGE_IDS);
    this.#pagesMax = pagesMax;
  }

  /** Where the next pass begins; undefined: all that was added is counted. */
  get end(): number | undefined {
    return this.#limit === Infinity ? undefined : this.#limit * PAGE_IDS;
  }

  /** @param isLeaving the file that refers to it goes with the set */
  add(chunk: number, isLeaving: boolean): void {
    const number = Math.floor(chunk / PAGE_IDS);
    if (number < this.#from || number >= this.#limit) return;
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = { met: 0, counters: new Uint32Array(PAGE_IDS) };
      this.#pages.set(number, page);
      if (this.#pages.size > this.#pagesMax) this.#giveUpLast();
    }
    const at = chunk % PAGE_IDS;
    const counter = page.counters[at] ?? 0;
    if (counter === 0) page.met += 1;
    page.counters[at] = (counter | MET) + (isLeaving ? 1 : 0);
  }

  #giveUpLast(): void {
    let last = -1;
    for (const number of this.#pages.keys()) last = Math.max(last, number);
    this.#pages.delete(last);
    this.#limit = last;
  }

  /** What was counted, in the order of the ids. */
  *counted(): Generator<CountedPage> {
    for (const number of [...this.#pages.keys()].sort((left, right) => left - right)) {
      const page = this.#pages.get(number);
      if (page !== undefined) yield { base: number * PAGE_IDS, ...page };
    }
  }
}

/** References from files that leave, from a counter. */
export function leavingOf(counter: number): number {
  return counter & COUNT_MASK;
}
