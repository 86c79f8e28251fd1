// The worker's side of reading ahead: reads packs by itself, decodes frames into the job's memory, and
// checks each chunk against its fingerprint and against what the index says of it.

import type { MessagePort } from 'node:worker_threads';
import { ArenaReader } from '../blockstore/arena-reader.ts';
import type { Frame } from '../blockstore/frame.ts';
import type { KeyedHash } from '../blake3.ts';
import { expectDefined } from '../assert.ts';
import { CorruptionError } from '../errors.ts';
import { native } from '../native.ts';
import { checkPlainBytes, decompressInto } from './codec.ts';
import {
  INDEXED_FINGERPRINT_BYTES,
  JobState,
  type DecodeJob,
  type DecoderMemory,
  type FromDecoder,
  type ToDecoder,
  type WirePack,
} from './decode-protocol.ts';
import { PackCache } from './pack-cache.ts';

/** Bound on arena files that a worker has open to read. */
const OPEN_ARENAS_MAX = 16;

export function serveDecodes(port: MessagePort, hash: KeyedHash): void {
  const decoder = new AheadDecoder(hash);
  port.on('message', (message: ToDecoder) => {
    switch (message.kind) {
      case 'memory':
        decoder.use(message);
        return;
      case 'release':
        decoder.release();
        return;
      case 'forget':
        decoder.forget(message.arena);
        return;
      case 'decode':
        port.postMessage(decoder.run(message) satisfies FromDecoder);
        return;
    }
  });
}

class AheadDecoder {
  readonly #hash: KeyedHash;
  /** The least recently used first. */
  readonly #arenas = new Map<number, ArenaReader>();
  /** The pack that is read now. */
  #pack: WirePack | undefined;
  readonly #packs: PackCache;
  #scratch = Buffer.alloc(0);
  readonly #slabs: Buffer[] = [];
  #states: Int32Array = new Int32Array();

  constructor(hash: KeyedHash) {
    this.#hash = hash;
    this.#packs = new PackCache({
      read: (packId, memory) => this.#arena().get(packId, memory),
      readPart: (packId, offset, into) => this.#arena().getPart(packId, offset, into),
    });
  }

  use({ slab, memory, states }: DecoderMemory): void {
    this.#slabs[slab] = Buffer.from(memory);
    this.#states = states;
  }

  release(): void {
    this.#slabs.length = 0;
  }

  run(job: DecodeJob): FromDecoder {
    const isGood = new Uint8Array(job.plainBytes.length);
    const { slab } = job;
    const memory = expectDefined(this.#slabs[slab], 'slab');
    const found = Atomics.compareExchange(this.#states, slab, JobState.QUEUED, JobState.STARTED);
    if (found === JobState.QUEUED) this.#decode(new Target(job, memory, isGood));
    return { slab, isGood };
  }

  #decode(target: Target): void {
    for (const pack of target.job.packs) {
      const behind = target.next + pack.indices.length;
      try {
        this.#pack = pack;
        this.#decodePack(pack, target);
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
        this.#packs.forget(pack.packId);
      }
      target.skipTo(behind);
    }
  }

  #decodePack({ packId, indices }: WirePack, target: Target): void {
    this.#packs.expect(packId, indices.length);
    for (let at = 0; at < indices.length;) {
      const frame = this.#packs.frameOf(packId, expectDefined(indices[at], 'index'));
      const end = frame.first + frame.entries.length;
      let behind = at + 1;
      while (behind < indices.length && (indices[behind] ?? end) < end) behind += 1;
      this.#decodeFrame(frame, indices.slice(at, behind), target);
      at = behind;
    }
  }

  /** Straight into the target when all of the frame is wanted. */
  #decodeFrame(frame: Frame, wanted: readonly number[], target: Target): void {
    const isWhole = wanted.length === frame.entries.length && target.room >= frame.plainBytes;
    const plain = isWhole ? target.rest(frame.plainBytes) : this.#scratchFor(frame.plainBytes);
    decompressInto(frame.stored, frame.codec, plain);
    let [position, offset] = [0, 0];
    for (const index of wanted) {
      for (; position < index - frame.first; position += 1) {
        offset += frame.entries[position]?.plainBytes ?? 0;
      }
      const { fingerprint, plainBytes } = expectDefined(frame.entries[position], 'entry');
      const bytes = plain.subarray(offset, offset + plainBytes);
      target.take(bytes, isWhole, () => this.#isRight(bytes, fingerprint, target.indexed));
    }
  }

  #isRight(plain: Buffer, fingerprint: Buffer, indexed: Uint8Array): boolean {
    const isNamed = fingerprint.subarray(0, INDEXED_FINGERPRINT_BYTES).equals(indexed);
    return isNamed && this.#hash.digest(plain).equals(fingerprint);
  }

  #scratchFor(bytes: number): Buffer {
    checkPlainBytes(bytes);
    if (this.#scratch.length < bytes) this.#scratch = Buffer.allocUnsafeSlow(bytes);
    return this.#scratch.subarray(0, bytes);
  }

  #arena(): ArenaReader {
    const { arena, path } = expectDefined(this.#pack, 'pack');
    const known = this.#arenas.get(arena);
    this.#arenas.delete(arena);
    const reader = known ?? new ArenaReader(path);
    this.#arenas.set(arena, reader);
    for (const [oldest] of this.#arenas) {
      if (this.#arenas.size <= OPEN_ARENAS_MAX) break;
      this.forget(oldest);
    }
    return reader;
  }

  forget(arena: number): void {
    this.#arenas.get(arena)?.close();
    this.#arenas.delete(arena);
  }
}

/** Where a job's chunks go: each to the place the main thread expects it at, whatever the others do. */
class Target {
  readonly job: DecodeJob;
  /** The next chunk. */
  next = 0;
  readonly #isGood: Uint8Array;
  readonly #memory: Buffer;
  #offset = 0;

  constructor(job: DecodeJob, memory: Buffer, isGood: Uint8Array) {
    this.job = job;
    this.#isGood = isGood;
    this.#memory = memory;
  }

  get room(): number {
    return this.#memory.length - this.#offset;
  }

  rest(bytes: number): Buffer {
    return this.#memory.subarray(this.#offset, this.#offset + bytes);
  }

  /** What the index knows the next chunk by. */
  get indexed(): Uint8Array {
    const at = this.next * INDEXED_FINGERPRINT_BYTES;
    return this.job.fingerprints.subarray(at, at + INDEXED_FINGERPRINT_BYTES);
  }

  /** The next chunk. `isInPlace`: decoded straight to here, if it is as long as expected. */
  take(plain: Buffer, isInPlace: boolean, isRight: () => boolean): void {
    const bytes = expectDefined(this.job.plainBytes[this.next], 'length');
    const isAsLong = plain.length === bytes;
    // After one of another length, what follows in the frame lies elsewhere.
    const lies = isInPlace && plain.byteOffset === this.#memory.byteOffset + this.#offset;
    if (isAsLong && (lies || !isInPlace) && isRight()) {
      if (!lies) native.copy(plain, 0, this.#memory, this.#offset, bytes);
      this.#isGood[this.next] = 1;
    }
    this.skipTo(this.next + 1);
  }

  skipTo(next: number): void {
    for (; this.next < next; this.next += 1) this.#offset += this.job.plainBytes[this.next] ?? 0;
  }
}
