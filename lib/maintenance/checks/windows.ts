// Counting by id in bounded memory: ids are taken a window at a time, each with a counter in a typed
// array, and what is counted is walked once for each window.
//
// The windows together with the gaps between them cover all numbers, so an id that nothing has
// falls into exactly one window's gap and is not missed.

import type { CheckContext } from './check.ts';

export interface IdWindow {
  /** Ids with counters: [base, end). */
  readonly base: number;
  readonly end: number;
  /** Ids of this window, the gap in front of it included: [from, to). No row has an id in a gap. */
  readonly from: number;
  readonly to: number;
}

export function* windows(
  context: CheckContext,
  table: 'inode' | 'chunk' | 'pack',
): Generator<IdWindow> {
  const id = table === 'inode' ? 'ino' : 'id';
  const { connection, idsPerPass } = context;
  const first = connection.prepare(`SELECT min(${id}) FROM ${table} WHERE ${id} >= ?`).pluck();
  const last = connection.prepare(`SELECT max(${id}) FROM ${table}`).pluck();
  const idMax = (last.get() as number | null) ?? -1;
  let from = Number.NEGATIVE_INFINITY;
  for (;;) {
    const base = first.get(Math.max(from, Number.MIN_SAFE_INTEGER)) as number | null;
    if (base === null) {
      // Only for an empty table: everything is a gap.
      yield { base: 0, end: 0, from, to: Number.POSITIVE_INFINITY };
      return;
    }
    const end = Math.min(base + idsPerPass, idMax + 1);
    const to = end > idMax ? Number.POSITIVE_INFINITY : end;
    yield { base, end, from, to };
    if (end > idMax) return;
    from = end;
  }
}

/** Counters for the ids of a window that may have rows. */
export class WindowCounters {
  readonly #window: IdWindow;
  readonly #counters: Uint32Array;

  constructor(window: IdWindow) {
    this.#window = window;
    this.#counters = new Uint32Array(window.end - window.base);
  }

  /** Whether the id belongs to this window or its gap. */
  covers(id: number): boolean {
    return id >= this.#window.from && id < this.#window.to;
  }

  /** Whether the id lies in the gap, so that nothing can have it. */
  isInGap(id: number): boolean {
    return this.covers(id) && (id < this.#window.base || id >= this.#window.end);
  }

  add(id: number, count: number): void {
    if (this.#has(id)) this.#counters[id - this.#window.base] = this.#at(id) + count;
  }

  raise(id: number, to: number): void {
    if (this.#has(id) && this.#at(id) < to) this.#counters[id - this.#window.base] = to;
  }

  /** The count, which is then zero. */
  take(id: number): number {
    if (!this.#has(id)) return 0;
    const count = this.#at(id);
    this.#counters[id - this.#window.base] = 0;
    return count;
  }

  /** Ids that still have a count. */
  *rest(): Generator<{ id: number; count: number }> {
    const { base, end } = this.#window;
    for (let id = base; id < end; id += 1) {
      const count = this.#at(id);
      if (count > 0) yield { id, count };
    }
  }

  #has(id: number): boolean {
    return id >= this.#window.base && id < this.#window.end;
  }

  #at(id: number): number {
    return this.#counters[id - this.#window.base] ?? 0;
  }
}
