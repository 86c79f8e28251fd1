// Goal: what is decoded ahead is found by its chunk and right, or not found at all; memory is bounded, and
// nobody waits for a worker that has not begun or is gone. Method: real packs in an arena, the decoder on
// this thread behind a real port, or a port at which nobody serves.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { createKeyedHash } from '../../lib/blake3.ts';
import { BlockStore } from '../../lib/blockstore/block-store.ts';
import { FRAME_BYTES_MAX } from '../../lib/blockstore/frame.ts';
import type { ChunkId, ChunkIndex, ChunkLocation } from '../../lib/dedup/chunk-index.ts';
import { codedCompressor, compressFrame, parseCompression } from '../../lib/dedup/codec.ts';
import { JobState, type ToDecoder } from '../../lib/dedup/decode-protocol.ts';
import { serveDecodes } from '../../lib/dedup/decode-server.ts';
import { PackWriter } from '../../lib/dedup/pack-writer.ts';
import { AHEAD_SLABS_MAX, ReadAhead } from '../../lib/dedup/read-ahead.ts';
import { silentLog } from '../../lib/log.ts';
import { randomBytesOf } from '../support/random.ts';

const KEY = Buffer.alloc(32, 3);
const CHUNK_BYTES = 40_000;
const FRAME_CHUNKS = 3;
const COUNT = 900;

/** Odd chunks can be compressed. */
function contentOf(chunk: number): Buffer {
  if (chunk % 2 === 0) return randomBytesOf(chunk, CHUNK_BYTES);
  return Buffer.from(`chunk ${chunk} `.repeat(CHUNK_BYTES)).subarray(0, CHUNK_BYTES);
}

class Sample {
  readonly blockStore: BlockStore;
  readonly writer: PackWriter;
  readonly locations = new Map<number, ChunkLocation>();
  damageCount = 0;
  readonly #folder: string;
  #packs = 0;

  constructor(t: Test) {
    this.#folder = join(t.testdir(), 'arenas');
    this.blockStore = new BlockStore(this.#folder, { arenaBytesMax: 1e8, log: silentLog() });
    this.blockStore.useAllocator({ nextArena: () => 1, arenaBegun: () => undefined });
    this.writer = new PackWriter({
      blockStore: this.blockStore,
      frameBytesMax: FRAME_BYTES_MAX,
      nextPackId: () => (this.#packs += 1),
      batch: () => 1,
      onSealed: () => undefined,
    });
    t.teardown(async () => this.blockStore.close());
  }

  /** Stores chunks 0 to `count`, some together in a frame. */
  async fill(count: number): Promise<void> {
    const compressor = codedCompressor(parseCompression('lz4'));
    const hash = createKeyedHash(KEY);
    for (let first = 0; first < count; first += FRAME_CHUNKS) {
      const plains = Array.from({ length: FRAME_CHUNKS }, (_, index) => contentOf(first + index));
      const fingerprints = plains.map((plain) => hash.digest(plain));
      const chunks = fingerprints.map((fingerprint, index) => {
        return { fingerprint, plainBytes: CHUNK_BYTES, chunk: first + index };
      });
      const place = this.writer.append({ chunks, ...compressFrame(plains, compressor) });
      fingerprints.forEach((fingerprint, index) => {
        const location = { packId: place.packId, index: place.index + index };
        const known = { plainBytes: CHUNK_BYTES, fingerprint: fingerprint.subarray(0, 16) };
        this.locations.set(first + index, { ...location, ...known });
      });
      await this.writer.room();
    }
    await this.writer.flush();
  }

  /** What begins ahead, and the other end of its port. */
  open(t: Test) {
    const { port1, port2 } = new MessageChannel();
    const index = {
      locate: (chunk: ChunkId) => this.locations.get(chunk),
      arenaOf: () => 1,
    } as unknown as ChunkIndex;
    Object.defineProperty(index, 'damageCount', { get: () => this.damageCount });
    const { writer } = this;
    const pathOf = (arena: number): string => this.blockStore.path(arena);
    const ahead = new ReadAhead({ index, writer, ports: [port1], pathOf });
    t.teardown(() => ahead.close());
    return { ahead, port: port2 };
  }

  flip(chunk: number): void {
    const file = join(this.#folder, 'a000001.mdb');
    const bytes = readFileSync(file);
    const at = bytes.indexOf(contentOf(chunk).subarray(5000, 5032));
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(file, bytes);
  }
}

function chunksFrom(first: number, count: number, step = 1): ChunkId[] {
  return Array.from({ length: count }, (_, index) => (first + index * step) as ChunkId);
}

async function settled(): Promise<void> {
  for (let turns = 0; turns < 20; turns += 1) await turn();
}

t.test('chunks asked for are found as they are; as many as fit', async (t) => {
  const sample = new Sample(t);
  await sample.fill(90);
  for (const step of [1, 2, 7]) {
    const { ahead, port } = sample.open(t);
    serveDecodes(port, createKeyedHash(KEY));
    const wanted = chunksFrom(0, Math.floor(90 / step), step);
    const asked = ahead.request([...wanted].reverse());
    t.equal(asked?.count, Math.min(wanted.length, 26), 'one slab of 1 MiB');
    t.equal(ahead.find(wanted.at(-1) ?? (0 as ChunkId)), undefined, 'not yet');
    await settled();
    const found = wanted.filter((chunk) => ahead.find(chunk)?.equals(contentOf(chunk)));
    t.strictSame(found, wanted.slice(-26));
  }
});

t.test('what no worker has begun with is called off', async (t) => {
  const sample = new Sample(t);
  await sample.fill(30);
  const { ahead, port } = sample.open(t);
  serveDecodes(port, createKeyedHash(KEY));
  t.equal(ahead.request(chunksFrom(0, 10))?.ticket.wait(), undefined);
  await settled();
  t.equal(ahead.find(0 as ChunkId), undefined);
  ahead.request(chunksFrom(0, 10));
  await settled();
  t.ok(ahead.find(0 as ChunkId)?.equals(contentOf(0)), 'and may be asked for again');
});

t.test(
  'memory is bounded: what is waited for stays, what is read or given up makes room',
  async (t) => {
    const sample = new Sample(t);
    await sample.fill(COUNT);
    const { ahead, port } = sample.open(t);
    serveDecodes(port, createKeyedHash(KEY));
    const tickets = Array.from({ length: AHEAD_SLABS_MAX }, (_, slab) => {
      return ahead.request(chunksFrom(slab * 26, 26))?.ticket;
    });
    t.ok(tickets.every((ticket) => ticket !== undefined));
    const more = chunksFrom(AHEAD_SLABS_MAX * 26, 26);
    t.equal(ahead.request(more), undefined, 'all is under way');
    await settled();
    t.equal(ahead.request(more), undefined, 'nothing of it was read');
    for (const chunk of chunksFrom(0, 26)) t.ok(ahead.find(chunk)?.equals(contentOf(chunk)));
    t.ok(ahead.request(more), 'what was read makes room');
    t.equal(ahead.find(0 as ChunkId), undefined);
    t.equal(ahead.request(chunksFrom(800, 10)), undefined);
    tickets[5]?.abandon();
    t.ok(ahead.request(chunksFrom(800, 10)), 'and so does what nobody wants');
    await settled();
    t.ok(ahead.find(more[3] as ChunkId)?.equals(contentOf(more[3] as number)));
  },
);

t.test('nothing that is bad is found, nor anything when damage was found elsewhere', async (t) => {
  const sample = new Sample(t);
  await sample.fill(30);
  sample.flip(4);
  const nine = sample.locations.get(9);
  sample.locations.set(8, { ...(nine as ChunkLocation) });
  sample.locations.set(10, { ...(sample.locations.get(10) as ChunkLocation), plainBytes: 39_999 });
  sample.locations.set(12, { ...(sample.locations.get(12) as ChunkLocation), packId: 77 });
  sample.locations.set(14, {
    ...(sample.locations.get(14) as ChunkLocation),
    fingerprint: Buffer.alloc(16, 1),
  });
  const { ahead, port } = sample.open(t);
  serveDecodes(port, createKeyedHash(KEY));
  ahead.request(chunksFrom(0, 20));
  await settled();
  const found = chunksFrom(0, 20).filter((chunk) => ahead.find(chunk) !== undefined);
  for (const chunk of [4, 10, 12, 14]) t.notOk(found.includes(chunk as ChunkId), `${chunk}`);
  for (const chunk of found.filter((chunk) => chunk !== 8)) {
    t.ok(ahead.find(chunk)?.equals(contentOf(chunk)), `${chunk}`);
  }
  t.ok(found.length >= 12);
  sample.damageCount += 1;
  t.equal(ahead.find(0 as ChunkId), undefined);
});

t.test('a worker that dies lets nobody wait', async (t) => {
  const sample = new Sample(t);
  await sample.fill(30);
  const { ahead, port } = sample.open(t);
  let states = new Int32Array(new SharedArrayBuffer(4)) as Int32Array;
  const begun = new Promise<void>((resolve) => {
    port.on('message', (message: ToDecoder) => {
      if (message.kind === 'memory') ({ states } = message);
      if (message.kind !== 'decode') return;
      Atomics.store(states, message.slab, JobState.STARTED);
      resolve();
    });
  });
  // In a daemon the workers do.
  const staysAlive = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(staysAlive));
  const ticket = ahead.request(chunksFrom(0, 10))?.ticket;
  await begun;
  const wait = ticket?.wait();
  t.ok(wait, 'it is at work');
  port.close();
  await wait;
  t.equal(ahead.find(0 as ChunkId), undefined);
  t.equal(ahead.request(chunksFrom(0, 10)), undefined, 'there is nobody to ask');
});
