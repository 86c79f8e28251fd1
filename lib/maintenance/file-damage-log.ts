// Tells in the log which file a damaged chunk belongs to. A read knows the inode only, and finding its
// path means a walk over all names: it is done for all inodes that came together, off the read's way.

import type { Logger } from '../log.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { findPaths } from './file-paths.ts';

const DELAY_MS = 1000;
/** How long nothing more is told of an inode. */
const QUIET_MS = 60_000;
/** Inodes told of in that time; `scrub --list` tells all. */
const INODES_MAX = 1000;

export class FileDamageLog {
  readonly #metastore: Metastore;
  readonly #log: Logger;
  /** When an inode was told last, the longest ago first. */
  readonly #toldMs = new Map<number, number>();
  readonly #pending = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #telling: Promise<void> | undefined;
  #isStopped = false;

  constructor(metastore: Metastore, log: Logger) {
    this.#metastore = metastore;
    this.#log = log;
  }

  /** A read of the file met damage. Returns whether that is news. */
  note(ino: number): boolean {
    const nowMs = performance.now();
    for (const [oldest, toldMs] of this.#toldMs) {
      if (nowMs - toldMs < QUIET_MS) break;
      this.#toldMs.delete(oldest);
    }
    if (this.#isStopped || this.#toldMs.has(ino) || this.#toldMs.size >= INODES_MAX) return false;
    this.#toldMs.set(ino, nowMs);
    this.#pending.add(ino);
    this.#arm();
    return true;
  }

  #arm(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#telling = this.#tell().catch((error: unknown) => {
        this.#log.error({ err: error }, 'the paths of damaged files could not be found');
      });
    }, DELAY_MS);
  }

  async #tell(): Promise<void> {
    const inos = new Set(this.#pending);
    this.#pending.clear();
    const paths = await findPaths(this.#metastore, inos);
    for (const ino of inos) {
      this.#log.error({ ino, paths: paths.get(ino)?.names ?? [] }, 'this file has damaged data');
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#telling;
  }
}
