// How long `cp -a` into a mounted store takes. What depends on the data is measured here and now: reading,
// cutting, hashing, compressing. What the mount adds (requests, the daemon's main thread, the kernel's
// copies) cannot be had without one: it was measured on one machine (lib/README.md, "Where the time
// goes") and is scaled by how fast this one hashes.

import { createKeyedHash } from '../blake3.ts';

/** What `measurePace` said there. */
const REFERENCE_PACE_MS = 0.143;
/** Milliseconds of the daemon's main thread and of cp for each MiB, new or known... */
const NEW_MS = 0.85;
const KNOWN_MS = 0.55;
/** ...and for each file, directory or link: 8 requests of 12 to 18 us. */
const INODE_MS = 0.12;

const MIB = 1024 * 1024;

const PACE_ROUNDS = 12;
const PACE_CHUNK_BYTES = 32 * 1024;

/** Milliseconds to hash a MiB here: the best of some rounds, so that what else runs matters little. */
export function measurePace(): number {
  const hash = createKeyedHash(Buffer.alloc(32));
  const bytes = Buffer.alloc(MIB, 1);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < PACE_ROUNDS; round += 1) {
    const startMs = performance.now();
    for (let at = 0; at < MIB; at += PACE_CHUNK_BYTES) {
      hash.digest(bytes.subarray(at, at + PACE_CHUNK_BYTES));
    }
    best = Math.min(best, performance.now() - startMs);
  }
  return best;
}

export interface CopyWork {
  readonly inodes: number;
  readonly referencedBytes: number;
  readonly uniqueBytes: number;
  /** Milliseconds for each MiB, of one thread, measured here. */
  readonly readMs: number;
  readonly cutMs: number;
  readonly hashMs: number;
  readonly compressMs: number;
  /** From `measurePace`. */
  readonly paceMs: number;
  /** Processors of this machine. */
  readonly processors: number;
}

/** Seconds. */
export function copySecondsOf(work: CopyWork): number {
  const referenced = work.referencedBytes / MIB;
  const unique = work.uniqueBytes / MIB;
  const scale = work.paceMs / REFERENCE_PACE_MS;
  const mainMs =
    scale * (work.inodes * INODE_MS + unique * NEW_MS + (referenced - unique) * KNOWN_MS);
  const workMs = referenced * (work.cutMs + work.hashMs) + unique * work.compressMs;
  const readMs = referenced * work.readMs;
  const workers = Math.max(1, work.processors - 1);
  // cp reads and hands over by turns; the workers run beside it, as far as there are processors.
  const chainMs = Math.max(readMs + mainMs, workMs / workers);
  return Math.max(chainMs, (readMs + mainMs + workMs) / work.processors) / 1000;
}
