// Reads a whole tree out of an open store and compares it with the one that was copied there: names,
// types, modes, contents, targets of symlinks. What damage may give is EIO, and nothing else.

import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { DedupfsError, describeError } from '../../lib/errors.ts';
import { ROOT_INO, type Attributes, type Ino } from '../../lib/filesystem/contract.ts';
import type { FileSystemDriver } from './filesystem-driver.ts';

/** What is there, by path: type, mode, and the hash of a file or the target of a symlink. */
export type ExpectedTree = Readonly<Record<string, string>>;

export interface ReadReport {
  /** Names that were read in full, and right. */
  readonly right: number;
  /** Read, and not what was written: what must never be. */
  readonly wrong: readonly string[];
  /** Refused with EIO. */
  readonly unreadable: readonly string[];
}

const TYPE_BITS = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const SYMLINK = 0o120000;

/** A tree of the host, as it must be read from a store. */
export function expectTree(root: string): ExpectedTree {
  const expected: Record<string, string> = {};
  const pending = readdirSync(root);
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const absolute = join(root, path);
    const { mode } = lstatSync(absolute);
    const type = mode & TYPE_BITS;
    if (type === DIRECTORY) {
      for (const name of readdirSync(absolute)) pending.push(`${path}/${name}`);
    }
    const isFile = type === REGULAR;
    const content = isFile
      ? readFileSync(absolute)
      : type === SYMLINK
        ? readlinkSync(absolute)
        : '';
    expected[path] = factOf(mode, content);
  }
  return expected;
}

function factOf(mode: number, content: Uint8Array | string): string {
  return `${mode.toString(8)} ${createHash('sha256').update(content).digest('hex')}`;
}

export async function readTree(
  driver: FileSystemDriver,
  expected: ExpectedTree,
): Promise<ReadReport> {
  const reader = new Reader(driver, expected);
  await reader.readAll();
  const { right, wrong, unreadable } = reader;
  return { right, wrong, unreadable };
}

class Reader {
  readonly wrong: string[] = [];
  readonly unreadable: string[] = [];
  right = 0;
  readonly #driver: FileSystemDriver;
  readonly #expected: ExpectedTree;
  readonly #seen = new Set<string>();
  /** Directories whose names cannot be known. */
  readonly #unlisted: string[] = [];

  constructor(driver: FileSystemDriver, expected: ExpectedTree) {
    this.#driver = driver;
    this.#expected = expected;
  }

  async readAll(): Promise<void> {
    await this.#readFolder('', ROOT_INO);
    for (const path of Object.keys(this.#expected)) {
      const isHidden = this.#unlisted.some((folder) => path.startsWith(folder));
      if (!this.#seen.has(path) && !isHidden) this.wrong.push(`${path} is missing`);
    }
  }

  async #readFolder(prefix: string, ino: Ino): Promise<void> {
    const names = await this.#orUnreadable(prefix, () => this.#driver.list(ino));
    if (names === undefined) {
      this.#unlisted.push(prefix);
      return;
    }
    for (const name of names) await this.#readName(prefix, name, ino);
  }

  async #readName(prefix: string, name: string, parent: Ino): Promise<void> {
    const path = `${prefix}${name}`;
    this.#seen.add(path);
    const failures = this.unreadable.length;
    const attributes = await this.#orUnreadable(path, () => this.#driver.find(name, parent));
    if (attributes === undefined) {
      this.#unlisted.push(`${path}/`);
      if (this.unreadable.length === failures) this.wrong.push(`${path} is listed, not found`);
      return;
    }
    const content = await this.#orUnreadable(path, async () =>
      this.#contentOf(name, attributes, parent),
    );
    if (content === undefined) return;
    const fact = factOf(attributes.mode, content);
    if (fact === this.#expected[path]) this.right += 1;
    else this.wrong.push(`${path} is ${fact}, not ${this.#expected[path] ?? 'there'}`);
    if ((attributes.mode & TYPE_BITS) === DIRECTORY) {
      await this.#readFolder(`${path}/`, attributes.ino);
    }
  }

  async #contentOf(name: string, { mode, ino }: Attributes, parent: Ino): Promise<Buffer | string> {
    const type = mode & TYPE_BITS;
    if (type === REGULAR) return this.#driver.get(name, parent);
    return type === SYMLINK ? this.#driver.fs.readLink(ino) : '';
  }

  async #orUnreadable<T>(path: string, call: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await call();
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
