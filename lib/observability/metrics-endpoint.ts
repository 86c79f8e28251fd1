// Where a mount's metrics are served, if anywhere: the address may change while the mount serves, and may
// come later than the mount.

import { describeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { ActivityObserver } from './activity.ts';
import { formatListenAddress, type ListenAddress } from './listen-address.ts';
import type { MetricsServer } from './metrics-server.ts';

/** A program that has the port may end, an interface or a name server may come up. */
const RETRY_MS = 10_000;

export class MetricsEndpoint implements Disposable {
  readonly #log: Logger;
  readonly #retryMs: number;
  #address: ListenAddress | undefined;
  #server: MetricsServer | undefined;
  #observer: ActivityObserver | undefined;
  /** Until the next attempt at an address that could not be had. */
  #retry: NodeJS.Timeout | undefined;
  /** Settles when the last change is done: one at a time. */
  #lastTurn: Promise<unknown> = Promise.resolve();
  #isOver = false;

  constructor(log: Logger, retryMs: number = RETRY_MS) {
    this.#log = log;
    this.#retryMs = retryMs;
  }

  /** Such as http://127.0.0.1:9580; undefined: metrics are not served. */
  get url(): string | undefined {
    return this.#server?.url;
  }

  /**
   * Serves here from now on. @param address undefined: nowhere
   * @throws UserError nobody can listen there; then all stays as it was
   */
  async use(address: ListenAddress | undefined): Promise<void> {
    await this.#inTurn(async () => this.#move(address));
  }

  /** As `use`; when nobody can listen there now, that is logged, and tried again until there is another. */
  async useWhenPossible(address: ListenAddress | undefined): Promise<void> {
    await this.#inTurn(async () => this.#attempt(address));
  }

  async #attempt(address: ListenAddress | undefined, lastReason?: string): Promise<void> {
    try {
      await this.#move(address);
    } catch (error) {
      const reason = describeError(error);
      // Not again every time: that would fill the log.
      if (reason !== lastReason) {
        const next = `it is tried again every ${this.#retryMs / 1000} s`;
        this.#log.error({ reason }, `${reason}; ${next}`);
      }
      this.#attemptLater(address, reason);
    }
  }

  #attemptLater(address: ListenAddress | undefined, reason: string): void {
    clearTimeout(this.#retry);
    if (this.#isOver) return;
    const retry = setTimeout(() => {
      void this.#inTurn(async () => {
        // Else a change was quicker.
        if (this.#retry === retry) await this.#attempt(address, reason);
      });
    }, this.#retryMs).unref();
    this.#retry = retry;
  }

  async #move(address: ListenAddress | undefined): Promise<void> {
    if (textOf(address) !== textOf(this.#address)) {
      const server = address === undefined ? undefined : await this.#listenInstead(address);
      if (this.#isOver) {
        server?.close();
        return;
      }
      this.#server?.close();
      this.#server = server;
      this.#address = address;
      if (this.#observer !== undefined) server?.serve(this.#observer);
    }
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  /** Ours goes first where it would be in the way: on the same port, as all addresses have each. */
  async #listenInstead(address: ListenAddress): Promise<MetricsServer> {
    const port = this.#server?.port;
    const before = this.#address;
    if (before === undefined || port !== address.port) return this.#listen(address);
    this.#server?.close();
    this.#server = undefined;
    this.#address = undefined;
    try {
      return await this.#listen(address);
    } catch (error) {
      await this.#attempt({ ...before, port });
      throw error;
    }
  }

  async #listen(address: ListenAddress): Promise<MetricsServer> {
    // Who does not want metrics does not pay for the memory of HTTP and prom-client.
    const { MetricsServer } = await import('./metrics-server.ts');
    return MetricsServer.listen(address, this.#log);
  }

  /** The mount answers. */
  serve(observer: ActivityObserver): void {
    this.#observer = observer;
    this.#server?.serve(observer);
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#lastTurn.then(work);
    this.#lastTurn = turn.catch(() => undefined); // its caller is told
    return turn;
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#server?.close();
    this.#server = undefined;
    this.#observer = undefined;
    this.#address = undefined;
  }
}

function textOf(address: ListenAddress | undefined): string {
  return address === undefined ? '' : formatListenAddress(address);
}
