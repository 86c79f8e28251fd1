// Open files and directories by their number.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import type { Inode } from '../metastore/inodes.ts';
import type { FileHandle } from './contract.ts';
import type { Access, FileContent } from './file-content.ts';
import type { OpenDirectory } from './priming.ts';
import type { ReadStream } from './read-stream.ts';

export interface OpenFile {
  readonly inode: Inode;
  readonly content: FileContent;
  /** Whether reads through it set the access time. */
  readonly notesAccess: boolean;
  readonly access: Access;
  readonly stream: ReadStream;
}

export class HandleTable {
  readonly #files = new Map<FileHandle, OpenFile>();
  readonly #directories = new Map<FileHandle, OpenDirectory>();
  #next = 1;

  get openFiles(): number {
    return this.#files.size;
  }

  addFile(file: OpenFile): FileHandle {
    const fh = this.#take();
    this.#files.set(fh, file);
    return fh;
  }

  addDirectory(inode: Inode): FileHandle {
    const fh = this.#take();
    inode.pins += 1;
    this.#directories.set(fh, { inode, primed: 0, begun: undefined });
    return fh;
  }

  #take(): FileHandle {
    const fh = this.#next as FileHandle;
    this.#next += 1;
    return fh;
  }

  /** @throws EBADF */
  file(fh: FileHandle): OpenFile {
    const file = this.#files.get(fh);
    if (file === undefined) throw posixError(Errno.EBADF);
    return file;
  }

  /** @throws EBADF */
  directory(fh: FileHandle): OpenDirectory {
    const directory = this.#directories.get(fh);
    if (directory === undefined) throw posixError(Errno.EBADF);
    return directory;
  }

  removeFile(fh: FileHandle): OpenFile | undefined {
    const file = this.#files.get(fh);
    this.#files.delete(fh);
    return file;
  }

  removeDirectory(fh: FileHandle): OpenDirectory | undefined {
    const directory = this.#directories.get(fh);
    if (directory !== undefined) directory.inode.pins -= 1;
    this.#directories.delete(fh);
    return directory;
  }
}
