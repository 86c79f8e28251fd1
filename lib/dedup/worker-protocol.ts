// Messages between the main thread (worker-pool.ts) and a worker (worker.ts).
//
// A job uses one staging slot of its worker, in this order:
//   main -> cut    the pieces of each segment; the worker copies them together, cuts, fingerprints
//   main <- cut    spans and fingerprints; from here on the slabs of the pieces are not read again
//   main -> store  which chunks are new (none: the slot is simply reused)
//   main <- stored their compressed frames, back to back in the slot's output

import type { CutParameters } from '../native.ts';
import type { Slab } from '../slab-pool.ts';
import type { Compression } from './codec.ts';
import type { ConnectMessage } from './decode-protocol.ts';

/** Bytes of the file that one job may carry, without the neighbours that are cut again with them. */
export const JOB_BYTES_MAX = 4 * 1024 * 1024;
/** Slots per worker: one is cut while another's chunks are looked up, stored or copied out. */
export const SLOTS_PER_WORKER = 2;

export interface WorkerSetup {
  readonly cut: CutParameters;
  readonly compression: Compression;
  /** 32 bytes: the store's fingerprint key. */
  readonly fingerprintKey: Uint8Array;
  /** For each slot, where stored bytes go; as large as the staging memory. */
  readonly outputs: readonly SharedArrayBuffer[];
  readonly stagingBytes: number;
}

/** Bytes where they lie: a slab known by its index, or other shared memory. */
export interface WirePiece {
  readonly source: number | SharedArrayBuffer;
  readonly offset: number;
  readonly bytes: number;
}

export interface WireSegment {
  readonly pieces: readonly WirePiece[];
  readonly isFinal: boolean;
  readonly isAfterHole: boolean;
}

export type ToWorker =
  | ConnectMessage
  | { readonly kind: 'slab'; readonly index: number; readonly place: Slab['place'] }
  /** What is stored after this is compressed so. */
  | { readonly kind: 'compression'; readonly compression: Compression }
  | { readonly kind: 'cut'; readonly slot: number; readonly segments: readonly WireSegment[] }
  /** `chunks`: numbers of the new chunks, counted over all segments, holes left out. */
  | { readonly kind: 'store'; readonly slot: number; readonly chunks: Uint32Array };

export type FromWorker =
  | {
      readonly kind: 'cut';
      readonly slot: number;
      /** Spans of each segment: lengths, HOLE_FLAG set for holes. */
      readonly spans: readonly Uint32Array[];
      /** 32 bytes for each chunk, over all segments. */
      readonly fingerprints: Uint8Array;
    }
  | {
      readonly kind: 'stored';
      readonly slot: number;
      /** For each frame: how many of the new chunks it holds, bytes in the output, and codec. */
      readonly chunkCounts: Uint32Array;
      readonly storedBytes: Uint32Array;
      readonly codecs: Uint8Array;
    };
