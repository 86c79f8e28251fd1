// What gc did since the store was opened, and does now.

export interface GcActivity {
  readonly arenasRemoved: number;
  /** Stored bytes that moved; what the removed arenas occupied. */
  readonly bytesMoved: number;
  readonly bytesFreed: number;
  /** Of the run under way; null: there is none. */
  readonly progress: { readonly bytesDone: number; readonly bytesTotal: number } | null;
}

export class GcRecord implements GcActivity {
  arenasRemoved = 0;
  bytesMoved = 0;
  bytesFreed = 0;
  progress: GcActivity['progress'] = null;
}
