// What is fuzzed: a piece of code that reads bytes it cannot trust, and what it may answer.

export interface Target {
  readonly name: string;
  /** Valid inputs to begin with. @param folder an empty one of its own */
  seeds(folder: string): Promise<readonly Buffer[]>;
  /**
   * Gives it one input.
   * @returns what it made of it, in a few words: inputs with a new answer are kept
   * @throws whatever it must not throw
   */
  run(input: Buffer): Promise<string> | string;
}

/** What `work` answers, or the error that it is allowed to throw, without its numbers. */
export function answerOf<T>(
  work: () => T,
  isAllowed: (error: unknown) => boolean,
): { value: T } | { refusal: string } {
  try {
    return { value: work() };
  } catch (error) {
    if (!isAllowed(error)) throw error;
    return { refusal: refusalOf(error) };
  }
}

export function refusalOf(error: unknown): string {
  return String(error instanceof Error ? error.message : error)
    .replaceAll(/'[^']*'|"[^"]*"|\/\S+/g, '')
    .replaceAll(/[0-9a-f]*\d[0-9a-f]*/g, '#')
    .slice(0, 120);
}

export function must(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(what);
}
