// A worker thread: copies the pieces of a job together, cuts and fingerprints them, compresses the
// chunks that turn out to be new. All payload work of a write happens here; see worker-protocol.ts.

import { parentPort, workerData } from 'node:worker_threads';
import { assert, expectDefined } from '../assert.ts';
import { createKeyedHash, DIGEST_BYTES } from '../blake3.ts';
import { native } from '../native.ts';
import { SLAB_BYTES } from '../slab-pool.ts';
import { CodecId, codedCompressor } from './codec.ts';
import { serveDecodes } from './decode-server.ts';
import { groupChunks } from './frame-groups.ts';
import { cutSegment, HOLE_FLAG } from './segmenter.ts';
import type { FromWorker, ToWorker, WireSegment, WorkerSetup } from './worker-protocol.ts';

interface Slot {
  /** Allocated at the first use: an idle worker costs no memory. */
  staging: Buffer | undefined;
  readonly output: Buffer;
  /** Where each chunk of the job lies in the staging memory. */
  chunks: { offset: number; bytes: number }[];
}

const setup = workerData as WorkerSetup;
const port = expectDefined(parentPort ?? undefined, 'the port of a worker');
const hash = createKeyedHash(Buffer.from(setup.fingerprintKey));
let coded = codedCompressor(setup.compression);
const slabs: Buffer[] = [];
const slots: Slot[] = setup.outputs.map((output) => ({
  staging: undefined,
  output: Buffer.from(output),
  chunks: [],
}));

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'slab':
      slabs[message.index] = Buffer.from(message.place.shared, message.place.offset, SLAB_BYTES);
      return;
    case 'decoder':
      serveDecodes(message.port, hash);
      return;
    case 'compression':
      coded = codedCompressor(message.compression);
      return;
    case 'cut':
      post(cut(message.slot, message.segments));
      return;
    case 'store':
      post(store(message.slot, message.chunks));
      return;
  }
});

function post(message: FromWorker): void {
  port.postMessage(message);
}

function cut(slotIndex: number, segments: readonly WireSegment[]): FromWorker {
  const slot = expectDefined(slots[slotIndex], 'slot');
  const staging = (slot.staging ??= Buffer.allocUnsafeSlow(setup.stagingBytes));
  slot.chunks = [];
  const spans: Uint32Array[] = [];
  let from = 0;
  for (const segment of segments) {
    const to = gather(segment, staging, from);
    const found = cutSegment(staging, from, to, { ...segment, cut: setup.cut });
    let offset = from;
    for (const span of found) {
      const isHole = span >= HOLE_FLAG;
      const bytes = isHole ? span - HOLE_FLAG : span;
      if (!isHole) slot.chunks.push({ offset, bytes });
      offset += bytes;
    }
    spans.push(Uint32Array.from(found));
    from = to;
  }
  return { kind: 'cut', slot: slotIndex, spans, fingerprints: fingerprint(slot, staging) };
}

function gather(segment: WireSegment, staging: Buffer, from: number): number {
  let to = from;
  for (const piece of segment.pieces) {
    const source =
      typeof piece.source === 'number'
        ? expectDefined(slabs[piece.source], 'slab')
        : Buffer.from(piece.source);
    assert(to + piece.bytes <= staging.length, 'job larger than the staging memory');
    native.copy(source, piece.offset, staging, to, piece.bytes);
    to += piece.bytes;
  }
  return to;
}

function fingerprint(slot: Slot, staging: Buffer): Uint8Array {
  const fingerprints = new Uint8Array(slot.chunks.length * DIGEST_BYTES);
  slot.chunks.forEach((chunk, index) => {
    const plain = staging.subarray(chunk.offset, chunk.offset + chunk.bytes);
    fingerprints.set(hash.digest(plain), index * DIGEST_BYTES);
  });
  return fingerprints;
}

function store(slotIndex: number, chunks: Uint32Array): FromWorker {
  const slot = expectDefined(slots[slotIndex], 'slot');
  const staging = expectDefined(slot.staging, 'staging');
  const stored: { chunkCount: number; bytes: number; codec: number }[] = [];
  let end = 0;
  const keepPlain = (number: number): void => {
    const { offset, bytes } = expectDefined(slot.chunks[number], 'chunk');
    native.copy(staging, offset, slot.output, end, bytes);
    stored.push({ chunkCount: 1, bytes, codec: CodecId.NONE });
    end += bytes;
  };
  let next = 0;
  const fresh = Array.from(chunks, (number) => expectDefined(slot.chunks[number], 'chunk'));
  for (const frame of groupChunks(fresh)) {
    const plain = staging.subarray(frame.offset, frame.offset + frame.bytes);
    const bytes = coded.compressor.compress(plain, slot.output.subarray(end, end + frame.bytes));
    if (bytes > 0) {
      stored.push({ chunkCount: frame.chunkCount, bytes, codec: coded.codec });
      end += bytes;
    } else {
      // Nothing gained: each chunk is a frame of its own, so that one can be read without the others.
      chunks.subarray(next, next + frame.chunkCount).forEach(keepPlain);
    }
    next += frame.chunkCount;
  }
  return {
    kind: 'stored',
    slot: slotIndex,
    chunkCounts: Uint32Array.from(stored, (frame) => frame.chunkCount),
    storedBytes: Uint32Array.from(stored, (frame) => frame.bytes),
    codecs: Uint8Array.from(stored, (frame) => frame.codec),
  };
}
