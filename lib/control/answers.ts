// What the daemon does for each method of the control socket (methods.ts).

import { ExitCode, UserError } from '../errors.ts';
import type { Activity } from '../observability/activity.ts';
import type { Store } from '../store/contract.ts';
import type { Pong } from './methods.ts';
import type { Request } from './protocol.ts';
import type { SettingsControl } from './settings.ts';

export interface AnswerParts {
  readonly store: Store;
  readonly observer: { take(): Activity };
  readonly mountpoint: string;
  readonly version: string;
  readonly settings: SettingsControl;
  /** Settles when the store is closed, as the final commit went. */
  readonly closed: Promise<void>;
}

/** Those that concern the store; the other concerns a connection. */
export type StoreRequest = Exclude<Request, { readonly method: 'cancel' }>;

const longMethods = [
  ...(['gc', 'fsck', 'scrub', 'heal', 'checkpoint'] as const),
  ...(['usage', 'duplicates'] as const),
] as const;
type LongRequest = Extract<Request, { readonly method: (typeof longMethods)[number] }>;

function isLong(request: Request): request is LongRequest {
  return (longMethods as readonly string[]).includes(request.method);
}

/** gc and fsck exclude one another; scrub and heal get along with all but their own kind. */
type Exclusion = 'checks' | 'scrub' | 'heal';

export class Answers {
  readonly #parts: AnswerParts;
  /** What runs now and goes through the whole store, by what may not run twice. */
  readonly #longRunning = new Map<Exclusion, string>();

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  /** @param signal the client is gone or has cancelled the request: nobody waits for the result */
  async run(
    request: StoreRequest,
    onProgress: (progress: unknown) => void,
    signal: AbortSignal,
  ): Promise<unknown> {
    if (isLong(request)) return this.#runLong(request, onProgress, signal);
    const { store, settings } = this.#parts;
    switch (request.method) {
      case 'ping':
        return this.#pong();
      case 'stats':
        return store.statistics();
      case 'activity':
        return this.#parts.observer.take();
      case 'gcPlan':
        return store.planGc(request.params.threshold);
      case 'damage':
        return store.listDamage(request.params);
      case 'settings':
        return { settings: settings.list() };
      case 'configure':
        return settings.change(request.params.name, request.params.value);
      case 'commit':
        await store.commit();
        return {};
      case 'awaitClose':
        await this.#parts.closed;
        return {};
    }
  }

  /** What goes through the whole store. */
  async #runLong(
    request: LongRequest,
    onProgress: (progress: unknown) => void,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { store } = this.#parts;
    switch (request.method) {
      case 'gc': {
        const options = { ...request.params, onProgress, signal };
        return this.#exclusively('checks', 'gc', () => store.gc(options));
      }
      case 'fsck': {
        const options = { ...request.params, onProgress, signal };
        return this.#exclusively('checks', 'fsck', () => store.fsck(options));
      }
      case 'scrub': {
        const options = { ...request.params, onProgress, signal };
        return this.#exclusively('scrub', 'scrub', () => store.scrub(options));
      }
      case 'heal': {
        const options = { ...request.params, onProgress, signal };
        return this.#exclusively('heal', 'heal', () => store.heal(options));
      }
      case 'checkpoint':
        return store.checkpoint({ ...request.params, onProgress, signal });
      case 'usage':
        return store.usage({ ...request.params, onProgress, signal });
      case 'duplicates':
        return store.duplicates({ ...request.params, onProgress, signal });
    }
  }

  #pong(): Pong {
    const { mountpoint, version } = this.#parts;
    return { pid: process.pid, mountpoint, version };
  }

  async #exclusively<T>(what: Exclusion, name: string, task: () => Promise<T>): Promise<T> {
    const running = this.#longRunning.get(what);
    if (running !== undefined) {
      const message = `${running} is already running on this store; try again later`;
      throw new UserError(ExitCode.BUSY, 'DEDUPFS_BUSY', message);
    }
    this.#longRunning.set(what, name);
    try {
      return await task();
    } finally {
      this.#longRunning.delete(what);
    }
  }
}
