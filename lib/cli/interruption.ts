// Ctrl-C in a command that works for long: the first SIGINT or SIGTERM asks it to stop at the next
// place where it can go on later, the second one ends the process at once.

import { ExitCode, UserError } from '../errors.ts';

const signalNames = ['SIGINT', 'SIGTERM'] as const;

export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #onSignal: () => void;

  /** @param consequence what is left behind and what to do, such as `nothing was changed` */
  constructor(consequence: string) {
    const reason = interrupted(consequence);
    this.#onSignal = () => {
      if (this.#controller.signal.aborted) endAtOnce();
      this.#controller.abort(reason);
    };
    for (const name of signalNames) process.on(name, this.#onSignal);
  }

  /** Its reason is the error to end with. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From here on a signal does what it did before. */
  [Symbol.dispose](): void {
    for (const name of signalNames) process.off(name, this.#onSignal);
  }
}

export function interrupted(consequence: string): UserError {
  return new UserError(ExitCode.INTERRUPTED, 'DEDUPFS_INTERRUPTED', `interrupted; ${consequence}`);
}

export function endAtOnce(): never {
  process.stderr.write('dedupfs: interrupted\n');
  process.exit(ExitCode.INTERRUPTED);
}
