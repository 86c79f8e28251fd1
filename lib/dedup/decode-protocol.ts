// Messages between the main thread (read-ahead.ts) and a worker (decode-server.ts): chunks to be decoded
// before somebody reads them. They travel over a port of their own beside the worker's other messages.
//
//   main -> memory   a slab, which jobs name by its number
//   main -> release  no job will name the slabs so far
//   main -> decode   chunks in the order of their places, and the memory they go to, one after the other
//   main <- decoded  which of them lie there, verified; of the others the worker says nothing: who
//                    wants them reads them the usual way, and meets the damage there
//   main -> forget   an arena is about to be removed: its file must not stay open

import type { MessagePort } from 'node:worker_threads';

/** Memory of one job, bytes. */
export const DECODE_BYTES_MAX = 1024 * 1024;
/** Bytes of a fingerprint that the chunk index has. */
export const INDEXED_FINGERPRINT_BYTES = 16;

/** States of a job, one word for each in shared memory: whoever leaves QUEUED first has the job. */
export const JobState = { QUEUED: 0, STARTED: 1, CANCELLED: 2 } as const;

export interface WirePack {
  readonly packId: number;
  readonly arena: number;
  /** Of the arena's file. */
  readonly path: string;
  /** Wanted chunks, ascending. */
  readonly indices: readonly number[];
}

export interface DecodeJob {
  readonly kind: 'decode';
  /** Number of the memory, and of its word in the states. */
  readonly slab: number;
  readonly packs: readonly WirePack[];
  /** What the index says of each chunk, over all packs. */
  readonly plainBytes: Uint32Array;
  readonly fingerprints: Uint8Array;
}

/** Made known once: V8 counts memory anew with each message it comes in, and collects garbage for it. */
export interface DecoderMemory {
  readonly kind: 'memory';
  readonly slab: number;
  readonly memory: SharedArrayBuffer;
  readonly states: Int32Array;
}

export type ToDecoder =
  | DecodeJob
  | DecoderMemory
  | { readonly kind: 'release' }
  | { readonly kind: 'forget'; readonly arena: number };

export interface FromDecoder {
  readonly slab: number;
  /** 1 for each chunk that lies in the memory and is what the index says. */
  readonly isGood: Uint8Array;
}

/** How a worker gets its port. */
export interface ConnectMessage {
  readonly kind: 'decoder';
  readonly port: MessagePort;
}
