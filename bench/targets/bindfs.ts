// libfuse in C that passes everything on to a directory of the host: what a careful FUSE file system
// that does nothing of its own costs.

import { mkdirSync, rmSync } from 'node:fs';

import { occupiedBytes } from '../disk-usage.ts';
import { forgetCached } from '../page-cache.ts';
import { missingOf } from '../requirements.ts';
import { ServedTarget } from './served.ts';

export class BindfsTarget extends ServedTarget {
  readonly name = 'bindfs';
  readonly #behind: string;
  /** It passes on fsync(2) of a file but no syncfs(2), which the host's directory is asked for. */
  override readonly durable = 'sync -f "$T"; sync -f "$T.behind"';

  constructor(directory: string) {
    super(directory);
    this.#behind = `${directory}.behind`;
  }

  get missing(): string | undefined {
    return missingOf({ programs: { bindfs: 'bindfs' } });
  }

  protected get command(): [string, ...string[]] {
    return ['bindfs', '-f', this.#behind, this.directory];
  }

  override async start(signal: AbortSignal): Promise<void> {
    mkdirSync(this.#behind, { recursive: true });
    await super.start(signal);
  }

  override async forget(signal: AbortSignal): Promise<void> {
    await this.unmount();
    await forgetCached(this.#behind, signal);
    await super.start(signal);
  }

  override async diskBytes(): Promise<number> {
    return occupiedBytes(this.#behind);
  }

  override async stop(): Promise<void> {
    await super.stop();
    rmSync(this.#behind, { recursive: true, force: true });
  }
}
