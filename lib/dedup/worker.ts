// A worker thread: copies the pieces of a job together, cuts and fingerprints them, compresses the
// chunks that turn out to be new. All payload work of a write happens here; see worker-protocol.ts.

import { parentPort, workerData } from 'node:worker_threads';
import { assert, expectDefined } from '../assert.ts';
import { createKeyedHash, DIGEST_BYTES } from '../blake3.ts';
import { native } from '../native.ts';
import { CodecId, createCompressor } from './codec.ts';
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
const compressor = createCompressor(setup.compression);
const slabs: Buffer[] = [];
const slots: Slot[] = setup.outputs.map((output) => ({
  staging: undefined,
  output: Buffer.from(output),
  chunks: [],
}));

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'slab':
      slabs[message.index] = Buffer.from(message.shared);
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
  const storedBytes = new Uint32Array(chunks.length);
  const codecs = new Uint8Array(chunks.length);
  let end = 0;
  chunks.forEach((number, index) => {
    const chunk = expectDefined(slot.chunks[number], 'chunk');
    const plain = staging.subarray(chunk.offset, chunk.offset + chunk.bytes);
    let bytes = compressor.compress(plain, slot.output.subarray(end, end + chunk.bytes));
    codecs[index] = bytes === 0 ? CodecId.NONE : setup.compression.codec;
    if (bytes === 0) {
      native.copy(plain, 0, slot.output, end, plain.length);
      bytes = plain.length;
    }
    storedBytes[index] = bytes;
    end += bytes;
  });
  return { kind: 'stored', slot: slotIndex, storedBytes, codecs };
}
