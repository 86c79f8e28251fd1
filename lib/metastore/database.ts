// The SQLite connection: opening, the batch transaction that is always open, and durability.
//
// A batch begins when the previous one is committed and collects every change until the next
// commit; a crash in between leaves the previous batch (G1). COMMIT writes the WAL without syncing
// it (synchronous=NORMAL); `sync` then runs fdatasync on the WAL file off the main thread. Together
// they are as durable as synchronous=FULL, and the event loop does not wait for the disk.

import { closeSync, existsSync, fdatasync, fstatSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import type Database from 'better-sqlite3';
import { assert } from '../assert.ts';
import { CorruptionError, UserError, ExitCode } from '../errors.ts';
import type { HostRoom } from '../host-room.ts';
import { explainDamage, hasChecksums, openChecked } from './checked-database.ts';
import { SCHEMA } from './schema.ts';
import { WalRoom } from './wal-room.ts';

/** Oldest SQLite with the fix of the WAL-reset bug (DESIGN section 6). */
const SQLITE_VERSION_MIN = [3, 51, 3];
/**
 * How large the WAL must be for a checkpoint: under load it has to wait, and on a full host it has
 * blocks that others need.
 */
const WAL_BYTES_MIN = { loaded: 64 * 1024 * 1024, idle: 1024 * 1024, full: 1 } as const;
/** While the main file is held for a copy the WAL may grow this far, or to a share of the main file. */
const WAL_BYTES_HELD = 256 * 1024 * 1024;
const WAL_SHARE_HELD = 0.25;
/** Free pages are given back to the host above this share of the file; below, they are reused. */
const FREE_SHARE_MAX = 0.1;
/** Given back in one go, 32 MiB: the event loop waits for it. */
const VACUUM_PAGES_MAX = 4096;
const CACHE_BYTES = 16 * 1024 * 1024;
/** A row that changes touches a page of its table and one of an index. */
const PAGES_PER_ROW = 2;
/** Pages that a small batch may touch: counters, and those above the rows' own. */
const BATCH_PAGES_MIN = 64;
/** Rows that may change between two looks at what the batch needs. */
const ROWS_AHEAD = 16;

/** Rows that are held in memory and written by the next commit. */
export interface WaitingRows {
  readonly count: number;
  /** Upper bound of their sizes, with those of their index entries. */
  readonly bytes: number;
}

export type CheckpointTime = keyof typeof WAL_BYTES_MIN;

/** The main file as the last commit left it: nothing writes to it until `release`. */
export interface HeldMainFile {
  /** Open for reading; not to be closed: that would drop SQLite's locks on the file. */
  readonly descriptor: number;
  readonly pageBytes: number;
  readonly pages: number;
  /** The WAL grew too large and went into the main file: what was read of it since is worthless. */
  readonly isLost: boolean;
  release(): void;
}

/** Where the tables get their statements. */
export type StatementSource = Pick<Database.Database, 'prepare'>;

export class MetaDatabase {
  readonly path: string;
  readonly connection: Database.Database;
  /**
   * Called when a statement of a table fails (disk full, I/O error, damage): the operation around it
   * is half done, so the batch must never be committed.
   */
  onFailure: (error: unknown) => void = () => undefined;
  readonly #isReadOnly: boolean;
  /** For copies of the main file; open as long as the connection. */
  #mainDescriptor: number | undefined;
  #held: { walBytesMax: number; isLost: boolean } | undefined;
  #pageBytes = 0;
  #walRoom: WalRoom | undefined;
  /** Upper bound of the rows that the batch has changed, larger ones counted by their pages. */
  #batchRows = 0;
  /** End of the WAL when the batch began. */
  #batchStart = 0;
  /** With so many rows changed, the WAL's blocks are still enough. */
  #securedRows = 0;

  /**
   * Opens, or creates when `create` is set, the database and begins a batch.
   * @throws UserError NO_STORE  the file is missing  @throws CorruptionError  it is damaged
   * @throws Error from SQLite
   */
  constructor(path: string, options: { readonly create: boolean; readonly isReadOnly?: boolean }) {
    this.path = path;
    this.#isReadOnly = options.isReadOnly === true;
    const isNew = !existsSync(path);
    if (isNew && !options.create) {
      throw new UserError(
        ExitCode.NO_STORE,
        'DEDUPFS_NO_METASTORE',
        `the metastore ${path} is missing; 'dedupfs fsck --rebuild ${dirname(path)}' makes it from the last checkpoint`,
      );
    }
    this.connection = openChecked(path, { readonly: this.#isReadOnly });
    try {
      this.#begin(isNew);
    } catch (error) {
      const explained = explainDamage(this.connection, error);
      this.connection.close();
      throw explained;
    }
  }

  #begin(isNew: boolean): void {
    // Before anything looks into the file: otherwise the index of the WAL is a mapped file, which
    // ends the process with SIGBUS on a bad disk and cannot grow on a full one.
    if (!this.#isReadOnly) this.connection.pragma('locking_mode = EXCLUSIVE');
    assertVersion(this.connection);
    if (isNew) this.connection.pragma('page_size = 8192');
    if (isNew) this.connection.pragma('auto_vacuum = INCREMENTAL');
    if (!this.#isReadOnly) {
      this.connection.pragma('journal_mode = WAL');
      this.connection.pragma('synchronous = NORMAL');
    }
    this.connection.pragma('mmap_size = 0');
    this.connection.pragma(`cache_size = ${-CACHE_BYTES / 1024}`);
    this.connection.pragma('temp_store = MEMORY');
    // Checkpoints are made by `checkpoint`, when they disturb least.
    this.connection.pragma('wal_autocheckpoint = 0');
    if (isNew) this.connection.exec(SCHEMA);
    if (!hasChecksums(this.connection)) {
      throw new CorruptionError(`the header of the metastore ${this.path} is damaged`);
    }
    this.#pageBytes = this.connection.pragma('page_size', { simple: true }) as number;
    this.connection.exec(this.#isReadOnly ? 'BEGIN' : 'BEGIN IMMEDIATE');
    if (!this.#isReadOnly) this.#walRoom = new WalRoom(this.path, this.#pageBytes);
    this.#noteBatchBegun();
  }

  /** Statements whose failure is reported to `onFailure` before it is thrown. */
  get statements(): StatementSource {
    const prepare = (sql: string): Database.Statement => this.#guard(this.connection.prepare(sql));
    return { prepare: prepare as Database.Database['prepare'] };
  }

  #guard(statement: Database.Statement): Database.Statement {
    for (const name of ['run', 'get', 'all'] as const) {
      const call = statement[name].bind(statement) as (...values: unknown[]) => unknown;
      const guarded = (...values: unknown[]): unknown => {
        if (!statement.readonly) this.#batchRows += 1 + pagesOf(values, this.#pageBytes);
        try {
          return call(...values);
        } catch (error) {
          const explained = explainDamage(this.connection, error);
          this.onFailure(explained);
          throw explained;
        }
      };
      Object.defineProperty(statement, name, { value: guarded });
    }
    return statement;
  }

  /** Commits the batch and begins the next. Not durable before `sync`. */
  commit(): void {
    try {
      this.connection.exec('COMMIT');
    } finally {
      // SQLite ends the transaction also when the disk is full; what follows must be in one still.
      if (!this.connection.inTransaction) this.connection.exec('BEGIN IMMEDIATE');
      this.#noteBatchBegun();
    }
  }

  #noteBatchBegun(): void {
    this.#batchRows = 0;
    this.#securedRows = 0;
    this.#batchStart = this.walBytes;
  }

  /**
   * Holds blocks ready for everything that this batch can write to the WAL, with the rows that wait
   * in memory.
   * @throws NoSpaceError  the batch must not grow; it may be committed once this succeeds
   */
  secure(waiting: WaitingRows, room: HostRoom): void {
    const walRoom = this.#walRoom;
    const rows = this.#batchRows + waiting.count;
    if (walRoom === undefined || rows <= this.#securedRows) return;
    const ahead = rows + ROWS_AHEAD;
    // Each page goes to the WAL once for each batch, so there cannot be more than the file will have.
    const newPages = Math.ceil((2 * waiting.bytes) / this.#pageBytes);
    const pages = BATCH_PAGES_MIN + Math.min(PAGES_PER_ROW * ahead, this.#pageCount() + newPages);
    // What is not there yet is in SQLite's cache, or will be written by the commit.
    const cached = CACHE_BYTES / this.#pageBytes;
    const unwritten = BATCH_PAGES_MIN + cached + PAGES_PER_ROW * waiting.count;
    const written = walRoom.walBytes;
    const isSmall = walRoom.endOf(this.#batchStart, pages) <= walRoom.endOf(written, unwritten);
    if (isSmall) walRoom.secureWal(this.#batchStart, pages, room);
    else walRoom.secureWal(written, unwritten, room);
    this.#securedRows = ahead;
  }

  /** Bytes by which the next checkpoint makes the main file longer. */
  get growthBytes(): number {
    const bytes = this.#pageCount() * this.#pageBytes;
    return Math.max(0, bytes - (this.#walRoom?.mainBytes ?? bytes));
  }

  #pageCount(): number {
    return this.connection.pragma('page_count', { simple: true }) as number;
  }

  /** Makes all commits so far durable. */
  async sync(): Promise<void> {
    if (this.#walRoom !== undefined) await promisify(fdatasync)(this.#walRoom.walDescriptor);
  }

  get walBytes(): number {
    return this.#walRoom?.walBytes ?? 0;
  }

  /** Size of the main file. */
  get mainBytes(): number {
    return statSync(this.path).size;
  }

  /**
   * Moves the WAL into the main file when it is large enough; call right after a commit. What fails
   * is in the WAL still. @throws NoSpaceError  @throws Error from SQLite
   */
  checkpoint(when: CheckpointTime, room?: HostRoom): void {
    const bytesMin = this.#held === undefined ? WAL_BYTES_MIN[when] : this.#held.walBytesMax;
    if (this.walBytes < (when === 'full' ? WAL_BYTES_MIN.full : bytesMin)) return;
    if (room !== undefined) this.#walRoom?.secureMain(this.#pageCount(), room);
    if (this.#held !== undefined) this.#held.isLost = true;
    this.#held = undefined;
    this.foldWal(when !== 'full');
  }

  /** Moves the WAL into the main file, which is synced. Right after a commit. */
  foldWal(mayVacuum = true): void {
    // A checkpoint cannot run inside the batch, which is empty at this point.
    this.connection.exec('COMMIT');
    try {
      // Freed pages first: the checkpoint then cuts the file off behind what is left.
      if (mayVacuum && this.#freeShare() > FREE_SHARE_MAX) {
        this.connection.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES_MAX})`);
      }
      this.connection.pragma('wal_checkpoint(TRUNCATE)');
      this.#walRoom?.noteTruncated();
    } finally {
      this.connection.exec('BEGIN IMMEDIATE');
      this.#noteBatchBegun();
    }
  }

  /**
   * Moves the WAL into the main file and keeps that as it is. Right after a commit, one at a time.
   * @throws Error from SQLite
   */
  holdMainFile(): HeldMainFile {
    assert(this.#held === undefined, 'one copy of the main file at a time');
    this.foldWal();
    assert(this.walBytes === 0, 'the WAL is empty after a checkpoint');
    this.#mainDescriptor ??= openSync(this.path, 'r');
    const pageBytes = this.connection.pragma('page_size', { simple: true }) as number;
    const pages = fstatSync(this.#mainDescriptor).size / pageBytes;
    const walBytesMax = Math.max(WAL_BYTES_HELD, pages * pageBytes * WAL_SHARE_HELD);
    const held = { walBytesMax, isLost: false };
    this.#held = held;
    return {
      descriptor: this.#mainDescriptor,
      pageBytes,
      pages,
      get isLost() {
        return held.isLost;
      },
      release: () => {
        if (this.#held === held) this.#held = undefined;
      },
    };
  }

  #freeShare(): number {
    const free = this.connection.pragma('freelist_count', { simple: true }) as number;
    return free / Math.max(1, this.#pageCount());
  }

  /** Drops the changes since the last commit and closes. */
  close(): void {
    if (!this.connection.open) return;
    if (this.connection.inTransaction) this.connection.exec('ROLLBACK');
    this.connection.close();
    this.#walRoom?.close();
    if (this.#mainDescriptor !== undefined) closeSync(this.#mainDescriptor);
    this.#mainDescriptor = undefined;
  }
}

/** Pages that the large ones among the values of a row take. */
function pagesOf(values: readonly unknown[], pageBytes: number): number {
  let pages = 0;
  for (const value of values) {
    if (value instanceof Uint8Array) pages += Math.floor(value.length / pageBytes);
  }
  return pages;
}

function assertVersion(connection: Database.Database): void {
  const text = connection.prepare('SELECT sqlite_version()').pluck().get() as string;
  const found = text.split('.').map(Number);
  for (const [index, least] of SQLITE_VERSION_MIN.entries()) {
    const part = found[index] ?? 0;
    if (part > least) return;
    assert(part === least, `SQLite ${text} is older than ${SQLITE_VERSION_MIN.join('.')}`);
  }
}
