// A mount's activity in the text format of Prometheus, which prom-client writes. Its own metric types are
// not used: they would have to be told of each request, which costs as much as a small request. Here all is
// read off one activity when somebody asks.

import { Registry, type Metric } from 'prom-client';

import type { ActivityObserver } from './activity.ts';
import type { Definition, MetricSources } from './definition.ts';
import { mountDefinitions } from './definitions-mount.ts';
import { storeDefinitions } from './definitions-store.ts';
import { LoopDelay } from './loop-delay.ts';

export const CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

export class MetricsText implements Disposable {
  readonly #registry = new Registry();
  readonly #observer: ActivityObserver;
  readonly #loopDelay = new LoopDelay();
  #sources: MetricSources | undefined;

  constructor(observer: ActivityObserver) {
    this.#observer = observer;
    for (const definition of [...mountDefinitions, ...storeDefinitions]) this.#register(definition);
  }

  #register({ name, type, help, read }: Definition): void {
    // All that a registry asks of a metric.
    const metric = {
      name,
      get: async () => {
        const values = this.#sources === undefined ? [] : read(this.#sources);
        return Promise.resolve({ name, type, help, values });
      },
    };
    this.#registry.registerMetric(metric as unknown as Metric);
  }

  /** One moment: every metric is read off the same activity. */
  async render(): Promise<string> {
    this.#sources = { activity: this.#observer.takeAnonymous(), loopDelay: this.#loopDelay };
    try {
      // Reads all of them before its first turn.
      return await this.#registry.metrics();
    } finally {
      this.#sources = undefined;
    }
  }

  [Symbol.dispose](): void {
    this.#loopDelay[Symbol.dispose]();
    this.#registry.clear();
  }
}
