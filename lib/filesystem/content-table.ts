// The contents of files that are in use: one FileContent for each inode that is open or has bytes
// in memory. While it exists it pins its inode.

import type { Inode, InodeNumber } from '../metastore/inodes.ts';
import { FileContent, type ContentParts } from './file-content.ts';

export class ContentTable {
  readonly #contents = new Map<InodeNumber, FileContent>();
  readonly #parts: ContentParts;

  constructor(parts: ContentParts) {
    this.#parts = parts;
  }

  /** The file's content; call `release` when done if it may have become idle. */
  open(inode: Inode): FileContent {
    let content = this.#contents.get(inode.ino);
    if (content === undefined) {
      content = new FileContent(inode, this.#parts);
      inode.pins += 1;
      this.#contents.set(inode.ino, content);
    }
    return content;
  }

  find(ino: InodeNumber): FileContent | undefined {
    return this.#contents.get(ino);
  }

  /** Forgets the content if nothing needs it. */
  release(content: FileContent): void {
    if (content.handles > 0 || !content.isSettled) return;
    if (this.#contents.get(content.inode.ino) !== content) return;
    this.#contents.delete(content.inode.ino);
    content.inode.pins -= 1;
  }

  /** Ingest failed: what is in memory cannot be stored, and its slabs are needed to answer reads. */
  loseAll(): void {
    for (const content of this.#contents.values()) content.lose();
  }

  /** The file is being deleted: drops what is in memory. */
  discard(content: FileContent): void {
    content.discard();
    this.release(content);
  }
}
