// Fills packs with stored chunks and puts them into the block store. The only writer of packs:
// pack ids rise with the order of puts, and a chunk can be read from here until its pack is durable.
//
// Lifecycle of a pack: filling -> sealed (put, in flight) -> durable (its memory is reused);
// a put that fails for lack of space stays sealed and is put again by the next flush.

import type { Frame, FrameContent } from '../blockstore/frame.ts';
import { PackBuilder } from '../blockstore/pack.ts';
import type { BlockStore } from '../blockstore/block-store.ts';
import { NoSpaceError } from '../errors.ts';
import { isFullError } from '../host-room.ts';

/** Bound on sealed packs that are not durable yet; beyond it, ingest waits. */
export const IN_FLIGHT_BYTES_MAX = 12 * 1024 * 1024;

export interface SealedPack {
  readonly packId: number;
  readonly arena: number;
  /** Stored bytes of its chunks. */
  readonly recordBytes: number;
}

export interface PackWriterOptions {
  readonly blockStore: BlockStore;
  /** Largest frame, stored bytes. */
  readonly frameBytesMax: number;
  nextPackId(): number;
  /** Number of the commit that will name the packs put now. */
  batch(): number;
  /** Called when a pack has its arena, before it is durable. */
  onSealed(pack: SealedPack): void;
}

interface Pending {
  readonly builder: PackBuilder;
  readonly packId: number;
  /** Set when sealed. */
  arena: number | undefined;
  bytes: Buffer | undefined;
  durable: Promise<void> | undefined;
}

export class PackWriter {
  readonly #options: PackWriterOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #spare: PackBuilder[] = [];
  #filling: Pending | undefined;
  #inFlightBytes = 0;
  #failure: unknown;
  #waiters: (() => void)[] = [];
  /** Bytes of packs sealed since `takeSealedBytes`. */
  #sealedBytes = 0;

  constructor(options: PackWriterOptions) {
    this.#options = options;
  }

  /** Copies a frame into the current pack. @returns where its first chunk is; the others follow */
  append(frame: FrameContent): { packId: number; index: number } {
    const filling = (this.#filling ??= this.#begin());
    const index = filling.builder.append(frame);
    if (filling.builder.isFull) this.#seal();
    return { packId: filling.packId, index };
  }

  #begin(): Pending {
    const builder = this.#spare.pop() ?? new PackBuilder(this.#options.frameBytesMax);
    builder.reset();
    const packId = this.#options.nextPackId();
    const pending: Pending = {
      builder,
      packId,
      arena: undefined,
      bytes: undefined,
      durable: undefined,
    };
    this.#pending.set(packId, pending);
    return pending;
  }

  #seal(): void {
    const filling = this.#filling;
    if (filling === undefined) return;
    this.#filling = undefined;
    const batch = this.#options.batch();
    const header = { packId: filling.packId, batch, createdMs: Date.now() };
    filling.bytes = filling.builder.seal(header);
    this.#inFlightBytes += filling.bytes.length;
    this.#sealedBytes += filling.bytes.length;
    this.#put(filling, filling.bytes);
  }

  /** A failure is kept for the next flush, which puts the pack again. */
  #put(pending: Pending, bytes: Buffer): void {
    const { blockStore } = this.#options;
    const { builder, packId } = pending;
    try {
      if (pending.arena === undefined) {
        pending.arena = blockStore.arenaFor(bytes.length);
        this.#options.onSealed({ packId, arena: pending.arena, recordBytes: builder.recordBytes });
      }
      pending.durable = blockStore.put(pending.arena, packId, bytes).then(
        () => this.#finish(pending, bytes),
        (error: unknown) => this.#noteFailure(pending, error),
      );
    } catch (error) {
      this.#noteFailure(pending, error);
    }
  }

  #noteFailure(pending: Pending, error: unknown): void {
    pending.durable = undefined;
    this.#failure ??= error;
    this.#wake();
  }

  #finish(pending: Pending, bytes: Buffer): void {
    this.#pending.delete(pending.packId);
    this.#inFlightBytes -= bytes.length;
    this.#spare.push(pending.builder);
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }

  /** The frame of a chunk whose pack is not durable yet; views of memory that is reused later. */
  find(packId: number, index: number): Frame | undefined {
    return this.#pending.get(packId)?.builder.frameOf(index);
  }

  /** Whether the pack is not durable yet: only `find` has its frames. */
  has(packId: number): boolean {
    return this.#pending.has(packId);
  }

  /** Bytes of packs sealed since the last call. */
  takeSealedBytes(): number {
    const bytes = this.#sealedBytes;
    this.#sealedBytes = 0;
    return bytes;
  }

  /** Bytes appended that are not durable yet. */
  get pendingBytes(): number {
    return this.#inFlightBytes + (this.#filling?.builder.bytes ?? 0);
  }

  get sealedBytes(): number {
    return this.#sealedBytes;
  }

  /** Resolves when there is room for more packs, or a put failed (the next flush reports it). */
  async room(): Promise<void> {
    while (this.#inFlightBytes > IN_FLIGHT_BYTES_MAX && this.#failure === undefined) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /**
   * Seals the current pack and resolves when every pack is durable; puts again what failed before.
   * Blocks that were held for more packs are given back then.
   * @throws NoSpaceError  the host is full; everything is kept for the next call
   * @throws Error  any other failure of the block store
   */
  async flush(): Promise<void> {
    this.#seal();
    // Only what had no room is put again: of a disk that failed, a second success proves nothing.
    if (this.#failure !== undefined && isNoSpace(this.#failure)) this.#failure = undefined;
    this.assertPutting();
    for (const pending of this.#pending.values()) {
      const { bytes, durable } = pending;
      if (bytes !== undefined && durable === undefined) this.#put(pending, bytes);
    }
    await Promise.all([...this.#pending.values()].map(async (pending) => pending.durable));
    this.assertPutting();
    this.#options.blockStore.rest();
  }

  /** Packs cannot be put, and as many wait as may: nothing more should be accepted. */
  get isStuck(): boolean {
    return this.#failure !== undefined && this.#inFlightBytes > IN_FLIGHT_BYTES_MAX;
  }

  /**
   * Fails while packs cannot be put.
   * @throws NoSpaceError  the host is full
   * @throws Error  any other failure of the block store
   */
  assertPutting(): void {
    const failure = this.#failure;
    if (failure === undefined) return;
    if (isNoSpace(failure)) {
      throw new NoSpaceError('the host has no room for new packs', { cause: failure });
    }
    throw new Error('putting packs failed', { cause: failure });
  }
}

/** Arenas report what LMDB and the host say, as NoSpaceError or with the host's code. */
function isNoSpace(error: unknown): boolean {
  return error instanceof NoSpaceError || isFullError(error);
}
