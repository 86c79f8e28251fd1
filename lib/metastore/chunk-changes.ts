// What the chunk index remembers of a chunk in memory, and what it tells of one.

import type { ChunkPlacement } from '../dedup/chunk-index.ts';

/** What changed of a chunk since the last commit. */
export interface Change {
  /** References added less references given up. */
  references: number;
  /** Set for a chunk that is to be stored in this batch. */
  fresh: FreshChunk | undefined;
  /** Where its record lies now, when that is new. */
  placement: ChunkPlacement | undefined;
}

export interface FreshChunk {
  readonly key: string;
  readonly plainBytes: number;
  /** Its row is quarantined; otherwise it has none yet. */
  readonly isReadopted: boolean;
}

export interface ChunkDescription {
  readonly references: number;
  readonly plainBytes: number;
  /** Its share of its frame; 0 when it is quarantined, or not in a pack yet. */
  readonly storedBytes: number;
}

/** As selected. */
export type Row = [
  h: Buffer | null,
  refs: number,
  pack: number,
  index: number,
  bytes: number,
  stored: number,
];
