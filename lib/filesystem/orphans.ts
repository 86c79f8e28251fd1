// Inodes without a name. They live until the last handle is closed and the kernel has forgotten
// them; then their extents are given back, a bounded piece at a time.
//
// Lifecycle: last name removed (row in `orphan`) -> last close and FORGET, in either order ->
// reclaimed. A crash in between leaves the row, and the next mount reclaims.

import type { Metastore } from '../metastore/metastore.ts';
import type { Inode, InodeNumber } from '../metastore/inodes.ts';
import type { ContentIngest } from './content-ingest.ts';
import type { ContentTable } from './content-table.ts';
import type { CommitGate } from './gate.ts';

/** Extents given back in one turn: 64 segments are 256 MiB of file. */
const SEGMENTS_PER_TURN = 64;

interface Orphan {
  isForgotten: boolean;
  handles: number;
}

export class OrphanReclaimer {
  readonly #metastore: Metastore;
  readonly #contents: ContentTable;
  readonly #ingest: ContentIngest;
  readonly #gate: CommitGate;
  readonly #orphans = new Map<InodeNumber, Orphan>();
  readonly #queue: InodeNumber[] = [];
  #isScheduled = false;
  readonly #mayChange: () => boolean;

  constructor(parts: {
    readonly metastore: Metastore;
    readonly contents: ContentTable;
    readonly ingest: ContentIngest;
    readonly gate: CommitGate;
    /** Asked before each turn, and noted as the beginning of a change; false: read-only. */
    readonly mayChange: () => boolean;
  }) {
    this.#metastore = parts.metastore;
    this.#contents = parts.contents;
    this.#ingest = parts.ingest;
    this.#gate = parts.gate;
    this.#mayChange = parts.mayChange;
  }

  /** The inode lost its last name. @param handles how many are open on it */
  add(inode: Inode, handles: number): void {
    this.#metastore.orphans.insert(inode.ino);
    this.#orphans.set(inode.ino, { isForgotten: false, handles });
  }

  /** The inode got a name again (linkat of an O_TMPFILE). */
  remove(inode: Inode): void {
    this.#metastore.orphans.delete(inode.ino);
    this.#orphans.delete(inode.ino);
  }

  noteOpened(ino: InodeNumber): void {
    const orphan = this.#orphans.get(ino);
    if (orphan !== undefined) orphan.handles += 1;
  }

  noteClosed(ino: InodeNumber): void {
    const orphan = this.#orphans.get(ino);
    if (orphan === undefined) return;
    orphan.handles -= 1;
    this.#reclaimWhenUnused(ino, orphan);
  }

  noteForgotten(ino: InodeNumber): void {
    const orphan = this.#orphans.get(ino);
    if (orphan === undefined) return;
    orphan.isForgotten = true;
    this.#reclaimWhenUnused(ino, orphan);
  }

  #reclaimWhenUnused(ino: InodeNumber, orphan: Orphan): void {
    if (!orphan.isForgotten || orphan.handles > 0) return;
    this.#orphans.delete(ino);
    this.#queue.push(ino);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#gate.whenOpen(() => {
        this.#isScheduled = false;
        this.#turn();
        if (this.#queue.length > 0) this.#schedule();
      });
    });
  }

  /** Some of the work: bounded, so that requests are answered in between. */
  #turn(): void {
    if (!this.#mayChange()) {
      this.#queue.length = 0; // their rows stay, and the next mount reclaims them
      return;
    }
    let segments = SEGMENTS_PER_TURN;
    while (segments > 0) {
      const ino = this.#queue[0];
      if (ino === undefined) return;
      if (!this.#reclaim(ino, segments)) return;
      this.#queue.shift();
      segments -= 1;
    }
  }

  /** Returns whether the inode is gone. */
  #reclaim(ino: InodeNumber, segmentsMax: number): boolean {
    const { inodes, extents, xattrs, symlinks, orphans } = this.#metastore;
    const inode = inodes.get(ino);
    if (inode === undefined) {
      orphans.delete(ino);
      return true;
    }
    const content = this.#contents.find(ino);
    if (content !== undefined) {
      this.#contents.discard(content);
      this.#ingest.noteDiscarded(content);
    }
    if (inode.isRegular && !extents.removeFrom(inode, 0, segmentsMax)) return false;
    xattrs.deleteAll(ino);
    symlinks.delete(ino);
    orphans.delete(ino);
    inodes.delete(inode);
    return true;
  }

  /** Reclaims every orphan at once: at mount, when nothing is open, and at unmount. */
  reclaimAll(): void {
    this.#orphans.clear();
    this.#queue.length = 0;
    for (;;) {
      const batch = this.#metastore.orphans.list(0, 256);
      if (batch.length === 0 || !this.#mayChange()) return;
      for (const ino of batch) {
        while (!this.#reclaim(ino, SEGMENTS_PER_TURN));
      }
    }
  }
}
