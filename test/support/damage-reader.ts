// Child process of the damage campaign: opens a store, lists its whole tree, reads every file and
// compares. A crash of this process is what the campaign must see, so it is one of its own.
//
// Arguments: store, file with the manifest as JSON ({ path: sha256 }). Prints a ReadReport.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DedupfsError, describeError } from '../../lib/errors.ts';
import { ROOT_INO, type Ino } from '../../lib/filesystem/contract.ts';
import { silentLog } from '../../lib/log.ts';
import { SlabPool } from '../../lib/slab-pool.ts';
import { openStore } from '../../lib/store/store.ts';
import { FileSystemDriver } from './filesystem-driver.ts';

export interface ReadReport {
  /** Why the store could not be opened. */
  readonly refused: string | undefined;
  /** The reason is one for the user, not an error of a library. */
  readonly isRefusedClearly: boolean;
  /** Files and directories that were read in full, and right. */
  readonly right: number;
  /** Read, and not what was written: what must never be. */
  readonly wrong: readonly string[];
  /** Refused with EIO. */
  readonly unreadable: readonly string[];
}

const SLABS = 4;
const TYPE_BITS = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;

class Reader {
  readonly wrong: string[] = [];
  readonly unreadable: string[] = [];
  right = 0;
  readonly #driver: FileSystemDriver;
  readonly #manifest: Readonly<Record<string, string>>;
  readonly #seen = new Set<string>();
  /** Directories whose names cannot be known. */
  readonly #unlisted: string[] = [];

  constructor(driver: FileSystemDriver, manifest: Readonly<Record<string, string>>) {
    this.#driver = driver;
    this.#manifest = manifest;
  }

  async readAll(): Promise<void> {
    await this.#readFolder('', ROOT_INO);
    for (const path of Object.keys(this.#manifest)) {
      const isHidden = this.#unlisted.some((folder) => path.startsWith(folder));
      if (!this.#seen.has(path) && !isHidden) this.wrong.push(`${path} is missing`);
    }
  }

  async #readFolder(prefix: string, ino: Ino): Promise<void> {
    const names = this.#orUnreadable(prefix, () => this.#driver.list(ino));
    if (names === undefined) {
      this.#unlisted.push(prefix);
      return;
    }
    this.right += 1;
    for (const name of names) await this.#readName(prefix, name, ino);
  }

  async #readName(prefix: string, name: string, parent: Ino): Promise<void> {
    const path = `${prefix}${name}`;
    const failures = this.unreadable.length;
    const attributes = this.#orUnreadable(path, () => this.#driver.find(name, parent));
    if (attributes === undefined) {
      this.#seen.add(path);
      this.#unlisted.push(`${path}/`);
      if (this.unreadable.length === failures) this.wrong.push(`${path} is listed, not found`);
      return;
    }
    const type = attributes.mode & TYPE_BITS;
    if (type === DIRECTORY) await this.#readFolder(`${path}/`, attributes.ino);
    else if (type === REGULAR) await this.#readFile(path, name, parent);
  }

  async #readFile(path: string, name: string, parent: Ino): Promise<void> {
    this.#seen.add(path);
    try {
      const content = await this.#driver.get(name, parent);
      const hash = createHash('sha256').update(content).digest('hex');
      if (hash === this.#manifest[path]) this.right += 1;
      else this.wrong.push(`${path} is ${hash}, not ${this.#manifest[path] ?? 'there'}`);
    } catch (error) {
      this.#noteFailure(path, error);
    }
  }

  #orUnreadable<T>(path: string, call: () => T): T | undefined {
    try {
      return call();
    } catch (error) {
      this.#noteFailure(path, error);
      return undefined;
    }
  }

  /** EIO is what damage must give; a name that is not found, or any other answer, is a wrong one. */
  #noteFailure(path: string, error: unknown): void {
    // The dispatcher answers EIO for whatever is not one of our errors.
    const { errno = 5 } = error as { errno?: number };
    const isEio = !(error instanceof DedupfsError) || errno === 5;
    if (isEio) this.unreadable.push(path);
    else this.wrong.push(`${path}: ${describeError(error)}`);
  }
}

async function read(path: string, manifestPath: string): Promise<ReadReport> {
  const manifest = JSON.parse(readFileSync(manifestPath, 'utf8')) as Record<string, string>;
  const pool = new SlabPool(SLABS);
  const options = { create: false, background: false, pool, log: silentLog() };
  const opened = await openStore(path, options).catch((error: unknown) => error as Error);
  if (opened instanceof Error) {
    const isRefusedClearly = opened instanceof DedupfsError;
    const refused = describeError(opened);
    return { refused, isRefusedClearly, right: 0, wrong: [], unreadable: [] };
  }
  const reader = new Reader(new FileSystemDriver(opened.filesystem, pool), manifest);
  await reader.readAll();
  // What cannot be committed on a damaged store is not what this is about.
  await opened.close().catch(() => undefined);
  const { right, wrong, unreadable } = reader;
  return { refused: undefined, isRefusedClearly: false, right, wrong, unreadable };
}

const [path = '', manifestPath = ''] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await read(path, manifestPath)));
