// Everything that a mounted store tells of itself at one moment: what `dedupfs top`, the metrics and whoever
// asks the control socket are made from. Sums rise from the mount on; rates come from two of these.

import type { EventLoopUtilization } from 'node:perf_hooks';

import type { RequestActivity } from '../kernel/activity.ts';
import type { LogLines } from '../log.ts';
import type { StoreActivity } from '../store/contract.ts';
import { healthOf, type Health } from './health.ts';
import { CallerNames, type NamedCaller } from './process-name.ts';

/** The process that serves the mount. */
export interface ProcessActivity {
  readonly pid: number;
  readonly version: string;
  /** When the mount began, ms since 1970. */
  readonly startedMs: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  /** Of all its threads. */
  readonly cpuSeconds: number;
  /** For so long its event loop, which answers all requests, was not waiting. */
  readonly busySeconds: number;
  /** What the log was told of. */
  readonly logLines: LogLines;
}

export interface Activity {
  /** When this was taken: ms since 1970, and on a clock that is never set. */
  readonly takenMs: number;
  readonly monotonicMs: number;
  readonly mountpoint: string;
  readonly storePath: string;
  readonly process: ProcessActivity;
  readonly requests: Omit<RequestActivity, 'callers'>;
  /** Threads of one process are added up. */
  readonly callers: readonly NamedCaller[];
  readonly store: StoreActivity;
  readonly health: Health;
}

export interface ActivitySources {
  readonly mountpoint: string;
  readonly version: string;
  readonly store: { readonly path: string; activity(): StoreActivity };
  /** The mount's requests. */
  requests(): RequestActivity;
  logLines(): LogLines;
}

/** Takes the activity of a mount whenever somebody asks. */
export class ActivityObserver {
  readonly #sources: ActivitySources;
  readonly #names = new CallerNames();
  readonly #startedMs = Date.now();
  readonly #loopAtStart: EventLoopUtilization = performance.eventLoopUtilization();

  constructor(sources: ActivitySources) {
    this.#sources = sources;
  }

  /** With the names of those who ask, for which /proc is read. */
  take(): Activity {
    return this.#take((callers) => this.#names.name(callers));
  }

  /** Without who asks: cheaper. */
  takeAnonymous(): Activity {
    return this.#take(() => []);
  }

  #take(name: (callers: RequestActivity['callers']) => readonly NamedCaller[]): Activity {
    const { mountpoint, store } = this.#sources;
    const { callers, ...requests } = this.#sources.requests();
    const storeActivity = store.activity();
    return {
      takenMs: Date.now(),
      monotonicMs: performance.now(),
      mountpoint,
      storePath: store.path,
      process: this.#process(),
      requests,
      callers: name(callers),
      store: storeActivity,
      health: healthOf(storeActivity),
    };
  }

  #process(): ProcessActivity {
    const { rss, heapUsed } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const loop = performance.eventLoopUtilization(this.#loopAtStart);
    return {
      pid: process.pid,
      version: this.#sources.version,
      startedMs: this.#startedMs,
      residentBytes: rss,
      heapBytes: heapUsed,
      cpuSeconds: (user + system) / 1e6,
      busySeconds: loop.active / 1000,
      logLines: { ...this.#sources.logLines() },
    };
  }
}
