// Goal: spans come out in the order of submission, each chunk is stored once, and after a failure
// nothing comes out. Method: real workers and arenas, an index in memory.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createKeyedHash } from '../../lib/blake3.ts';
import { BlockStore } from '../../lib/blockstore/block-store.ts';
import { FRAME_BYTES_MAX } from '../../lib/blockstore/frame.ts';
import type {
  ChunkId,
  ChunkIndex,
  ChunkLocation,
  ChunkPlacement,
} from '../../lib/dedup/chunk-index.ts';
import { ChunkReader } from '../../lib/dedup/chunk-reader.ts';
import { cutParameters } from '../../lib/dedup/chunking.ts';
import { parseCompression } from '../../lib/dedup/codec.ts';
import { CompressionChoice } from '../../lib/dedup/compression-choice.ts';
import { Ingest, type IngestJob, type Span } from '../../lib/dedup/ingest.ts';
import { PackWriter } from '../../lib/dedup/pack-writer.ts';
import { WorkerPool } from '../../lib/dedup/worker-pool.ts';
import { silentLog } from '../../lib/log.ts';
import { failureIn } from '../support/faults.ts';
import { randomBytesOf } from '../support/random.ts';

const KEY = Buffer.alloc(32, 9);
const CUT = cutParameters(16 * 1024);

class MemoryIndex implements ChunkIndex {
  readonly #byFingerprint = new Map<string, ChunkId>();
  readonly #chunks: { fingerprint: Buffer; plainBytes: number; place?: ChunkPlacement }[] = [];

  find(fingerprint: Uint8Array): ChunkId | undefined {
    return this.#byFingerprint.get(Buffer.from(fingerprint).toString('hex'));
  }

  add(fingerprint: Uint8Array, plainBytes: number): ChunkId {
    const copy = Buffer.from(fingerprint);
    const chunk = this.#chunks.push({ fingerprint: copy, plainBytes }) as ChunkId;
    this.#byFingerprint.set(copy.toString('hex'), chunk);
    return chunk;
  }

  place(chunk: ChunkId, placement: ChunkPlacement): void {
    const known = this.#chunks[chunk - 1];
    if (known === undefined || known.place !== undefined) throw new Error('placed twice');
    known.place = placement;
  }

  locate(chunk: ChunkId): ChunkLocation {
    const known = this.#chunks[chunk - 1];
    if (known?.place === undefined) throw new Error(`chunk ${chunk} has no place`);
    const { fingerprint, plainBytes, place } = known;
    return { ...place, plainBytes, fingerprint: fingerprint.subarray(0, 16) };
  }

  readonly damageCount = 0;

  at(): undefined {
    return undefined;
  }

  isWanted(): boolean {
    return false;
  }

  arenaOf(): number {
    return 1;
  }

  get count(): number {
    return this.#chunks.length;
  }
}

function setUp(t: Test) {
  const folder = join(t.testdir(), 'arenas');
  const blockStore = new BlockStore(folder, { arenaBytesMax: 1e8, log: silentLog() });
  blockStore.useAllocator({ nextArena: () => 1, arenaBegun: () => undefined });
  let packs = 0;
  const writer = new PackWriter({
    blockStore,
    frameBytesMax: FRAME_BYTES_MAX,
    nextPackId: () => (packs += 1),
    batch: () => 1,
    onSealed: () => undefined,
  });
  const failures: Error[] = [];
  const workers = new WorkerPool({
    cut: CUT,
    compression: new CompressionChoice(parseCompression('lz4')),
    fingerprintKey: KEY,
    onFailure: (error) => failures.push(error),
  });
  t.teardown(async () => {
    await workers.close();
    await blockStore.close();
  });
  const index = new MemoryIndex();
  const hash = createKeyedHash(KEY);
  const damage = { chunkDamaged: () => undefined, packDamaged: () => undefined };
  const reader = new ChunkReader({ index, writer, blockStore, hash, damage });
  return { ingest: new Ingest({ workers, index, writer }), index, reader, writer, failures };
}

/** A job of one segment for each content. */
function jobOf(...contents: readonly Buffer[]): IngestJob {
  const segments = contents.map((content) => {
    const source = new SharedArrayBuffer(content.length);
    Buffer.from(source).set(content);
    const piece = { source, offset: 0, bytes: content.length };
    return { pieces: [piece], isFinal: true, isAfterHole: false };
  });
  return { segments, onCut: () => undefined };
}

function contentOf(reader: ChunkReader, spans: readonly Span[]): Buffer {
  const parts = spans.map(({ bytes, chunk }) => {
    return chunk === undefined ? Buffer.alloc(bytes) : reader.read(chunk);
  });
  return Buffer.concat(parts);
}

t.test('results come out in the order of submission, large and small jobs mixed', async (t) => {
  const { ingest, reader, writer } = setUp(t);
  const contents = [3e6, 10, 1e6, 1, 50_000, 2e6, 7].map((bytes, seed) => {
    return Buffer.concat([randomBytesOf(seed, bytes), Buffer.alloc(9000), Buffer.from('end')]);
  });
  const order: number[] = [];
  const spans: Span[][] = [];
  const jobs = contents.map(async (content, number) => {
    await ingest.submit(jobOf(content), ([found = []]) => {
      order.push(number);
      spans[number] = found;
      // Earlier chunks have their place by now: reading must not throw.
      t.ok(contentOf(reader, found).equals(content), `job ${number}`);
    });
  });
  t.equal(ingest.activeJobs, contents.length);
  await Promise.all(jobs);
  t.strictSame(order, [0, 1, 2, 3, 4, 5, 6]);
  t.equal(ingest.activeJobs, 0);
  await writer.flush();
  t.equal(writer.pendingBytes, 0);
  for (const [number, found] of spans.entries()) {
    t.ok(contentOf(reader, found).equals(contents[number] ?? Buffer.alloc(0)), 'from the arena');
  }
});

t.test(
  'a chunk that comes twice is stored once, in one job and in jobs side by side',
  async (t) => {
    const { ingest, index, reader } = setUp(t);
    const content = randomBytesOf('twice', 200_000);
    const results: Span[][] = [];
    const keep = (spans: Span[][]): void => void results.push(...spans);
    const jobs = [
      jobOf(content, content),
      jobOf(content),
      jobOf(content, Buffer.from('x'), content),
    ];
    await Promise.all(jobs.map(async (job) => ingest.submit(job, keep)));
    const [first = []] = results;
    const distinct = new Set(first.map(({ chunk }) => chunk));
    t.equal(index.count, distinct.size + 1, 'its chunks and the one of x');
    t.equal(results.filter((spans) => spans.length === first.length).length, 5);
    for (const spans of results.filter(({ length }) => length > 1)) t.strictSame(spans, first);
    t.ok(contentOf(reader, first).equals(content));
  },
);

t.test('when a worker dies its job is rejected, and no later one comes out', async (t) => {
  const { ingest, failures } = setUp(t);
  const installed: string[] = [];
  const submit = async (name: string, job: IngestJob): Promise<void> => {
    await ingest.submit(job, () => void installed.push(name));
  };
  await submit('good', jobOf(randomBytesOf('good', 100_000)));
  const source = new SharedArrayBuffer(16);
  // A piece outside of its memory makes the worker throw.
  const piece = { source, offset: 0, bytes: 1_000_000 };
  const bad = { segments: [{ pieces: [piece], isFinal: true, isAfterHole: false }] };
  const jobs = [
    submit('before', jobOf(randomBytesOf('before', 100))),
    submit('bad', { ...bad, onCut: () => undefined }),
    submit('after', jobOf(randomBytesOf('after', 100))),
  ];
  const [, failed, after] = await Promise.all(jobs.map(failureIn));
  t.ok(failed instanceof Error);
  t.ok(after instanceof Error);
  t.equal(failures.length, 1, 'told once');
  t.ok(await failureIn(submit('later', jobOf(Buffer.from('later')))));
  t.notOk(
    installed.some((name) => ['bad', 'after', 'later'].includes(name)),
    installed.join(),
  );
  t.equal(ingest.activeJobs, 0);
});
