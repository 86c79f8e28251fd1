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
  /** Makes a new chunk known, with no reference and no place yet. */
  add(fingerprint: Uint8Array, plainBytes: number): ChunkId;
  /** Says where the chunk's record lies (also when gc moves it). */
  place(chunk: ChunkId, placement: ChunkPlacement): void;
  /** @throws CorruptionError  no such chunk, or it has no place */
  locate(chunk: ChunkId): ChunkLocation;
  /** The arena a durable pack lies in. @throws CorruptionError  no such pack */
  arenaOf(packId: number): number;
}
