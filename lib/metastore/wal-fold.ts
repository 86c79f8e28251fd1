// Moves the WAL into the main file: all at once, for a database that nobody waits for, or in steps that
// leave the syncs to another thread. Both run between two batches, which is why no batch may have begun
// to change: they commit it.
//
// The steps, each durable before the next:
//   1 freed pages at the end go, by way of the WAL      2 fdatasync of the WAL
//   3 its pages are copied, without a sync              4 fdatasync of the main file
//   5 the WAL is cut off, which has nothing left to copy
// Between 3 and 5 SQLite would begin the WAL anew with the next page that it writes to it, while the
// pages in the main file are not durable: so the caller lets nothing change, and no page is spilled. What else a
// read has brought waits in SQLite's cache for 5.

import { fdatasync } from 'node:fs';
import { promisify } from 'node:util';
import type Database from 'better-sqlite3';
import type { WalRoom } from './wal-room.ts';

/** Free pages are given back to the host above this share of the file; below, they are reused. */
const FREE_SHARE_MAX = 0.1;
/** Given back in one go, 32 MiB: the event loop waits for it. */
const VACUUM_PAGES_MAX = 4096;

export interface WalFoldParts {
  readonly connection: Database.Database;
  readonly walRoom: WalRoom;
  /** Whether the host has room for the pages that moving others to the front writes. */
  readonly isRoomy: () => boolean;
  readonly pageCount: () => number;
}

export class WalFold {
  readonly #parts: WalFoldParts;

  constructor(parts: WalFoldParts) {
    this.#parts = parts;
  }

  /** @throws Error from SQLite */
  atOnce(): void {
    this.#betweenBatches(() => {
      this.#vacuum();
      this.#cutOff();
    });
  }

  /** Nothing may change before it resolves; reads may go on. @throws Error from SQLite or the host */
  async inSteps(): Promise<void> {
    const { connection, walRoom } = this.#parts;
    this.#betweenBatches(() => this.#vacuum());
    connection.pragma('cache_spill = OFF');
    try {
      await this.#copyWhatIsDurable();
      await promisify(fdatasync)(walRoom.mainDescriptor);
      this.#betweenBatches(() => this.#cutOff());
    } finally {
      connection.pragma('cache_spill = ON');
    }
  }

  /** A read may have left the time of its access in the batch, which then needs a sync of its own. */
  async #copyWhatIsDurable(): Promise<void> {
    const { walRoom } = this.#parts;
    for (;;) {
      const bytes = walRoom.walBytes;
      await promisify(fdatasync)(walRoom.walDescriptor);
      if (this.#betweenBatches(() => walRoom.walBytes === bytes && this.#copy())) return;
    }
  }

  #betweenBatches<T>(step: () => T): T {
    const { connection, walRoom } = this.#parts;
    connection.exec('COMMIT');
    try {
      return step();
    } finally {
      connection.exec('BEGIN IMMEDIATE');
      walRoom.noteBatchBegun();
    }
  }

  /** First, so that the copy then cuts the main file off behind what is left. */
  #vacuum(): void {
    const { connection, isRoomy, pageCount } = this.#parts;
    const free = connection.pragma('freelist_count', { simple: true }) as number;
    if (!isRoomy() || free <= FREE_SHARE_MAX * pageCount()) return;
    connection.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES_MAX})`);
  }

  #copy(): true {
    const { connection } = this.#parts;
    connection.pragma('synchronous = OFF');
    try {
      connection.pragma('wal_checkpoint(PASSIVE)');
      return true;
    } finally {
      connection.pragma('synchronous = NORMAL');
    }
  }

  #cutOff(): void {
    const { connection, walRoom } = this.#parts;
    try {
      connection.pragma('wal_checkpoint(TRUNCATE)');
    } finally {
      walRoom.noteTruncated(); // which it may have been when it failed behind that
    }
  }
}
