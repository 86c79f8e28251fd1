// The device's end of a mount: reads requests from /dev/fuse into slabs, hands each on, and writes
// replies. A WRITE's payload lands at PAYLOAD_OFFSET of its slab and is never copied again.
//
// Lifecycle: start -> (polling <-> paused while no slab is free) -> ended (unmounted or aborted).

import { Errno, errnoName } from '../errno.ts';
import type { Logger } from '../log.ts';
import type { Native, Poller } from '../native.ts';
import { inHeader, writeIn } from '../protocol/request-structs.ts';
import { messageBytes, type MessageBytes } from '../protocol/request.ts';
import { PAYLOAD_OFFSET, SLAB_BYTES, type Slab, type SlabPool } from '../slab-pool.ts';
import type { ReplySink } from './exchange.ts';
import { Linger, LINGER_MS } from './linger.ts';

/** The part of the addon that a channel uses; tests bring their own. */
export type Device = Pick<Native, 'read' | 'writev' | 'createPoller' | 'close'>;

export type EndReason = 'unmounted' | 'aborted';

/** Takes a message; the slab is the channel's unless the handler retains it. */
export type MessageHandler = (
  message: MessageBytes,
  start: number,
  length: number,
  slab: Slab,
) => void;

/** Where messages go. */
export interface MessageSink {
  readonly handle: MessageHandler;
  /** Whether it has messages that wait for the event loop: a worker, a commit. */
  readonly isWaiting: () => boolean;
}

export interface ChannelOptions {
  readonly device: Device;
  /** Owned by the channel from now on: it closes it when the connection ends. */
  readonly fd: number;
  readonly pool: SlabPool;
  readonly log: Logger;
  /** A clock in milliseconds that is never set back; performance.now() unless tests bring their own. */
  readonly nowMs?: () => number;
}

/** So far in front of the payload that header and fuse_write_in end where the payload starts. */
const RECEIVE_OFFSET = PAYLOAD_OFFSET - inHeader.bytes - writeIn.bytes;
/** 80 + max_write and a page: fs/fuse/dev.c (fuse_dev_do_read) refuses a smaller buffer. */
const RECEIVE_BYTES = SLAB_BYTES - RECEIVE_OFFSET;
/** Then timers, workers and the control socket get their turn; polling is level-triggered. */
const REQUESTS_PER_POLL_MAX = 64;
const MS_PER_POLL_MAX = 2;

export class Channel implements ReplySink {
  /** The connection is over, and the descriptor closed. Never rejects. */
  readonly ended: Promise<EndReason>;
  readonly #device: Device;
  readonly #fd: number;
  readonly #pool: SlabPool;
  readonly #log: Logger;
  readonly #nowMs: () => number;
  /** By slab index: views are made once. */
  readonly #messages: MessageBytes[] = [];
  readonly #resolveEnded: (reason: EndReason) => void;
  readonly #linger = new Linger();
  #poller: Poller | undefined;
  /** Where the next request is received; ours while it has one reference. */
  #slab: Slab | undefined;
  #isEnded = false;

  constructor({ device, fd, pool, log, nowMs }: ChannelOptions) {
    this.#device = device;
    this.#fd = fd;
    this.#pool = pool;
    this.#log = log;
    this.#nowMs = nowMs ?? (() => performance.now());
    let resolveEnded!: (reason: EndReason) => void;
    this.ended = new Promise((resolve) => (resolveEnded = resolve));
    this.#resolveEnded = resolveEnded;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Begins to deliver messages. Only after the mount: before, the device polls as in error. */
  start(sink: MessageSink): void {
    this.#poller = this.#device.createPoller(this.#fd, () => this.#receive(sink));
    this.#poller.start();
  }

  send(
    header: Uint8Array,
    headerBytes: number,
    body?: Uint8Array,
    bodyOffset?: number,
    bodyBytes?: number,
  ): number {
    // The descriptor's number may be somebody else's by now.
    if (this.#isEnded) return -Errno.ENODEV;
    if (body === undefined) return this.#device.writev(this.#fd, header, headerBytes);
    return this.#device.writev(this.#fd, header, headerBytes, body, bodyOffset, bodyBytes);
  }

  /** Closes the device, which aborts the connection: callers get ENOTCONN until it is unmounted. */
  abort(): void {
    this.#end('aborted');
  }

  /** A failed poll needs no look at its status: read(2) then tells why. */
  #receive(sink: MessageSink): void {
    const deadlineMs = this.#nowMs() + MS_PER_POLL_MAX;
    for (let count = 0; count < REQUESTS_PER_POLL_MAX; count += 1) {
      const slab = this.#takeSlab();
      if (slab === undefined) return;
      const bytes = this.#read(slab, sink);
      if (bytes > 0) sink.handle(this.#messageOf(slab), RECEIVE_OFFSET, bytes, slab);
      else if (!this.#goesOn(-bytes)) return;
      if (this.#isEnded || this.#nowMs() > deadlineMs) return;
    }
  }

  #read(slab: Slab, sink: MessageSink): number {
    let bytes = this.#readOnce(slab);
    if (bytes !== -Errno.EAGAIN || sink.isWaiting() || !this.#linger.isDue()) return bytes;
    const endMs = this.#nowMs() + LINGER_MS;
    do bytes = this.#readOnce(slab);
    while (bytes === -Errno.EAGAIN && this.#nowMs() < endMs);
    this.#linger.note(bytes !== -Errno.EAGAIN);
    return bytes;
  }

  #readOnce(slab: Slab): number {
    return this.#device.read(this.#fd, slab.bytes, RECEIVE_OFFSET, RECEIVE_BYTES);
  }

  /** The slab to receive into; without one, polling stops until the pool has it. */
  #takeSlab(): Slab | undefined {
    if (this.#isEnded) return undefined;
    if (this.#slab !== undefined) {
      if (this.#slab.references === 1) return this.#slab;
      this.#slab.release();
    }
    this.#slab = this.#pool.acquire();
    if (this.#slab === undefined) {
      this.#poller?.stop();
      this.#pool.whenFree(() => this.#resume());
    }
    return this.#slab;
  }

  #resume(): void {
    if (this.#takeSlab() !== undefined) this.#poller?.start();
  }

  #messageOf(slab: Slab): MessageBytes {
    return (this.#messages[slab.index] ??= messageBytes(slab.bytes));
  }

  /** Whether to read again, after an errno that is everyday life of a FUSE device. */
  #goesOn(errno: number): boolean {
    switch (errno) {
      case Errno.EAGAIN:
        return false;
      case Errno.EINTR:
      // The request was aborted while it was copied.
      case Errno.ENOENT:
        return true;
      case Errno.ENODEV:
        this.#end('unmounted');
        return false;
      case Errno.ECONNABORTED:
        this.#end('aborted');
        return false;
      default:
        this.#log.error({ errno: errnoName(errno) }, 'reading /dev/fuse failed; giving up');
        this.#end('aborted');
        return false;
    }
  }

  #end(reason: EndReason): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#poller?.close();
    this.#slab?.release();
    this.#slab = undefined;
    this.#device.close(this.#fd);
    this.#resolveEnded(reason);
  }
}
