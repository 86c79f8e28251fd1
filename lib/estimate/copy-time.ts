// How long `cp -a` into a mounted store takes. What depends on the data is measured here and now: reading,
// cutting, hashing, compressing. What the mount adds (requests, the daemon's main thread, the kernel's
// copies) cannot be had without one: it was measured on one machine (lib/README.md, "Where the time
// goes") and is scaled by how fast this one hashes.

/** Of that machine: milliseconds of hashing for each MiB. */
const REFERENCE_HASH_MS = 0.209;
/** Of that machine: milliseconds of the daemon's main thread and of cp for each MiB, new or known... */
const NEW_MS = 0.85;
const KNOWN_MS = 0.55;
/** ...and for each file, directory or link: 8 requests of 12 to 18 us. */
const INODE_MS = 0.12;

const MIB = 1024 * 1024;

export interface CopyWork {
  readonly inodes: number;
  readonly referencedBytes: number;
  readonly uniqueBytes: number;
  /** Milliseconds for each MiB, of one thread, measured here. */
  readonly readMs: number;
  readonly cutMs: number;
  readonly hashMs: number;
  readonly compressMs: number;
  /** Processors of this machine. */
  readonly processors: number;
}

/** Seconds. */
export function copySecondsOf(work: CopyWork): number {
  const referenced = work.referencedBytes / MIB;
  const unique = work.uniqueBytes / MIB;
  const scale = work.hashMs / REFERENCE_HASH_MS;
  const mainMs =
    scale * (work.inodes * INODE_MS + unique * NEW_MS + (referenced - unique) * KNOWN_MS);
  const workMs = referenced * (work.cutMs + work.hashMs) + unique * work.compressMs;
  const readMs = referenced * work.readMs;
  const workers = Math.max(1, work.processors - 1);
  // cp reads and hands over by turns; the workers run beside it, as far as there are processors.
  const chainMs = Math.max(readMs + mainMs, workMs / workers);
  return Math.max(chainMs, (readMs + mainMs + workMs) / work.processors) / 1000;
}
