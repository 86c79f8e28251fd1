// Drives a FileSystem the way the dispatcher does: changes wait for the gate, payloads lie in slabs.
// Names are given as text; everything happens as root in the root directory unless said otherwise.

import {
  PAYLOAD_BYTES_MAX,
  PAYLOAD_OFFSET,
  type Slab,
  type SlabPool,
} from '../../lib/slab-pool.ts';
import {
  ROOT_INO,
  type AttributeChanges,
  type Attributes,
  type FileHandle,
  type FileSystem,
  type Ino,
  type Opened,
} from '../../lib/filesystem/contract.ts';

export const CALLER = { uid: 0, gid: 0, pid: 1 };
export const O_APPEND = 0o2000;
export const O_TRUNC = 0o1000;
export const KEEP_SIZE = 1;
export const PUNCH_HOLE = 2;
export const ZERO_RANGE = 0x10;

const OPEN = { flags: 0 };
const CREATE = { mode: 0o100644, umask: 0o022, ...OPEN };
const READ_BYTES_MAX = 1024 * 1024;

export interface OpenedFile {
  readonly ino: Ino;
  readonly fh: FileHandle;
}

export class FileSystemDriver {
  readonly fs: FileSystem;
  readonly #pool: SlabPool;

  constructor(fs: FileSystem, pool: SlabPool) {
    this.fs = fs;
    this.#pool = pool;
  }

  /** Runs a change once the gate is open. */
  async change<T>(work: (fs: FileSystem) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.fs.gate.whenOpen(() => {
        try {
          resolve(work(this.fs));
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }

  async create(name: string, parent: Ino = ROOT_INO): Promise<OpenedFile> {
    const opened = await this.change((fs) => fs.create(parent, Buffer.from(name), CREATE, CALLER));
    return { ino: opened.attributes.ino, fh: opened.fh };
  }

  async makeTemporary(): Promise<OpenedFile> {
    const opened: Opened = await this.change((fs) => fs.makeTemporary(ROOT_INO, CREATE, CALLER));
    return { ino: opened.attributes.ino, fh: opened.fh };
  }

  async makeDirectory(name: string, parent: Ino = ROOT_INO): Promise<Ino> {
    const create = { mode: 0o755, umask: 0o022 };
    const made = await this.change((fs) => {
      return fs.makeDirectory(parent, Buffer.from(name), create, CALLER);
    });
    return made.ino;
  }

  /** Undefined when there is no such name. */
  find(name: string, parent: Ino = ROOT_INO): Attributes | undefined {
    return this.fs.lookup(parent, Buffer.from(name));
  }

  /** @throws Error when there is no such name */
  stat(name: string, parent: Ino = ROOT_INO): Attributes {
    const attributes = this.find(name, parent);
    if (attributes === undefined) throw new Error(`no file ${name}`);
    return attributes;
  }

  async open(name: string, flags = 0, parent: Ino = ROOT_INO): Promise<OpenedFile> {
    const { ino } = this.stat(name, parent);
    const { fh } = await this.change((fs) => fs.open(ino, { flags: flags & ~O_TRUNC }));
    // As the kernel does it.
    if ((flags & O_TRUNC) !== 0) await this.truncate(ino, 0);
    return { ino, fh };
  }

  /** Writes all bytes in payloads of at most `payloadBytes`, waiting for slabs. */
  async write(
    fh: FileHandle,
    offset: number,
    bytes: Uint8Array,
    options: { readonly flags?: number; readonly payloadBytes?: number } = {},
  ): Promise<void> {
    const { flags = 0, payloadBytes = PAYLOAD_BYTES_MAX } = options;
    for (let done = 0; done < bytes.length; done += payloadBytes) {
      const part = bytes.subarray(done, done + payloadBytes);
      const slab = await this.#slab();
      slab.bytes.set(part, PAYLOAD_OFFSET);
      const payload = { slab, offset: PAYLOAD_OFFSET, bytes: part.length };
      const write = { offset: offset + done, flags, killSuidgid: false };
      try {
        await this.change((fs) => fs.write(fh, payload, write, CALLER));
      } finally {
        slab.release();
      }
    }
  }

  async #slab(): Promise<Slab> {
    for (;;) {
      const slab = this.#pool.acquire();
      if (slab !== undefined) return slab;
      await new Promise<void>((resolve) => this.#pool.whenFree(resolve));
    }
  }

  /** What read(2) gives, asked for in pieces as the kernel does. */
  async read(fh: FileHandle, offset: number, bytes: number): Promise<Buffer> {
    const into = Buffer.alloc(bytes, 0xee);
    let done = 0;
    while (done < bytes) {
      const part = into.subarray(done, Math.min(bytes, done + READ_BYTES_MAX));
      const count = await this.fs.read(fh, offset + done, part, false);
      done += count;
      if (count < part.length) break;
    }
    return into.subarray(0, done);
  }

  async allocate(
    fh: FileHandle,
    range: { readonly offset: number; readonly bytes: number },
    mode: number,
  ): Promise<void> {
    await this.change((fs) => fs.allocate(fh, range.offset, range.bytes, mode));
  }

  async setAttributes(ino: Ino, changes: AttributeChanges): Promise<Attributes> {
    return this.change((fs) => fs.setAttributes(ino, changes, CALLER));
  }

  async truncate(ino: Ino, size: number): Promise<void> {
    await this.setAttributes(ino, { size });
  }

  /** A stored xattr. */
  getXattr(ino: Ino, name: Uint8Array): Buffer {
    const { signal } = new AbortController();
    const value = this.fs.getXattr(ino, Buffer.from(name), {
      ...CALLER,
      signal,
      wantsLength: false,
    });
    if (value instanceof Promise) throw new Error('that xattr is not stored');
    return value;
  }

  release(fh: FileHandle): void {
    this.fs.release(fh);
  }

  /** Creates a file with this content and closes it. */
  async put(name: string, content: Uint8Array, parent: Ino = ROOT_INO): Promise<Ino> {
    const file = await this.create(name, parent);
    await this.write(file.fh, 0, content);
    this.release(file.fh);
    return file.ino;
  }

  /** The whole content of a file. */
  async get(name: string, parent: Ino = ROOT_INO): Promise<Buffer> {
    const { ino, fh } = await this.open(name, 0, parent);
    try {
      return await this.read(fh, 0, this.fs.getAttributes(ino).size);
    } finally {
      this.release(fh);
    }
  }

  /** What the kernel does when it drops an inode: all lookups of it go back at once. */
  forget(ino: Ino): void {
    this.fs.forget(ino, Number.MAX_SAFE_INTEGER);
  }

  /** Removes a name, and as the kernel does when nothing holds the inode, forgets it. */
  async remove(name: string, parent: Ino = ROOT_INO): Promise<void> {
    const { ino } = this.stat(name, parent);
    await this.change((fs) => {
      fs.unlink(parent, Buffer.from(name));
    });
    this.forget(ino);
  }

  async rename(from: string, to: string, flags = 0): Promise<void> {
    await this.change((fs) => {
      const names = [from, to].map((name) => ({ parent: ROOT_INO, name: Buffer.from(name) }));
      const [source, target] = names;
      if (source !== undefined && target !== undefined) fs.rename(source, target, flags, CALLER);
    });
  }

  /** Copies by reference until all is copied, as `cp` does. */
  async copy(
    from: { readonly ino: Ino; readonly offset: number },
    to: { readonly ino: Ino; readonly offset: number },
    bytes: number,
  ): Promise<number> {
    return this.fs.copyRange({ from, to, bytes });
  }

  /** Names in a directory, in the order in which they are listed, without `.` and `..`. */
  list(ino: Ino = ROOT_INO): string[] {
    const names: string[] = [];
    const { fh } = this.fs.openDirectory(ino);
    this.fs.readDirectory(fh, { cookie: 2, era: 0 }, false, ({ name }) => {
      names.push(Buffer.from(name).toString());
      return true;
    });
    this.fs.releaseDirectory(fh);
    return names;
  }
}
