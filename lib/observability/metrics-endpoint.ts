// Where a mount's metrics are served, if anywhere: the address may change while the mount serves.

import type { Logger } from '../log.ts';
import type { ActivityObserver } from './activity.ts';
import { formatListenAddress, type ListenAddress } from './listen-address.ts';
import type { MetricsServer } from './metrics-server.ts';

export class MetricsEndpoint implements Disposable {
  readonly #log: Logger;
  #address = '';
  #server: MetricsServer | undefined;
  #observer: ActivityObserver | undefined;

  constructor(log: Logger) {
    this.#log = log;
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
    const wanted = address === undefined ? '' : formatListenAddress(address);
    if (wanted === this.#address) return;
    const server = address === undefined ? undefined : await this.#listen(address);
    this.#server?.close();
    this.#server = server;
    this.#address = wanted;
    if (this.#observer !== undefined) server?.serve(this.#observer);
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

  [Symbol.dispose](): void {
    this.#server?.close();
    this.#server = undefined;
    this.#observer = undefined;
    this.#address = '';
  }
}
