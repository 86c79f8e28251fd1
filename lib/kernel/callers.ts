// Who asks: how many requests and bytes came from each of the processes that asked last. A table of fixed
// size in typed arrays; who has not asked for longest gives way.

const SETS = 64;
const WAYS = 4;
/** Processes remembered at once. */
export const CALLERS_MAX = SETS * WAYS;
/** "Lately" is between one and two of these. */
const WINDOW_MS = 10_000;

/** Sums since the process was first seen, or seen again after it had given way to others. */
export interface CallerCounts {
  /**
   * Of the thread that asked, as the daemon's pid namespace has it; 0: the kernel itself (read-ahead,
   * pages of a mapped file), or a process that the namespace does not show.
   */
  readonly pid: number;
  readonly requests: number;
  readonly bytesWritten: number;
  readonly bytesRead: number;
  /** Of these sums, what came within the last `windowSeconds`. */
  readonly lately: {
    readonly requests: number;
    readonly bytesWritten: number;
    readonly bytesRead: number;
  };
  /** Since its last request. */
  readonly idleSeconds: number;
}

/** The sums of each entry, one array for each kind. */
class Sums {
  readonly requests = new Float64Array(CALLERS_MAX);
  readonly written = new Float64Array(CALLERS_MAX);
  readonly read = new Float64Array(CALLERS_MAX);

  set(other: Sums): void {
    this.requests.set(other.requests);
    this.written.set(other.written);
    this.read.set(other.read);
  }

  clear(entry: number): void {
    this.requests[entry] = 0;
    this.written[entry] = 0;
    this.read[entry] = 0;
  }
}

export class Callers {
  readonly #pids = new Uint32Array(CALLERS_MAX);
  /** When each asked last; 0: the entry is free. */
  readonly #seenMs = new Float64Array(CALLERS_MAX);
  readonly #sums = new Sums();
  /** What the sums were when the window under way began, and the one before it. */
  readonly #atWindow = new Sums();
  readonly #beforeWindow = new Sums();
  #windowMs: number;
  #windowBeforeMs: number;
  #windowEndMs: number;
  /** The entry noted last: mostly the same asks again. */
  #last = 0;

  constructor(nowMs: number) {
    this.#windowMs = nowMs;
    this.#windowBeforeMs = nowMs;
    this.#windowEndMs = nowMs + WINDOW_MS;
  }

  note(pid: number, nowMs: number, written: number, read: number): void {
    if (nowMs >= this.#windowEndMs) this.#beginWindow(nowMs);
    const last = this.#last;
    const entry = this.#pids[last] === pid && this.#seenMs[last] !== 0 ? last : this.#entryOf(pid);
    const { requests, written: writtenSums, read: readSums } = this.#sums;
    this.#seenMs[entry] = nowMs;
    requests[entry] = (requests[entry] ?? 0) + 1;
    if (written > 0) writtenSums[entry] = (writtenSums[entry] ?? 0) + written;
    if (read > 0) readSums[entry] = (readSums[entry] ?? 0) + read;
  }

  #entryOf(pid: number): number {
    const first = (pid % SETS) * WAYS;
    let oldest = first;
    for (let entry = first; entry < first + WAYS; entry += 1) {
      if (this.#pids[entry] === pid && this.#seenMs[entry] !== 0) return (this.#last = entry);
      if ((this.#seenMs[entry] ?? 0) < (this.#seenMs[oldest] ?? 0)) oldest = entry;
    }
    this.#pids[oldest] = pid;
    for (const sums of [this.#sums, this.#atWindow, this.#beforeWindow]) sums.clear(oldest);
    return (this.#last = oldest);
  }

  #beginWindow(nowMs: number): void {
    // Nothing came for a while: what the sums are now is what they were then, too.
    const isLate = nowMs >= this.#windowEndMs + WINDOW_MS;
    this.#beforeWindow.set(isLate ? this.#sums : this.#atWindow);
    this.#windowBeforeMs = isLate ? nowMs : this.#windowMs;
    this.#atWindow.set(this.#sums);
    this.#windowMs = nowMs;
    this.#windowEndMs = nowMs + WINDOW_MS;
  }

  /** Those that asked lately first. @param nowMs of performance.now() */
  report(nowMs: number): { windowSeconds: number; callers: CallerCounts[] } {
    if (nowMs >= this.#windowEndMs) this.#beginWindow(nowMs);
    const callers: CallerCounts[] = [];
    for (const [entry, seenMs] of this.#seenMs.entries()) {
      if (seenMs !== 0) callers.push(this.#countsOf(entry, (nowMs - seenMs) / 1000));
    }
    callers.sort((left, right) => left.idleSeconds - right.idleSeconds);
    return { windowSeconds: (nowMs - this.#windowBeforeMs) / 1000, callers };
  }

  #countsOf(entry: number, idleSeconds: number): CallerCounts {
    const now = at(this.#sums, entry);
    const before = at(this.#beforeWindow, entry);
    const lately = {
      requests: now.requests - before.requests,
      bytesWritten: now.bytesWritten - before.bytesWritten,
      bytesRead: now.bytesRead - before.bytesRead,
    };
    return { pid: this.#pids[entry] ?? 0, ...now, lately, idleSeconds };
  }
}

function at(sums: Sums, entry: number): CallerCounts['lately'] {
  return {
    requests: sums.requests[entry] ?? 0,
    bytesWritten: sums.written[entry] ?? 0,
    bytesRead: sums.read[entry] ?? 0,
  };
}
