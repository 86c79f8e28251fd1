// Chunks decoded before somebody reads them. Workers read, decode and verify them into slabs of shared
// memory; the main thread finds them here by their id, whose content never changes: writes, gc and
// removals need not know of this. What is missing here is read the usual way, and so is whatever the
// workers could not read: damage is noticed, and condemned, by ChunkReader alone.
//
// Lifecycle of a slab: free -> pending (its job is with a worker) -> ready (its chunks can be found)
// -> taken again for another job, the used up and the abandoned first.

import type { MessagePort } from 'node:worker_threads';
import { CorruptionError } from '../errors.ts';
import type { ChunkId, ChunkIndex, ChunkLocation } from './chunk-index.ts';
import {
  DECODE_BYTES_MAX,
  INDEXED_FINGERPRINT_BYTES,
  JobState,
  type FromDecoder,
  type ToDecoder,
  type WirePack,
} from './decode-protocol.ts';
import type { PackWriter } from './pack-writer.ts';

/** Bound on slabs: two streams at full speed, or more with less ahead of each. */
export const AHEAD_SLABS_MAX = 24;
/** What nobody has read after so long is not waited for any more. */
const ABANDONED_AFTER_MS = 2000;
/** Without requests for so long, all memory is given back. */
const IDLE_MS = 10_000;

export interface ReadAheadParts {
  readonly index: ChunkIndex;
  readonly writer: PackWriter;
  /** One for each worker. */
  readonly ports: readonly MessagePort[];
  /** Of an arena's file. */
  pathOf(arena: number): string;
}

interface Slab {
  readonly number: number;
  readonly memory: SharedArrayBuffer;
  readonly bytes: Buffer;
  state: 'free' | 'pending' | 'ready';
  chunks: readonly PlannedChunk[];
  /** Bytes that nobody has read yet. */
  unreadBytes: number;
  usedAtMs: number;
  port: Decoder | undefined;
  done: Promise<void>;
  finish(): void;
}

interface Decoder {
  readonly port: MessagePort;
  pendingCount: number;
  isClosed: boolean;
}

interface PlannedChunk {
  readonly chunk: ChunkId;
  readonly location: ChunkLocation;
  readonly arena: number;
}

interface KnownChunk {
  readonly slab: Slab;
  readonly offset: number;
  readonly bytes: number;
}

/** The slabs that chunks asked for go to. */
export class Ticket {
  readonly #slabs: readonly Slab[];
  readonly #states: Int32Array;

  constructor(slabs: readonly Slab[], states: Int32Array) {
    this.#slabs = slabs;
    this.#states = states;
  }

  /**
   * When a worker is at it, resolves when it is done. What no worker has begun with is called off: the
   * caller has the time to read it by itself.
   */
  wait(): Promise<unknown> | undefined {
    const waits: Promise<void>[] = [];
    for (const { number, state, done } of this.#slabs) {
      if (state !== 'pending') continue;
      const { QUEUED, CANCELLED } = JobState;
      const found = Atomics.compareExchange(this.#states, number, QUEUED, CANCELLED);
      if (found === JobState.STARTED) waits.push(done);
    }
    return waits.length === 0 ? undefined : Promise.all(waits);
  }

  /** Nobody will read it: its memory may be taken at once. */
  abandon(): void {
    for (const slab of this.#slabs) slab.unreadBytes = 0;
  }
}

export class ReadAhead {
  readonly #parts: ReadAheadParts;
  readonly #decoders: readonly Decoder[];
  readonly #slabs: Slab[] = [];
  readonly #states = new Int32Array(new SharedArrayBuffer(4 * AHEAD_SLABS_MAX));
  readonly #chunks = new Map<ChunkId, KnownChunk>();
  #damageCount = 0;
  #idleTimer: NodeJS.Timeout | undefined;
  #requestedAtMs = 0;

  constructor(parts: ReadAheadParts) {
    this.#parts = parts;
    this.#decoders = parts.ports.map((port) => {
      const decoder = { port, pendingCount: 0, isClosed: false };
      port.on('message', (reply: FromDecoder) => this.#finish(reply));
      port.on('close', () => this.#lose(decoder));
      // An answer nobody waits for does not keep the process alive.
      port.unref();
      return decoder;
    });
  }

  /** The chunk's plain bytes, verified, valid until the next `request`; undefined: not here. */
  find(chunk: ChunkId): Buffer | undefined {
    const known = this.#chunks.get(chunk);
    if (known?.slab.state !== 'ready') return undefined;
    if (this.#damageCount !== this.#parts.index.damageCount) {
      this.#dropAll();
      return undefined;
    }
    const { slab, offset, bytes } = known;
    slab.unreadBytes -= bytes;
    slab.usedAtMs = performance.now();
    return slab.bytes.subarray(offset, offset + bytes);
  }

  /**
   * Has the first of these chunks decoded, as many as fit into one slab. `count`: how many of them need
   * not be asked for again. undefined: there is no memory for it now.
   */
  request(wanted: readonly ChunkId[]): { count: number; ticket: Ticket } | undefined {
    const decoder = this.#leastBusy();
    const slab = decoder === undefined ? undefined : this.#takeSlab();
    if (decoder === undefined || slab === undefined) return undefined;
    const { count, planned, slabs } = this.#plan(wanted);
    if (planned.length > 0) {
      slabs.add(slab);
      this.#post(slab, decoder, planned);
    }
    return { count, ticket: new Ticket([...slabs], this.#states) };
  }

  #leastBusy(): Decoder | undefined {
    let found: Decoder | undefined;
    for (const decoder of this.#decoders) {
      if (decoder.isClosed) continue;
      if (found === undefined || decoder.pendingCount < found.pendingCount) found = decoder;
    }
    return found;
  }

  #plan(wanted: readonly ChunkId[]): {
    count: number;
    planned: PlannedChunk[];
    slabs: Set<Slab>;
  } {
    const plan = new Map<ChunkId, PlannedChunk>();
    const slabs = new Set<Slab>();
    let bytes = 0;
    let count = 0;
    for (const chunk of wanted) {
      const known = this.#chunks.get(chunk);
      if (known !== undefined) slabs.add(known.slab);
      const found = known === undefined && !plan.has(chunk) ? this.#locate(chunk) : undefined;
      if (found !== undefined && found.location.plainBytes <= DECODE_BYTES_MAX) {
        bytes += found.location.plainBytes;
        if (bytes > DECODE_BYTES_MAX) break;
        plan.set(chunk, found);
      }
      count += 1;
    }
    return { count, planned: [...plan.values()].sort(byPlace), slabs };
  }

  /** undefined: it is in memory anyway, or cannot be read. */
  #locate(chunk: ChunkId): PlannedChunk | undefined {
    const { index, writer } = this.#parts;
    try {
      const location = index.locate(chunk);
      if (writer.has(location.packId)) return undefined;
      return { chunk, location, arena: index.arenaOf(location.packId) };
    } catch (error) {
      if (error instanceof CorruptionError) return undefined;
      throw error;
    }
  }

  #post(slab: Slab, decoder: Decoder, planned: readonly PlannedChunk[]): void {
    const plainBytes = Uint32Array.from(planned, ({ location }) => location.plainBytes);
    const fingerprints = new Uint8Array(planned.length * INDEXED_FINGERPRINT_BYTES);
    let offset = 0;
    planned.forEach(({ chunk, location }, position) => {
      fingerprints.set(location.fingerprint, position * INDEXED_FINGERPRINT_BYTES);
      this.#chunks.set(chunk, { slab, offset, bytes: location.plainBytes });
      offset += location.plainBytes;
    });
    slab.state = 'pending';
    slab.chunks = planned;
    slab.unreadBytes = offset;
    slab.port = decoder;
    slab.done = new Promise((resolve) => (slab.finish = resolve));
    decoder.pendingCount += 1;
    Atomics.store(this.#states, slab.number, JobState.QUEUED);
    const packs = wirePacks(planned, (arena) => this.#parts.pathOf(arena));
    const job = { slab: slab.number, packs, plainBytes, fingerprints };
    decoder.port.postMessage({ kind: 'decode', ...job } satisfies ToDecoder);
    this.#noteRequest();
  }

  #finish({ slab: number, isGood }: FromDecoder): void {
    const slab = this.#slabs[number];
    // Its worker died, and the slab has a new life.
    if (slab?.state !== 'pending') return;
    slab.chunks.forEach(({ chunk }, position) => {
      if (isGood[position] !== 1) this.#chunks.delete(chunk);
    });
    this.#settle(slab, isGood.includes(1) ? 'ready' : 'free');
  }

  #settle(slab: Slab, state: 'ready' | 'free'): void {
    if (slab.port !== undefined) slab.port.pendingCount -= 1;
    slab.port = undefined;
    slab.state = state;
    slab.usedAtMs = performance.now();
    slab.finish();
  }

  #lose(decoder: Decoder): void {
    decoder.isClosed = true;
    for (const slab of this.#slabs) {
      if (slab.port !== decoder) continue;
      this.#forget(slab);
      this.#settle(slab, 'free');
    }
  }

  #takeSlab(): Slab | undefined {
    const free = this.#slabs.find(({ state }) => state === 'free');
    if (free !== undefined) return free;
    if (this.#slabs.length < AHEAD_SLABS_MAX) return this.#addSlab();
    const abandonedMs = performance.now() - ABANDONED_AFTER_MS;
    let oldest: Slab | undefined;
    for (const slab of this.#slabs) {
      if (slab.state !== 'ready') continue;
      if (slab.unreadBytes > 0 && slab.usedAtMs > abandonedMs) continue;
      if (oldest === undefined || slab.usedAtMs < oldest.usedAtMs) oldest = slab;
    }
    if (oldest !== undefined) this.#forget(oldest);
    return oldest;
  }

  #addSlab(): Slab {
    const memory = new SharedArrayBuffer(DECODE_BYTES_MAX);
    const slab: Slab = {
      number: this.#slabs.length,
      memory,
      bytes: Buffer.from(memory),
      state: 'free',
      chunks: [],
      unreadBytes: 0,
      usedAtMs: 0,
      port: undefined,
      done: Promise.resolve(),
      finish: () => undefined,
    };
    this.#slabs.push(slab);
    this.#tellAll({ kind: 'memory', slab: slab.number, memory, states: this.#states });
    return slab;
  }

  #tellAll(message: ToDecoder): void {
    for (const { port } of this.#decoders) port.postMessage(message);
  }

  #forget(slab: Slab): void {
    for (const { chunk } of slab.chunks) {
      if (this.#chunks.get(chunk)?.slab === slab) this.#chunks.delete(chunk);
    }
    slab.chunks = [];
    if (slab.state === 'ready') slab.state = 'free';
  }

  /** Chunks were found bad meanwhile: none of them is answered from memory that was read before. */
  #dropAll(): void {
    this.#damageCount = this.#parts.index.damageCount;
    for (const slab of this.#slabs) this.#forget(slab);
  }

  #noteRequest(): void {
    this.#requestedAtMs = performance.now();
    this.#idleTimer ??= setTimeout(() => this.#rest(), IDLE_MS).unref();
  }

  #rest(): void {
    this.#idleTimer = undefined;
    const isIdle = performance.now() - this.#requestedAtMs >= IDLE_MS;
    if (!isIdle || this.#slabs.some(({ state }) => state === 'pending')) {
      this.#idleTimer = setTimeout(() => this.#rest(), IDLE_MS).unref();
      return;
    }
    this.#slabs.length = 0;
    this.#chunks.clear();
    this.#tellAll({ kind: 'release' });
  }

  /** The arena is to be removed: its file must not stay open, or its space would not come free. */
  forgetArena(arena: number): void {
    this.#tellAll({ kind: 'forget', arena });
  }

  close(): void {
    clearTimeout(this.#idleTimer);
    for (const { port } of this.#decoders) port.close();
  }
}

function byPlace(left: PlannedChunk, right: PlannedChunk): number {
  const { packId, index } = left.location;
  return packId - right.location.packId || index - right.location.index;
}

function wirePacks(
  planned: readonly PlannedChunk[],
  pathOf: (arena: number) => string,
): WirePack[] {
  const packs: (WirePack & { indices: number[] })[] = [];
  for (const { location, arena } of planned) {
    const { packId, index } = location;
    const last = packs.at(-1);
    if (last?.packId === packId) last.indices.push(index);
    else packs.push({ packId, arena, path: pathOf(arena), indices: [index] });
  }
  return packs;
}
