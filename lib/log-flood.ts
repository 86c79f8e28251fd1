// Keeps a flood out of the log: of one cause the first lines in each minute are written and the others counted,
// and at the end of the minute a line says how many there were. Causes do not suppress one another.

/** Lines of one cause written in each window. */
const LINES_MAX = 10;
const WINDOW_MS = 60_000;
/** Causes told apart in a window; what comes beyond them is counted as one cause more. */
const CAUSES_MAX = 256;
const OTHERS = 'other messages';

export interface Flooding {
  readonly level: number;
  /** The first line of this cause that was not written. */
  readonly message: string;
  readonly count: number;
}

interface Cause {
  seen: number;
  suppressed: number;
  readonly level: number;
  message: string;
}

export class FloodGuard implements Disposable {
  readonly #causes = new Map<string, Cause>();
  readonly #onFlood: (flooding: Flooding) => void;
  readonly #windowMs: number;
  #timer: NodeJS.Timeout | undefined;

  /** @param onFlood called at the end of a window for each cause of which lines were left out */
  constructor(onFlood: (flooding: Flooding) => void, windowMs = WINDOW_MS) {
    this.#onFlood = onFlood;
    this.#windowMs = windowMs;
  }

  /** Whether to write this line. @param code tells causes with the same words apart */
  admits(level: number, message: string, code: string): boolean {
    const cause = this.#causeOf(level, message, code);
    cause.seen += 1;
    if (cause.seen <= LINES_MAX) return true;
    if (cause.suppressed === 0 && cause.message !== OTHERS) cause.message = message;
    cause.suppressed += 1;
    return false;
  }

  #causeOf(level: number, message: string, code: string): Cause {
    const key = `${level} ${code} ${withoutNumbers(message)}`;
    const known = this.#causes.get(key);
    if (known !== undefined) return known;
    if (this.#causes.size === 0) this.#begin();
    if (this.#causes.size < CAUSES_MAX) return this.#add(key, { level, message });
    const others = `${level} ${OTHERS}`;
    return this.#causes.get(others) ?? this.#add(others, { level, message: OTHERS });
  }

  #add(key: string, { level, message }: Pick<Cause, 'level' | 'message'>): Cause {
    const cause = { seen: 0, suppressed: 0, level, message };
    this.#causes.set(key, cause);
    return cause;
  }

  #begin(): void {
    this.#timer = setTimeout(() => this.flush(), this.#windowMs);
    this.#timer.unref();
  }

  /** Ends the window: tells what was left out, and forgets. */
  flush(): void {
    clearTimeout(this.#timer);
    const causes = [...this.#causes.values()];
    this.#causes.clear();
    for (const { level, message, suppressed: count } of causes) {
      if (count > 0) this.#onFlood({ level, message, count });
    }
  }

  [Symbol.dispose](): void {
    this.flush();
  }
}

/** The same failure of another chunk, request or process has the same cause. */
function withoutNumbers(message: string): string {
  return message.replaceAll(/\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}\b|\d+/gi, '#');
}
