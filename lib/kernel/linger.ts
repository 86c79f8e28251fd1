// When it pays to look for the next request for a moment before going to sleep. Who waits for each answer
// (`cp`, `rsync`, `find`, `rm`) sends the next within microseconds, sooner than a processor that has gone
// idle wakes up. Who writes large blocks takes longer each time, and is soon not waited for any more.

/** How long. */
export const LINGER_MS = 0.08;
/** So many chances at most are let go after vain waits. */
const SKIPS_MAX = 16;

export class Linger {
  #skips = 0;
  #skipsLeft = 0;

  /** Whether to wait this time. To be asked once each time there is nothing to do. */
  isDue(): boolean {
    if (this.#skipsLeft === 0) return true;
    this.#skipsLeft -= 1;
    return false;
  }

  /** How a wait ended. */
  note(isFound: boolean): void {
    this.#skips = isFound ? 0 : Math.min(SKIPS_MAX, this.#skips * 2 + 1);
    this.#skipsLeft = this.#skips;
  }
}
