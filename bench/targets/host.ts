// A plain directory of the host.

import { mkdirSync, rmSync } from 'node:fs';

import { occupiedBytes } from '../disk-usage.ts';
import { forgetCached } from '../page-cache.ts';
import type { Target } from '../target.ts';
import { syncTree } from '../target.ts';
import type { Workload } from '../workloads.ts';

export class HostTarget implements Target {
  readonly name = 'host';
  readonly directory: string;
  readonly daemonPid = undefined;
  readonly durable = syncTree;
  readonly missing = undefined;

  constructor(directory: string) {
    this.directory = directory;
  }

  async start(): Promise<void> {
    mkdirSync(this.directory, { recursive: true });
  }

  async forget(signal: AbortSignal): Promise<void> {
    await forgetCached(this.directory, signal);
  }

  async diskBytes(): Promise<number> {
    return occupiedBytes(this.directory);
  }

  scriptOf({ script }: Workload): string {
    return script;
  }

  async stop(): Promise<void> {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
