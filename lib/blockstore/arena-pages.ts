// An arena's file, read page by page with pread: a disk that cannot read is an error of that read, where
// LMDB's map of the file would end the process with SIGBUS.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { CorruptionError, describeError } from '../errors.ts';
import {
  META_BYTES,
  META_PAGES,
  overflowPagesAt,
  PAGE_HEADER_BYTES,
  parseMeta,
  parseNodePage,
} from './lmdb-page.ts';
import type { Meta, NodePage, Tree, Value } from './lmdb-page.ts';

export class ArenaPages {
  readonly path: string;
  readonly #descriptor: number;
  readonly #metaBytes = Buffer.alloc(META_BYTES);

  /** @throws CorruptionError  there is no such file, or it is none */
  constructor(path: string) {
    this.path = path;
    // A FIFO in its place must not hang, a symlink not lead anywhere.
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    try {
      this.#descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
        throw new CorruptionError(`the file ${path} is missing`);
      }
      throw new CorruptionError(`${path} cannot be opened`, { cause });
    }
    if (fstatSync(this.#descriptor).isFile()) return;
    closeSync(this.#descriptor);
    throw new CorruptionError(`${path} is not a file`);
  }

  get fileBytes(): number {
    return fstatSync(this.#descriptor).size;
  }

  /**
   * Fills `into` from `offset` of the file.
   * @throws CorruptionError  the file ends before, or the disk cannot read; the cause has its `code`
   */
  read(into: Buffer, offset: number): void {
    let bytes = 0;
    while (bytes < into.length) {
      const more = this.#readSome(into, bytes, offset + bytes);
      if (more === 0) throw new CorruptionError(`${this.path} ends at ${offset + bytes}`);
      bytes += more;
    }
  }

  #readSome(into: Buffer, start: number, offset: number): number {
    try {
      return readSync(this.#descriptor, into, start, into.length - start, offset);
    } catch (cause) {
      throw new CorruptionError(
        `${this.path} cannot be read at ${offset}: ${describeError(cause)}`,
        { cause },
      );
    }
  }

  /** Both metas; undefined where there is none. The second one is looked for where the first says. */
  metas(): readonly (Meta | undefined)[] {
    const first = this.#meta(0);
    if (first !== undefined) return [first, this.#meta(first.pageBytes)];
    for (let bytes = 4096; bytes <= 65_536; bytes *= 2) {
      const second = this.#meta(bytes);
      if (second?.pageBytes === bytes) return [undefined, second];
    }
    return [undefined, undefined];
  }

  #meta(offset: number): Meta | undefined {
    try {
      this.read(this.#metaBytes, offset);
      return parseMeta(this.#metaBytes);
    } catch (error) {
      // Cut off: the other one may be there. One that the disk cannot read now may be the newest: without
      // it the packs of its commit would look lost.
      if (error instanceof CorruptionError && error.cause === undefined) return undefined;
      throw error;
    }
  }

  /** The last commit's meta, or that of the one before when its own is damaged. @throws CorruptionError */
  newestMeta(): Meta {
    const metas = this.metas().filter((meta, index) => {
      return meta !== undefined && meta.transaction % META_PAGES === index % META_PAGES;
    });
    const [first, second] = metas;
    if (first === undefined) throw new CorruptionError(`${this.path} is not an LMDB file`);
    return second !== undefined && second.transaction > first.transaction ? second : first;
  }

  /** A branch or leaf page. @throws CorruptionError  it is damaged or cannot be read */
  nodePage(meta: Meta, number: number, tree: Tree['name']): NodePage {
    const page = Buffer.allocUnsafe(meta.pageBytes);
    this.read(page, number * meta.pageBytes);
    return parseNodePage(page, { number, tree, ...meta });
  }

  /** @throws CorruptionError  the header of a value's first overflow page, which LMDB goes by to free it */
  checkOverflow(meta: Meta, { firstPage, pages }: Value): void {
    if (pages === 0) return;
    const header = Buffer.allocUnsafe(PAGE_HEADER_BYTES);
    this.read(header, firstPage * meta.pageBytes);
    if (overflowPagesAt(header, firstPage, meta.transaction) === pages) return;
    throw new CorruptionError(`page ${firstPage} of ${this.path} is damaged: its header`);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
