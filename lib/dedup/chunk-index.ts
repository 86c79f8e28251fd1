// What deduplication needs to know of the chunks that exist. Implemented by metastore/chunks.ts;
// an interface here, because the data path may not reach up into the metastore.

/** Number of a chunk, never reused. */
export type ChunkId = number & { readonly brand: 'ChunkId' };

export interface ChunkLocation {
  readonly packId: number;
  /** Position in the pack's directory. */
  readonly index: number;
  readonly plainBytes: number;
  /** First 16 bytes of the fingerprint, as indexed. */
  readonly fingerprint: Buffer;
}

export interface ChunkPlacement {
  readonly packId: number;
  readonly index: number;
  readonly storedBytes: number;
}

export interface ChunkIndex {
  /** The chunk with this content, if one is stored or about to be. @param fingerprint 32 bytes */
  find(fingerprint: Uint8Array): ChunkId | undefined;
  /**
   * Makes a new chunk known, with no reference and no place yet. When a quarantined chunk had this
   * content, that one: with its new place, every file that refers to it is right again (G6).
   */
  add(fingerprint: Uint8Array, plainBytes: number): ChunkId;
  /** Says where the chunk's record lies (also when gc moves it). */
  place(chunk: ChunkId, placement: ChunkPlacement): void;
  /** @throws CorruptionError  no such chunk, it has no place, or it is quarantined */
  locate(chunk: ChunkId): ChunkLocation;
  /** The chunk whose record lies at this place, if the index says so. */
  at(fingerprint: Uint8Array, packId: number, index: number): ChunkId | undefined;
  /** Rises with every chunk that is quarantined: what `find` said before may not hold any more. */
  readonly damageCount: number;
  /** Whether a quarantined chunk has this content, which is not stored again yet. */
  isWanted(fingerprint: Uint8Array): boolean;
  /** The arena a durable pack lies in. @throws CorruptionError  no such pack */
  arenaOf(packId: number): number;
}

/** Who is told of bad bytes at rest, each a second time read as bad. */
export interface DamageListener {
  /** The record at the chunk's place is not this chunk. */
  chunkDamaged(chunk: ChunkId, place: { packId: number; index: number }, cause: Error): void;
  /** Nothing in the pack can be told: it is missing, or its header or directory is damaged. */
  packDamaged(packId: number, cause: Error): void;
}
