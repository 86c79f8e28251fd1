// Inodes: the in-memory objects and their rows. Changes are made on the object and written once per
// commit, so create + write + chmod + utimes + rename of a file cost one row.

import type Database from 'better-sqlite3';
import { assert, expectDefined } from '../assert.ts';
import { CacheCounts } from '../cache-counts.ts';
import { BLOCK_BYTES } from './coverage.ts';
import { LOGICAL_UNIT, type Counters } from './counters.ts';
import type { StatementSource } from './database.ts';

/** Inode number; the same number the filesystem layer brands as Ino. */
export type InodeNumber = number;

export const FileType = {
  MASK: 0o170000,
  SOCKET: 0o140000,
  SYMLINK: 0o120000,
  REGULAR: 0o100000,
  BLOCK_DEVICE: 0o060000,
  DIRECTORY: 0o040000,
  CHARACTER_DEVICE: 0o020000,
  FIFO: 0o010000,
} as const;

/** inode.flags bit 0: the inode has at least one xattr. */
export const HAS_XATTRS = 1;

/** Bound on inodes kept in memory, at about 400 bytes each. */
const CACHED_INODES_MAX = 32 * 1024;

/**
 * Inodes looked at to make room for one. A request loads a few hundred at most: in that time the hand
 * does not come round to the recent ones in its hands a second time.
 */
const STEPS_MAX = 64;

export class Inode {
  readonly ino: InodeNumber;
  mode = 0;
  uid = 0;
  gid = 0;
  nlink = 0;
  size = 0;
  /** Bytes that extents cover, and the blocks these touch. */
  mapped = 0;
  blocks = 0;
  rdev = 0;
  parent = 0;
  flags = 0;
  atimeSec = 0;
  atimeNsec = 0;
  mtimeSec = 0;
  mtimeNsec = 0;
  ctimeSec = 0;
  ctimeNsec = 0;
  btimeSec = 0;
  btimeNsec = 0;
  /** Changed since its row was written; set through InodeTable.touch. */
  isDirty = false;
  /** Asked for since the hand of the cache passed it. */
  isRecent = false;
  /** Users that hold the object (open handles, file contents): it must not leave memory. */
  pins = 0;

  constructor(ino: InodeNumber) {
    this.ino = ino;
  }

  get type(): number {
    return this.mode & FileType.MASK;
  }

  get isDirectory(): boolean {
    return this.type === FileType.DIRECTORY;
  }

  get isRegular(): boolean {
    return this.type === FileType.REGULAR;
  }
}

type Row = [
  mode: number,
  uid: number,
  gid: number,
  nlink: number,
  size: number,
  holes: number,
  extraBlocks: number,
  rdev: number,
  parent: number,
  flags: number,
  atime: number,
  atimeNsec: number,
  mtime: number,
  mtimeNsec: number,
  ctime: number,
  ctimeNsec: number,
  age: number,
  ageNsec: number,
];

/** As stored; see schema.ts for why some are differences. */
const COLUMNS =
  'mode, uid, gid, nlink, size, holes, extra_blocks, rdev, parent, flags, atime, atime_nsec, ' +
  'mtime, mtime_nsec, ctime, ctime_nsec, age, age_nsec';

export class InodeTable {
  readonly #counters: Counters;
  readonly #select: Database.Statement;
  readonly #replace: Database.Statement;
  readonly #delete: Database.Statement;
  readonly #cache = new Map<InodeNumber, Inode>();
  /** Inodes that were in memory when they were asked for. */
  readonly counts = new CacheCounts();
  /** Where the search for one that may leave memory goes on. */
  #hand: IterableIterator<Inode> | undefined;
  readonly #dirty = new Set<Inode>();

  constructor(connection: StatementSource, counters: Counters) {
    this.#counters = counters;
    this.#select = connection.prepare(`SELECT ${COLUMNS} FROM inode WHERE ino = ?`).raw();
    this.#replace = connection.prepare(
      `INSERT OR REPLACE INTO inode (ino, ${COLUMNS}) VALUES (?${', ?'.repeat(18)})`,
    );
    this.#delete = connection.prepare('DELETE FROM inode WHERE ino = ?');
  }

  /** The inode's one object; undefined when there is no such inode. */
  get(ino: InodeNumber): Inode | undefined {
    const known = this.#cache.get(ino);
    if (known !== undefined) {
      known.isRecent = true;
      this.counts.hits += 1;
      return known;
    }
    this.counts.misses += 1;
    const row = this.#select.get(ino) as Row | undefined;
    if (row === undefined) return undefined;
    const inode = fromRow(ino, row);
    this.#keep(inode);
    return inode;
  }

  /** A new inode with a fresh number, counted by the type in `mode`. */
  create(mode: number): Inode {
    const inode = new Inode(this.#counters.nextIno);
    this.#counters.nextIno += 1;
    inode.mode = mode;
    this.#count(inode, 1);
    this.touch(inode);
    this.#keep(inode);
    return inode;
  }

  /** Says that the object was changed. */
  touch(inode: Inode): void {
    if (inode.isDirty) return;
    inode.isDirty = true;
    this.#dirty.add(inode);
  }

  /** Changes the size, keeping the store's total of logical bytes. */
  resize(inode: Inode, size: number): void {
    if (inode.isRegular) {
      this.#countBytes(inode.size, -1);
      this.#countBytes(size, 1);
    }
    inode.size = size;
    this.touch(inode);
  }

  delete(inode: Inode): void {
    assert(inode.pins === 0, 'an inode in use cannot be deleted');
    if (inode.isRegular) this.#countBytes(inode.size, -1);
    this.#count(inode, -1);
    this.#cache.delete(inode.ino);
    this.#dirty.delete(inode);
    this.#delete.run(inode.ino);
  }

  get dirtyCount(): number {
    return this.#dirty.size;
  }

  /** Writes the changed objects to the batch. */
  flush(): void {
    // In the order of the table: new rows then fill its pages to the brim.
    const inOrder = [...this.#dirty].sort((left, right) => left.ino - right.ino);
    for (const inode of inOrder) this.#write(inode);
    this.#dirty.clear();
  }

  #write(inode: Inode): void {
    inode.isDirty = false;
    this.#replace.run(inode.ino, ...toRow(inode));
  }

  #keep(inode: Inode): void {
    inode.isRecent = true;
    this.#cache.set(inode.ino, inode);
    let excess = this.#cache.size - CACHED_INODES_MAX;
    // An iterator that rests keeps alive what the Map has outgrown since.
    if (excess <= 0) this.#hand = undefined;
    for (let step = 0; step < STEPS_MAX && excess > 0; step += 1) {
      const next = this.#advance();
      if (next.pins === 0 && !next.isRecent) {
        this.#drop(next);
        excess -= 1;
      }
      next.isRecent = false;
    }
  }

  /** The inode that the hand points to; it goes round, and sees what was added behind it. */
  #advance(): Inode {
    this.#hand ??= this.#cache.values();
    let { value } = this.#hand.next() as IteratorResult<Inode, undefined>;
    if (value === undefined) {
      this.#hand = this.#cache.values();
      ({ value } = this.#hand.next() as IteratorResult<Inode, undefined>);
    }
    return expectDefined(value, 'the cache is not empty');
  }

  #drop(inode: Inode): void {
    // Writing a row early is harmless: the batch is one transaction.
    if (inode.isDirty) this.#write(inode);
    this.#dirty.delete(inode);
    this.#cache.delete(inode.ino);
  }

  #countBytes(size: number, by: 1 | -1): void {
    this.#counters.logicalUnits += by * Math.floor(size / LOGICAL_UNIT);
    this.#counters.logicalRest += by * (size % LOGICAL_UNIT);
  }

  #count(inode: Inode, by: 1 | -1): void {
    if (inode.isRegular) this.#counters.files += by;
    else if (inode.isDirectory) this.#counters.directories += by;
    else this.#counters.otherInodes += by;
  }
}

function fromRow(ino: InodeNumber, row: Row): Inode {
  const inode = new Inode(ino);
  const [holes, extraBlocks, age, ageNsec] = [row[5], row[6], row[16], row[17]];
  [inode.mode, inode.uid, inode.gid, inode.nlink, inode.size] = row;
  [, , , , , , , inode.rdev, inode.parent, inode.flags, inode.atimeSec, inode.atimeNsec] = row;
  inode.mtimeSec = row[12];
  inode.mtimeNsec = row[13];
  inode.ctimeSec = row[14];
  inode.ctimeNsec = row[15];
  inode.mapped = inode.size - holes;
  inode.blocks = Math.ceil(inode.mapped / BLOCK_BYTES) + extraBlocks;
  inode.btimeSec = inode.ctimeSec - age;
  inode.btimeNsec = inode.ctimeNsec - ageNsec;
  return inode;
}

function toRow(inode: Inode): Row {
  return [
    inode.mode,
    inode.uid,
    inode.gid,
    inode.nlink,
    inode.size,
    inode.size - inode.mapped,
    inode.blocks - Math.ceil(inode.mapped / BLOCK_BYTES),
    inode.rdev,
    inode.parent,
    inode.flags,
    inode.atimeSec,
    inode.atimeNsec,
    inode.mtimeSec,
    inode.mtimeNsec,
    inode.ctimeSec,
    inode.ctimeNsec,
    inode.ctimeSec - inode.btimeSec,
    inode.ctimeNsec - inode.btimeNsec,
  ];
}
