// The host file system's room: what statfs tells, and whether a write may be accepted (G3).

import { readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';

/** How long a look at the host is believed. */
const REFRESH_MS = 100;
/** Kept free for the metastore, its WAL, LMDB's pages and the packs that gc writes. */
const MARGIN_BYTES = 24 * 1024 * 1024;
/** What gc leaves of it, for the commit that makes its work durable. */
const GC_MARGIN_BYTES = 4 * 1024 * 1024;

export class HostSpace {
  readonly #storePath: string;
  /** Bytes accepted and not on the disk yet. */
  readonly #pendingBytes: () => number;
  #readAtMs = -Infinity;
  #availableBytes = 0;
  /** Accepted since the last look. */
  #admittedBytes = 0;

  constructor(storePath: string, pendingBytes: () => number) {
    this.#storePath = storePath;
    this.#pendingBytes = pendingBytes;
  }

  /** Accepts so many more bytes. @throws ENOSPC */
  admit(bytes: number): void {
    this.#refresh();
    if (this.#availableBytes - this.#admittedBytes - bytes < MARGIN_BYTES) {
      throw posixError(Errno.ENOSPC);
    }
    this.#admittedBytes += bytes;
  }

  /** Whether more than the margin is left. */
  get isRoomy(): boolean {
    this.#refresh();
    return this.#availableBytes - this.#admittedBytes >= MARGIN_BYTES;
  }

  /** Whether so many bytes fit on the host now, whatever else is under way. */
  hasHostRoom(bytes: number): boolean {
    const host = statfsSync(this.#storePath);
    return host.bavail * host.bsize >= bytes;
  }

  /** Whether gc may write so many bytes: it gives more back, so it may use the margin. */
  hasRoomForGc(bytes: number): boolean {
    this.#read(performance.now());
    return this.#availableBytes - bytes >= GC_MARGIN_BYTES;
  }

  /** Whether so many bytes fit and writes still have as much again: for what can wait. */
  hasRoomToSpare(bytes: number): boolean {
    this.#read(performance.now());
    return this.#availableBytes - bytes >= 2 * MARGIN_BYTES;
  }

  /** What can still be written, as of now. */
  get availableBytes(): number {
    this.#read(performance.now());
    return Math.max(0, this.#availableBytes - MARGIN_BYTES);
  }

  #refresh(): void {
    const nowMs = performance.now();
    if (nowMs - this.#readAtMs >= REFRESH_MS) this.#read(nowMs);
  }

  #read(nowMs: number): void {
    const host = statfsSync(this.#storePath);
    this.#readAtMs = nowMs;
    this.#availableBytes = host.bavail * host.bsize - this.#pendingBytes();
    this.#admittedBytes = 0;
  }
}

/** Space that the store's own files occupy on the host, bytes. */
export function hostBytes(storePath: string): number {
  let bytes = 0;
  for (const folder of [storePath, join(storePath, 'arenas')]) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const stats = statSync(join(folder, entry.name), { throwIfNoEntry: false });
      bytes += (stats?.blocks ?? 0) * 512;
    }
  }
  return bytes;
}
