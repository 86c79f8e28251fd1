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
import { WalFold } from './wal-fold.ts';
import { WalRoom, type WaitingRows } from './wal-room.ts';

/** Oldest SQLite with the fix of the WAL-reset bug (DESIGN section 6). */
const SQLITE_VERSION_MIN = [3, 51, 3];
/**
 * How large the WAL must be for a checkpoint: under load it has to wait, but copying it stops the event
 * loop; and on a full host it has blocks that others need.
 */
const WAL_BYTES_MIN = { loaded: 32 * 1024 * 1024, idle: 1024 * 1024, full: 1 } as const;
/** While the main file is held for a copy the WAL may grow this far, or to a share of the main file. */
const WAL_BYTES_HELD = 256 * 1024 * 1024;
const WAL_SHARE_HELD = 0.25;
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
  #walFold: WalFold | undefined;
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
    const { connection } = this;
    const isRoomy = (): boolean => this.room?.isRoomy !== false;
    this.#walFold = new WalFold({ connection, walRoom: this.#walRoom, isRoomy, pageCount });
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
    // Asked every few changes, where `pragma` would compile it each time.
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

  /** Whether the WAL is large enough to be moved into the main file. */
  isCheckpointDue(when: CheckpointTime): boolean {
    const heldBytesMax = when === 'full' ? undefined : this.#held?.walBytesMax;
    return this.walBytes >= (heldBytesMax ?? WAL_BYTES_MIN[when]);
  }

  /**
   * Moves the WAL into the main file when it is large enough; call right after a commit, and let
   * nothing change until it resolves. It is synced by another thread. What fails is in the WAL still.
   * @throws NoSpaceError  @throws Error from SQLite or the host
   */
  async checkpoint(when: CheckpointTime): Promise<void> {
    if (!this.isCheckpointDue(when)) return;
    if (this.#held !== undefined) this.#held.isLost = true;
    this.#held = undefined;
    this.#secureMain();
    await this.#walFold?.inSteps().catch((error: unknown) => this.#failFold(error));
  }

  /**
   * Moves the WAL into the main file, which is synced: the event loop waits for the disk. Right after a
   * commit. @throws NoSpaceError  @throws Error from SQLite
   */
  foldWal(): void {
    this.#secureMain();
    try {
      this.#walFold?.atOnce();
    } catch (error) {
      this.#failFold(error);
    }
  }

  #secureMain(): void {
    if (this.room !== undefined) this.#walRoom?.secureMain(this.room);
  }

  /**
   * A failure that is not for lack of room is reported to `onFailure`: SQLite would copy the same pages
   * again the next time, but whether the WAL it copies from is what it wrote, the disk does not tell
   * twice.
   */
  #failFold(error: unknown): never {
    this.#distrust(error);
    if (this.#keepsWal) this.onFailure(error);
    throw error;
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
