// Messages between the main thread (reading.ts) and a worker (worker.ts). A worker does all of a job by
// itself: reads, cuts, fingerprints, looks up in tables that all share, compresses some frames. It sends
// sums only.

import type { Compression } from '../dedup/codec.ts';
import type { SharedTable } from './fingerprint-table.ts';
import type { FrameSums } from './frame-sample.ts';

/** What a worker is given at a time: what the daemon stores of small files at a time, too. */
export const JOB_BYTES = 2 * 1024 * 1024;
/** Part of a file that is read, or left out, as a whole. */
export const UNIT_BYTES = 64 * 1024 * 1024;

export interface SampledCodec {
  readonly compression: Compression;
  /** Of the new data of one worker, so much is compressed fully before frames are left out. */
  readonly bytesFully: number;
}

export interface WorkerSetup {
  /** Mean chunk sizes, bytes. */
  readonly chunkSizes: readonly number[];
  /** One for each chunk size. */
  readonly tables: readonly SharedTable[];
  readonly codecs: readonly SampledCodec[];
}

/** A file, or a stretch of one. */
export interface Unit {
  readonly number: number;
  readonly path: Uint8Array;
  readonly offset: number;
  readonly bytes: number;
  /** The file has fewer blocks than its size needs. */
  readonly isSparse: boolean;
}

export interface Job {
  readonly units: readonly Unit[];
}

/** Of one chunk size, over one job. */
export interface SizeSums {
  chunks: number;
  /** Bytes that chunks cover. */
  referencedBytes: number;
  cutMs: number;
  /** Of the chunks met first in this job, before thinning out. */
  newBytes: number;
  /** By codec. */
  readonly frames: readonly FrameSums[];
}

export interface JobResult {
  readonly bytesRead: number;
  readonly readMs: number;
  readonly hashMs: number;
  readonly bytesHashed: number;
  readonly sizes: readonly SizeSums[];
  readonly unreadable: readonly Unreadable[];
}

export interface Unreadable {
  readonly path: Uint8Array;
  readonly code: string;
  readonly bytes: number;
}
