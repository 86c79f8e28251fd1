// The SQLite connection: opening, the batch transaction that is always open, and durability.
//
// A batch begins when the previous one is committed and collects every change until the next
// commit; a crash in between leaves the previous batch (G1). COMMIT writes the WAL without syncing
// it (synchronous=NORMAL); `sync` then runs fdatasync on the WAL file off the main thread. Together
// they are as durable as synchronous=FULL, and the event loop does not wait for the disk.

import { existsSync, fdatasync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import type Database from 'better-sqlite3';
import { assert, expectDefined } from '../assert.ts';
import { CorruptionError, UserError, ExitCode } from '../errors.ts';
import { isFullError, type HostRoom } from '../host-room.ts';
import { explainDamage, hasChecksums, openChecked } from './checked-database.ts';
import { explainOpening, hasMagic } from './opening.ts';
import { SCHEMA } from './schema.ts';
import { WalRoom, type WaitingRows } from './wal-room.ts';

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
  /** Who gives the files their blocks; set by a store that is open to be changed. */
  room: HostRoom | undefined;
  readonly #isReadOnly: boolean;
  #isReading = false;
  /** Closing leaves the WAL as it is; otherwise SQLite moves it into the main file. */
  #keepsWal = false;
  #walRoom: WalRoom | undefined;
  /** Asked for each write. */
  #selectPageCount: Database.Statement | undefined;
  #held: { walBytesMax: number; isLost: boolean } | undefined;

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
    // SQLite would make a database of an empty file.
    if (!isNew && !hasMagic(path))
      throw new CorruptionError(`the metastore ${path} is no database`);
    this.connection = openChecked(path, { readonly: this.#isReadOnly });
    try {
      this.#begin(isNew);
    } catch (error) {
      const explained = explainOpening(path, explainDamage(this.connection, error));
      this.connection.close();
      this.#walRoom?.close();
      throw explained;
    }
  }

  #begin(isNew: boolean): void {
    // Before anything looks into the file: otherwise the index of the WAL is a mapped file, which
    // ends the process with SIGBUS on a bad disk and cannot grow on a full one; and others could
    // write the log, so that its frames would not be watched (native/src/checked_file.cc).
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
    this.connection.exec(this.#isReadOnly ? 'BEGIN' : 'BEGIN IMMEDIATE');
    if (this.#isReadOnly) return;
    const pageBytes = this.#pageBytes();
    const cachedPagesMax = CACHE_BYTES / pageBytes;
    const pageCount = (): number => this.#pageCount();
    this.#walRoom = new WalRoom(this.path, { pageBytes, cachedPagesMax, pageCount });
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
        if (!statement.readonly) this.#walRoom?.noteRow(values);
        try {
          return call(...values);
        } catch (error) {
          const explained = explainDamage(this.connection, error);
          if (!statement.readonly || !this.#isReading) this.onFailure(explained);
          throw explained;
        }
      };
      Object.defineProperty(statement, name, { value: guarded });
    }
    return statement;
  }

  /**
   * Runs a request that changes nothing: a page that cannot be read fails that request alone, while
   * in one that changes something it leaves the change half done.
   */
  reading<T>(request: () => T): T {
    this.#isReading = true;
    try {
      return request();
    } finally {
      this.#isReading = false;
    }
  }

  /** Commits the batch and begins the next. Not durable before `sync`. */
  commit(): void {
    try {
      this.connection.exec('COMMIT');
    } catch (error) {
      this.#distrust(error);
      throw error;
    } finally {
      // SQLite ends the transaction also when the disk is full; what follows must be in one still.
      if (!this.connection.inTransaction) this.connection.exec('BEGIN IMMEDIATE');
      this.#walRoom?.noteBatchBegun();
    }
  }

  /**
   * Holds blocks ready for everything that this batch can write to the WAL, with the rows that wait
   * in memory.
   * @throws NoSpaceError  the batch must not grow; it may be committed once this succeeds
   */
  secure(waiting: WaitingRows): void {
    if (this.room !== undefined) this.#walRoom?.secureBatch(waiting, this.room);
  }

  /** Bytes by which the next checkpoint makes the main file longer. */
  get growthBytes(): number {
    return this.#walRoom?.growthBytes ?? 0;
  }

  #pageBytes(): number {
    return this.connection.pragma('page_size', { simple: true }) as number;
  }

  #pageCount(): number {
    this.#selectPageCount ??= this.connection.prepare('PRAGMA page_count').pluck();
    return this.#selectPageCount.get() as number;
  }

  /** Makes all commits so far durable. */
  async sync(): Promise<void> {
    try {
      if (this.#walRoom !== undefined) await promisify(fdatasync)(this.#walRoom.walDescriptor);
    } catch (error) {
      this.#distrust(error);
      throw error;
    }
  }

  /**
   * The disk may have lost what was written to the WAL, and tells it once. Until it is read again
   * from the disk, with its checksums verified, nothing may be copied from it: the next open does.
   */
  #distrust(error: unknown): void {
    if (!isFullError(error)) this.#keepsWal = true;
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
  checkpoint(when: CheckpointTime): void {
    const heldBytesMax = when === 'full' ? undefined : this.#held?.walBytesMax;
    if (this.walBytes < (heldBytesMax ?? WAL_BYTES_MIN[when])) return;
    if (this.#held !== undefined) this.#held.isLost = true;
    this.#held = undefined;
    this.foldWal();
  }

  /**
   * Moves the WAL into the main file, which is synced. Right after a commit. A failure that is not
   * for lack of room is reported to `onFailure`: SQLite would copy the same pages again the next
   * time, but whether the WAL it copies from is what it wrote, the disk does not tell twice.
   * @throws NoSpaceError  @throws Error from SQLite
   */
  foldWal(): void {
    if (this.room !== undefined) this.#walRoom?.secureMain(this.room);
    try {
      this.#fold();
    } catch (error) {
      this.#distrust(error);
      if (this.#keepsWal) this.onFailure(error);
      throw error;
    }
  }

  #fold(): void {
    // A checkpoint cannot run inside the batch, which is empty at this point.
    this.connection.exec('COMMIT');
    try {
      // Freed pages first: the checkpoint then cuts the file off behind what is left.
      if (this.room?.isRoomy !== false && this.#freeShare() > FREE_SHARE_MAX) {
        this.connection.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES_MAX})`);
      }
      this.connection.pragma('wal_checkpoint(TRUNCATE)');
    } finally {
      this.#walRoom?.noteTruncated(); // which it may have been when it failed behind that
      this.connection.exec('BEGIN IMMEDIATE');
      this.#walRoom?.noteBatchBegun();
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
    const { mainDescriptor: descriptor, mainBytes } = expectDefined(this.#walRoom, 'files');
    const pageBytes = this.#pageBytes();
    const pages = mainBytes / pageBytes;
    const walBytesMax = Math.max(WAL_BYTES_HELD, pages * pageBytes * WAL_SHARE_HELD);
    const held = { walBytesMax, isLost: false };
    this.#held = held;
    return {
      descriptor,
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
    if (this.#keepsWal) this.connection.prepare('SELECT keep_wal_at_close()').get();
    this.connection.close();
    this.#walRoom?.close();
  }
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
