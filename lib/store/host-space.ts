// The host file system's room: whether a write may be accepted (G3), what statfs tells, and the
// reserve.
//
// One rule: new data and new names are accepted only while the reserve is whole. What was accepted
// before (its packs, the commit that names them), deletes and gc may use the reserve up; then
// nothing new is accepted until it is whole again. Where the host cannot hold space for a file, as
// much of it is left free instead.
//
//   whole    max(64 MiB, 1 % of the host's file system), at most an eighth of it and 1 GiB (so that
//            gc can empty any arena). Held while the host has less than 4 GiB or 10 % free: another
//            program may take that between two looks.
//   loaded   64 MiB, while more than a little is accepted and not stored. That is more than can be
//            under way (32 MiB of slabs, 12 MiB of packs), so it can all be stored even when the
//            host is full earlier than statfs said: quotas, other programs.
//   resting  1 MiB: enough to delete file by file.

import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { Errno, errnoName } from '../errno.ts';
import { NoSpaceError, noRoomYet } from '../errors.ts';
import { isFull, type HostRoom } from '../host-room.ts';
import { Reserve } from './reserve.ts';
import { StoreFiles } from './store-files.ts';

const MIB = 1024 * 1024;
/** How long a look at the host is believed. */
const REFRESH_MS = 100;
/** How often the reserve is looked after when nothing else asks: others fill the disk, too. */
const TEND_MS = 1000;

const RESTING_BYTES = MIB;
/** Accepted bytes that the resting reserve is enough for. */
const RESTING_PENDING_BYTES = RESTING_BYTES / 4;
/** An idle store keeps a WAL of up to 1 MiB, which is no reason to hold more. */
const RESTING_GROWTH_BYTES = 4 * MIB;
const LOADED_BYTES = 64 * MIB;
const WHOLE_BYTES_MAX = 1024 * MIB;
const WHOLE_HOST_SHARE = 0.01;
const WHOLE_HOST_SHARE_MAX = 1 / 8;
/** With less free than this, and than this share, the whole reserve is held. */
const LOW_FREE_BYTES = 4096 * MIB;
const LOW_FREE_SHARE = 0.1;
/** Given up beyond what is asked for: the host rounds, and needs blocks for its own trees. */
const GIVE_UP_EXTRA_BYTES = 64 * 1024;
/** Of the time, what looks at the store's files may take. */
const LOOK_SHARE_MAX = 0.01;
/** But who deletes something and looks at df shall see it. */
const LOOK_MS_MAX = 1000;
/** What gc leaves, for the commits that make its work durable. */
const GC_MARGIN_BYTES = 4 * MIB;

/** Size of the reserve when it is whole, on a host of so many bytes. */
export function wholeReserveBytes(hostBytes: number): number {
  const wanted = Math.max(LOADED_BYTES, hostBytes * WHOLE_HOST_SHARE);
  return Math.floor(Math.min(wanted, hostBytes * WHOLE_HOST_SHARE_MAX, WHOLE_BYTES_MAX));
}

export interface PendingBytes {
  /** Written by users and not in a durable pack. */
  readonly accepted: number;
  /** By which the next WAL checkpoint makes the metastore's main file longer. */
  readonly growth: number;
}

export const NOTHING_PENDING: PendingBytes = { accepted: 0, growth: 0 };

export class HostSpace implements HostRoom {
  readonly #storePath: string;
  readonly #files: StoreFiles;
  readonly #reserve: Reserve;
  readonly #readPending: () => PendingBytes;
  #timer: NodeJS.Timeout | undefined;
  #readAtMs = -Infinity;
  #hostBytes = 0;
  #freeBytes = 0;
  #pending = NOTHING_PENDING;
  /** Accepted since the last look. */
  #admittedBytes = 0;
  #used = { bytes: 0, untilMs: -Infinity };

  constructor(storePath: string, readPending: () => PendingBytes) {
    this.#storePath = storePath;
    this.#readPending = readPending;
    this.#files = new StoreFiles(storePath);
    this.#reserve = new Reserve(join(storePath, 'reserve'));
  }

  /** Looks after the reserve from time to time. */
  start(): void {
    this.#timer = setInterval(() => this.tend(), TEND_MS);
    this.#timer.unref();
  }

  /** Spares the first `usedBytes` most of its work. Lets the event loop go on. @throws Error  of the host */
  async lookAhead(): Promise<void> {
    await this.#files.lookAhead();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#reserve.close();
  }

  /** Accepts so many more bytes. @throws NoRoomYetError */
  admit(bytes: number): void {
    this.#refresh();
    if (!this.#holds(bytes)) {
      // What was read a moment ago may be too little by now, or too much.
      this.tend();
      if (!this.#holds(bytes)) throw noRoomYet;
    }
    this.#admittedBytes += bytes;
  }

  /** Whether so many more bytes fit beside the reserve that they need. */
  #holds(bytes: number): boolean {
    const wanted = this.#wantedBytes(bytes);
    if (this.#reserve.bytes < wanted) this.#resize(wanted);
    return !this.#isShortOf(wanted) && this.#roomBytes >= bytes;
  }

  /** Whether writes are accepted. */
  get isRoomy(): boolean {
    this.#refresh();
    return this.#roomBytes >= 0 && !this.isDrawnOn;
  }

  /** The reserve has been drawn on: commit and checkpoint soon, they give back what they can. */
  get isDrawnOn(): boolean {
    return this.#isShortOf(this.#wantedBytes(0));
  }

  /** Whether gc may write so many bytes: it gives more back, so it may use the reserve. */
  hasRoomForGc(bytes: number): boolean {
    this.#read();
    const usable = this.#freeBytes + this.#reserve.bytes - this.#pendingBytes;
    return usable - bytes >= Math.min(GC_MARGIN_BYTES, this.#wholeBytes / 4);
  }

  hasRoomToSpare(bytes: number): boolean {
    this.#read();
    return this.#roomBytes - bytes >= this.#wholeBytes;
  }

  /** What can still be written, as of now. */
  get availableBytes(): number {
    this.#read();
    return Math.max(0, this.#roomBytes);
  }

  /** Size of the host's file system, as of the last look. */
  get hostBytes(): number {
    return this.#hostBytes;
  }

  /** What the store's own files occupy; of many files as of a moment ago. */
  get usedBytes(): number {
    const startMs = performance.now();
    if (startMs < this.#used.untilMs) return this.#used.bytes;
    const { bytes } = this.#files;
    const endMs = performance.now();
    const believedMs = Math.min(LOOK_MS_MAX, (endMs - startMs) / LOOK_SHARE_MAX);
    this.#used = { bytes, untilMs: endMs + believedMs };
    return bytes;
  }

  /** The same as of now; sealed arenas are not looked at again. */
  get usedBytesNow(): number {
    return this.#files.bytes;
  }

  secure(bytes: number, allocate: () => number): void {
    let result = allocate();
    if (isFull(result) && this.#reserve.bytes > 0) {
      this.#resize(Math.max(0, this.#reserve.bytes - bytes - GIVE_UP_EXTRA_BYTES));
      result = allocate();
    }
    if (result === -Errno.EOPNOTSUPP) result = this.#hasFree(bytes) ? 0 : -Errno.ENOSPC;
    if (isFull(result)) throw new NoSpaceError(`the host has no room for ${bytes} more bytes`);
    if (result < 0) throw new Error(`allocating ${bytes} bytes failed: ${errnoName(-result)}`);
  }

  #hasFree(bytes: number): boolean {
    const host = statfsSync(this.#storePath);
    return host.bavail * host.bsize >= bytes;
  }

  /** Takes what the reserve lacks, gives back what it has too much. */
  tend(): void {
    this.#read();
    this.#resize(this.#wantedBytes(0));
  }

  #resize(bytes: number): void {
    const before = this.#reserve.bytes;
    this.#reserve.resize(bytes);
    this.#freeBytes += before - this.#reserve.bytes;
  }

  get #pendingBytes(): number {
    return this.#pending.accepted + this.#pending.growth;
  }

  get #wholeBytes(): number {
    return wholeReserveBytes(this.#hostBytes);
  }

  /** What the reserve should hold when so many more bytes are accepted. */
  #wantedBytes(more: number): number {
    const free = this.#freeBytes + this.#reserve.bytes;
    const whole = this.#wholeBytes;
    if (free < Math.max(LOW_FREE_BYTES, this.#hostBytes * LOW_FREE_SHARE)) return whole;
    const { accepted, growth } = this.#pending;
    const isLoaded =
      accepted + this.#admittedBytes + more > RESTING_PENDING_BYTES ||
      growth > RESTING_GROWTH_BYTES;
    return Math.min(whole, isLoaded ? LOADED_BYTES : RESTING_BYTES);
  }

  /** The host did not give what the reserve should hold, though statfs may say that it could. */
  #isShortOf(wanted: number): boolean {
    return this.#reserve.canAllocate && this.#reserve.bytes < wanted;
  }

  /** What may be accepted: free, less what the whole reserve lacks and what is under way. */
  get #roomBytes(): number {
    const lacking = this.#wholeBytes - this.#reserve.bytes;
    return this.#freeBytes - lacking - this.#pendingBytes - this.#admittedBytes;
  }

  #refresh(): void {
    if (performance.now() - this.#readAtMs >= REFRESH_MS) this.tend();
  }

  #read(): void {
    const host = statfsSync(this.#storePath);
    this.#readAtMs = performance.now();
    this.#hostBytes = host.blocks * host.bsize;
    this.#freeBytes = host.bavail * host.bsize;
    this.#pending = this.#readPending();
    this.#admittedBytes = 0;
  }
}
