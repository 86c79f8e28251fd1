// Inodes without a name. They live until the last handle is closed and the kernel has forgotten
// them; then their extents are given back, a bounded piece at a time.
//
// Lifecycle: last name removed -> last close and FORGET, in either order -> reclaimed. A commit in
// between gives it a row in `orphan`; after a crash the next mount reclaims those.

import type { Metastore } from '../metastore/metastore.ts';
import { FileType, HAS_XATTRS, type Inode, type InodeNumber } from '../metastore/inodes.ts';
import type { ContentIngest } from './content-ingest.ts';
import type { ContentTable } from './content-table.ts';
import type { FileContent } from './file-content.ts';
import type { CommitGate } from './gate.ts';

/** Extents given back in one turn: 64 segments are 256 MiB of file. */
const SEGMENTS_PER_TURN = 64;

const ROWS_PER_QUERY = 256;
/** After the host had no room for the commit of a turn. */
const RETRY_MS = 200;
/** Chunks that may change before `reclaimAll` commits. */
const CHANGES_PER_COMMIT = 16 * 1024;

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
  #isStopped = false;
  /** Rows of earlier mounts that are not queued yet: those after `after`, below `upTo`. */
  #leftovers = { after: 0, upTo: 0 };
  readonly #tryChange: () => 'begun' | 'later' | 'never';

  constructor(parts: {
    readonly metastore: Metastore;
    readonly contents: ContentTable;
    readonly ingest: ContentIngest;
    readonly gate: CommitGate;
    /** Asked before each turn, and noted as the beginning of a change. Later: the host is full. */
    readonly tryChange: () => 'begun' | 'later' | 'never';
  }) {
    this.#metastore = parts.metastore;
    this.#contents = parts.contents;
    this.#ingest = parts.ingest;
    this.#gate = parts.gate;
    this.#tryChange = parts.tryChange;
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

  /** The kernel no longer knows the inode. @returns whether it has no name */
  noteForgotten(ino: InodeNumber): boolean {
    const orphan = this.#orphans.get(ino);
    if (orphan === undefined) return false;
    orphan.isForgotten = true;
    this.#reclaimWhenUnused(ino, orphan);
    return true;
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
        if (!this.#isStopped) this.#attend();
      });
    });
  }

  #attend(): void {
    const answer = this.#findsWork() ? this.#tryChange() : 'idle';
    if (answer === 'begun') this.#turn();
    // Their rows stay, and the next mount reclaims them.
    if (answer === 'never') this.#forgetAll();
    if (this.#queue.length === 0 && this.#leftovers.upTo === 0) return;
    if (answer === 'later') setTimeout(() => this.#schedule(), RETRY_MS).unref();
    else this.#schedule();
  }

  /** Looks before a change is announced, which brings on a commit: most walks find nothing to give back. */
  #findsWork(): boolean {
    // To list them writes the rows that are new, of a batch that has changes anyway.
    const isNew = this.#metastore.orphans.dirtyCount > 0;
    if (this.#queue.length === 0 && !isNew) this.#queueRows();
    return this.#queue.length > 0 || isNew;
  }

  #forgetAll(): void {
    this.#queue.length = 0;
    this.#leftovers = { after: 0, upTo: 0 };
  }

  /** Some of the work: bounded, so that requests are answered in between. */
  #turn(): void {
    let segments = SEGMENTS_PER_TURN;
    while (segments > 0) {
      if (this.#queue.length === 0) this.#queueRows();
      const ino = this.#queue[0];
      if (ino === undefined) return;
      if (!this.#reclaim(ino, segments)) return;
      this.#queue.shift();
      segments -= 1;
    }
  }

  /** Begins with the rows that an earlier mount left; nothing is open on those. */
  reclaimLeftovers(): void {
    this.#leftovers = { after: 0, upTo: this.#metastore.counters.nextIno };
    this.#schedule();
  }

  #queueRows(): void {
    const { after, upTo } = this.#leftovers;
    if (upTo === 0) return;
    const rows = this.#metastore.orphans.list(after, ROWS_PER_QUERY);
    const old = rows.filter((ino) => ino < upTo && !this.#orphans.has(ino));
    this.#queue.push(...old);
    this.#leftovers = { after: rows.at(-1) ?? upTo, upTo: rows.length === 0 ? 0 : upTo };
  }

  /**
   * Resolves when nothing waits to be reclaimed, or nobody waits for that any more; `commit` is called
   * whenever much has changed.
   */
  async reclaimAll(commit: () => Promise<void>, isCancelled = (): boolean => false): Promise<void> {
    this.reclaimLeftovers();
    do {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.#metastore.chunks.changeCount > CHANGES_PER_COMMIT) await commit();
    } while (this.#isScheduled && !isCancelled());
  }

  /**
   * Takes whole segments of a large file out of it, to be given back in turns like those of a removed
   * file: doing it at once would stop the daemon for seconds and take memory for every chunk.
   */
  takeSegments(inode: Inode, segments: { readonly first: number; readonly last: number }): void {
    const { inodes, extents, orphans } = this.#metastore;
    const orphan = inodes.create(FileType.REGULAR | 0o600);
    inodes.resize(orphan, inode.size);
    orphans.insert(orphan.ino);
    extents.move(inode, orphan, segments);
    this.#queue.push(orphan.ino);
    this.#schedule();
  }

  /** Nothing is given back any more: the next mount goes on. */
  stop(): void {
    this.#isStopped = true;
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
    if (isHeld(inode, content)) return true;
    if (content !== undefined) {
      this.#contents.discard(content);
      this.#ingest.noteDiscarded(content);
    }
    if (inode.isRegular && !extents.removeFrom(inode, 0, segmentsMax)) return false;
    if ((inode.flags & HAS_XATTRS) !== 0) xattrs.deleteAll(ino);
    if (inode.type === FileType.SYMLINK) symlinks.delete(ino);
    orphans.delete(ino);
    inodes.delete(inode);
    return true;
  }
}

/** Opened once more since it was queued, by its handle (open_by_handle_at): the next gc takes it. */
function isHeld(inode: Inode, content: FileContent | undefined): boolean {
  if (content === undefined) return inode.pins > 0;
  return content.handles > 0 || inode.pins > 1;
}
