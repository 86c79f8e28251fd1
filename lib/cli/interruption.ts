// Ctrl-C. A short command just ends: it holds nothing that a crash could harm. One that works for long
// makes an Interruption: the first SIGINT or SIGTERM then asks it to stop where it can go on later, and
// the second one ends the process at once. What SQLite does in one statement delays both.

import { ExitCode, UserError } from '../errors.ts';

const signalNames = ['SIGINT', 'SIGTERM'] as const;

export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #onSignal: () => void;

  /** @param consequence what is left behind and what to do, such as `nothing was changed` */
  constructor(consequence: string) {
    const reason = new UserError(
      ExitCode.INTERRUPTED,
      'DEDUPFS_INTERRUPTED',
      `interrupted; ${consequence}`,
    );
    this.#onSignal = () => {
      if (this.#controller.signal.aborted) endAtOnce();
      this.#controller.abort(reason);
    };
    for (const name of signalNames) {
      process.off(name, endAtOnce);
      process.on(name, this.#onSignal);
    }
  }

  /** Its reason is the error to end with, one line. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From here on a signal ends the process. */
  [Symbol.dispose](): void {
    for (const name of signalNames) process.off(name, this.#onSignal);
    endOnInterrupt();
  }
}

/** Rejects with the signal's reason; for work that cannot be asked to stop. */
export async function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = (): void => reject(signal.reason as Error);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

/** A signal ends the process, with the exit code for that. */
export function endOnInterrupt(): void {
  for (const name of signalNames) process.on(name, endAtOnce);
}

export function endAtOnce(): never {
  process.stderr.write('dedupfs: interrupted\n');
  process.exit(ExitCode.INTERRUPTED);
}
