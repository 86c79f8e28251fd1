// Tells in the log which file a damaged chunk belongs to. A read knows the inode only, and finding its
// path means a walk over all names: it is done for all inodes that came together, off the read's way,
// and once for each inode.

import type { Logger } from '../log.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { findPaths } from './file-paths.ts';

const DELAY_MS = 1000;
/** Inodes told in the life of a process; `scrub --list` tells all. */
const INODES_MAX = 10_000;

export class FileDamageLog {
  readonly #metastore: Metastore;
  readonly #log: Logger;
  readonly #told = new Set<number>();
  readonly #pending = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #telling: Promise<void> | undefined;
  #isStopped = false;

  constructor(metastore: Metastore, log: Logger) {
    this.#metastore = metastore;
    this.#log = log;
  }

  /** A read of the file met damage. */
  note(ino: number): void {
    if (this.#isStopped || this.#told.has(ino) || this.#told.size >= INODES_MAX) return;
    this.#told.add(ino);
    this.#pending.add(ino);
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
