// Directory entries: (parent, name) -> inode. Written straight to the batch.

import type Database from 'better-sqlite3';
import { assert } from '../assert.ts';
import type { InodeNumber } from './inodes.ts';
import type { StatementSource } from './database.ts';

/** Smaller numbers stand for the start of a directory, '.' and '..'. */
export const COOKIE_MIN = 3;

/**
 * Names whose hash is taken get one of the numbers behind it. With 47 bits a collision is met once
 * in about 10 million names of one directory, so the window never fills but on purpose.
 */
const PROBES_MAX = 16;

/** Windows of PROBES_MAX cookies kept in memory, at about 300 bytes each. */
const WINDOWS_KNOWN_MAX = 4096;

export interface Dentry {
  readonly ino: InodeNumber;
  /** S_IFMT bits >> 12. */
  readonly type: number;
}

export type ListedDentry = [name: Buffer, ino: InodeNumber, type: number, cookie: number];

export class DentryTable {
  readonly #window: Database.Statement;
  readonly #insert: Database.Statement;
  readonly #remove: Database.Statement;
  readonly #any: Database.Statement;
  readonly #list: Database.Statement;
  readonly #known = new WindowCache();

  constructor(connection: StatementSource) {
    this.#window = connection
      .prepare(
        'SELECT name, ino, type, cookie FROM dentry ' +
          `WHERE parent = ? AND cookie >= ? AND cookie < ? + ${PROBES_MAX} ORDER BY cookie`,
      )
      .raw();
    this.#insert = connection.prepare(
      'INSERT INTO dentry (parent, cookie, name, ino, type) VALUES (?, ?, ?, ?, ?)',
    );
    this.#remove = connection.prepare('DELETE FROM dentry WHERE parent = ? AND cookie = ?');
    this.#any = connection.prepare('SELECT 1 FROM dentry WHERE parent = ? LIMIT 1').pluck();
    this.#list = connection
      .prepare(
        'SELECT name, ino, type, cookie FROM dentry WHERE parent = ? AND cookie > ? ' +
          'ORDER BY cookie LIMIT ?',
      )
      .raw();
  }

  find(parent: InodeNumber, name: Buffer): Dentry | undefined {
    const entry = entryOf(this.#entriesFrom(parent, nameHash(name)), name);
    return entry === undefined ? undefined : { ino: entry[1], type: entry[2] };
  }

  /** What a lookup would find that has nothing in memory: for fsck. */
  findStored(parent: InodeNumber, name: Buffer): InodeNumber | undefined {
    return entryOf(this.#stored(parent, nameHash(name)), name)?.[1];
  }

  /** The entries whose cookie a name of this hash may have, in order. */
  #entriesFrom(parent: InodeNumber, hash: number): readonly ListedDentry[] {
    const known = this.#known.get(parent, hash);
    if (known !== undefined) return known;
    const entries = this.#stored(parent, hash);
    this.#known.put(parent, hash, entries);
    return entries;
  }

  #stored(parent: InodeNumber, hash: number): ListedDentry[] {
    return this.#window.all(parent, hash, hash) as ListedDentry[];
  }

  /** Whether a name can be inserted: the numbers for its hash are not all taken. */
  hasRoom(parent: InodeNumber, name: Buffer): boolean {
    return this.#entriesFrom(parent, nameHash(name)).length < PROBES_MAX;
  }

  /** The name must not be there yet, and there must be room. */
  insert(parent: InodeNumber, name: Buffer, ino: InodeNumber, mode: number): void {
    const hash = nameHash(name);
    const entries = this.#entriesFrom(parent, hash);
    let cookie = hash;
    while (entries.some((entry) => entry[3] === cookie)) cookie += 1;
    assert(cookie < hash + PROBES_MAX, 'a directory has room for one more name of this hash');
    const type = mode >> 12;
    this.#insert.run(parent, cookie, name, ino, type);
    this.#known.forgetAround(parent, cookie);
    // The caller's bytes are a window on its buffer.
    const entry: ListedDentry = [Buffer.from(name), ino, type, cookie];
    this.#known.put(parent, hash, entries.length === 0 ? [entry] : inOrder([...entries, entry]));
  }

  remove(parent: InodeNumber, name: Buffer): void {
    const hash = nameHash(name);
    const entries = this.#entriesFrom(parent, hash);
    const entry = entryOf(entries, name);
    assert(entry !== undefined, 'a name that is removed exists');
    this.#remove.run(parent, entry[3]);
    this.#known.forgetAround(parent, entry[3]);
    this.#known.put(
      parent,
      hash,
      entries.filter((other) => other !== entry),
    );
  }

  isEmpty(parent: InodeNumber): boolean {
    return this.#any.get(parent) === undefined;
  }

  /** Up to `count` entries after `cookie`, in the order of their cookies. */
  list(parent: InodeNumber, cookie: number, count: number): ListedDentry[] {
    return this.#list.all(parent, cookie, count) as ListedDentry[];
  }
}

function entryOf(entries: readonly ListedDentry[], name: Buffer): ListedDentry | undefined {
  return entries.find((entry) => entry[0].equals(name));
}

function inOrder(entries: ListedDentry[]): ListedDentry[] {
  return entries.sort((left, right) => left[3] - right[3]);
}

/**
 * What was found lately. A name that is made, moved or removed was looked up just before, mostly more
 * than once: here each of these costs one statement. Entries share slots by their hash.
 */
class WindowCache {
  readonly #slots = Array.from<Window | undefined>({ length: WINDOWS_KNOWN_MAX });

  get(parent: InodeNumber, hash: number): readonly ListedDentry[] | undefined {
    const known = this.#slots[slotOf(parent, hash)];
    return known?.parent === parent && known.hash === hash ? known.entries : undefined;
  }

  put(parent: InodeNumber, hash: number, entries: readonly ListedDentry[]): void {
    this.#slots[slotOf(parent, hash)] = { parent, hash, entries };
  }

  /** The entry with this cookie comes or goes: it lies in the windows of all hashes just before. */
  forgetAround(parent: InodeNumber, cookie: number): void {
    for (let hash = cookie - PROBES_MAX + 1; hash <= cookie; hash += 1) {
      const slot = slotOf(parent, hash);
      const known = this.#slots[slot];
      if (known?.parent === parent && known.hash === hash) this.#slots[slot] = undefined;
    }
  }
}

interface Window {
  readonly parent: InodeNumber;
  readonly hash: number;
  readonly entries: readonly ListedDentry[];
}

function slotOf(parent: InodeNumber, hash: number): number {
  return ((parent * 31 + hash) >>> 0) % WINDOWS_KNOWN_MAX;
}

/**
 * Position of a name in its directory, in [COOKIE_MIN, 2^47 + COOKIE_MIN): two rounds of 32-bit
 * FNV-1a with different starts. Part of the format.
 */
export function nameHash(name: Uint8Array): number {
  let low = 0x811c9dc5;
  let high = 0x9747b28c;
  for (const byte of name) {
    low = Math.imul(low ^ byte, 0x01000193);
    high = Math.imul(high ^ byte, 0x85ebca6b);
  }
  // The last bytes have only reached the lower bits: fold them up.
  high ^= high >>> 15;
  high = Math.imul(high, 0xc2b2ae35);
  return ((high >>> 17) & 0x7fff) * 2 ** 32 + (low >>> 0) + COOKIE_MIN;
}
