// One arena: an LMDB environment in a single file, packs under their 8-byte big-endian id.
// Filled front to back while it is current, never written again once sealed, removed whole.
// LMDB only writes it. Packs are read by pread, so that a disk that cannot read is an error of one
// pack: through LMDB's map it would be SIGBUS, the end of the process.

import { closeSync, existsSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { CorruptionError, describeError, NoSpaceError } from '../errors.ts';
import { allocateBehindEnd, isFullError, type HostRoom } from '../host-room.ts';
import { native } from '../native.ts';
import { syncFile, syncFolder } from '../sync-folder.ts';
import { arenaFileDefect, arenaSpineDefect } from './arena-file.ts';
import { ArenaReader } from './arena-reader.ts';
import { filledBytes, HeldBlocks } from './held-blocks.ts';
import { emptyEnvironment, PAGE_HEADER_BYTES } from './lmdb-page.ts';

/** Room in the map beyond the capacity: the packs in flight when it is passed, and LMDB's own pages. */
const MAP_SLACK_BYTES = 256 * 1024 * 1024;

/**
 * Bytes that puts may have mapped before the map's pages are given back. Mapped pages count as resident
 * memory of the daemon, though the kernel may drop them at any time; releasing them keeps the figure
 * true to what the daemon needs (G5).
 */
const MAPPED_BYTES_MAX = 16 * 1024 * 1024;

/** What the kernel maps around a page that LMDB looks at; of a pack it looks at the first one. */
const MAPPED_AROUND_BYTES = 64 * 1024;

/** At least what LMDB makes for its 126 readers (8,272 bytes); more only means more readers. */
const LOCK_FILE_BYTES = 12 * 1024;

/** A new arena's first pages and its lock file. */
const NEW_ARENA_BYTES = 64 * 1024;

/** What LMDB writes besides the packs of a batch: pages of its trees, its two meta pages. */
const LMDB_MARGIN_BYTES = 128 * 1024;

export class Arena {
  readonly id: number;
  readonly path: string;
  readonly #capacityBytes: number;
  readonly #reader: ArenaReader;
  readonly #heldBlocks: HeldBlocks;
  #environment: RootDatabase<Buffer, Buffer> | undefined;
  #mappedBytes = 0;
  /** Pages of the packs whose put is under way. */
  #inFlightBytes = 0;
  /** A put failed since LMDB opened the file. */
  #hasFailed = false;
  /** Its tree was found sound since `rest`. */
  #isLookedAt = false;
  #closing: Promise<void> | undefined;

  /** Opens an existing file, to read. @throws CorruptionError  there is none */
  constructor(id: number, path: string, capacityBytes: number) {
    this.id = id;
    this.path = path;
    this.#capacityBytes = capacityBytes;
    this.#reader = new ArenaReader(path);
    this.#heldBlocks = new HeldBlocks(path);
  }

  /**
   * Makes a new file, durable with its name. Its first pages are ours: LMDB ends the process when it
   * cannot write them.
   * @param room who gives the file its first blocks
   * @throws NoSpaceError  @throws Error from LMDB when it cannot. Nothing is left of the file then.
   */
  static create(id: number, path: string, capacityBytes: number, room?: HostRoom): Arena {
    try {
      writeFileSync(path, '', { flag: 'wx', mode: 0o600 });
      room?.secure(NEW_ARENA_BYTES, () => allocateBehindEnd(path, NEW_ARENA_BYTES));
      writeFileSync(path, emptyEnvironment(capacityBytes + MAP_SLACK_BYTES), { flag: 'r+' });
      // From here on a file that is no arena is damaged, and not one whose creation was cut off. Its
      // name must be as durable as what is put into it.
      syncFile(path);
      syncFolder(dirname(path));
      const arena = new Arena(id, path, capacityBytes);
      arena.openToWrite();
      return arena;
    } catch (error) {
      removeArenaFiles(path);
      if (error instanceof NoSpaceError || !isFullError(error)) throw error;
      throw new NoSpaceError(`no room to create ${path}`, { cause: error });
    }
  }

  /**
   * Has LMDB open the file, which `put` and `remove` do when they must.
   * @throws CorruptionError  it is damaged where LMDB would follow it: it can still be read
   * @throws Error  the host does not let it be written
   */
  openToWrite(): RootDatabase<Buffer, Buffer> {
    if (this.#environment !== undefined) return this.#environment;
    const defect = arenaFileDefect(this.path);
    if (defect !== undefined) throw new CorruptionError(`arena ${this.id}: ${defect}`);
    this.#environment = openEnvironment(this.path, this.#capacityBytes);
    return this.#environment;
  }

  /**
   * Why nothing more should be put into it. LMDB reads its tree through a map: a page that the disk
   * cannot read would be SIGBUS, the end of the process. Looked at before the first put after a rest: the
   * whole tree was when LMDB opened the file, now it is what the next packs lead through.
   */
  get defect(): string | undefined {
    if (this.isPutting || this.#isLookedAt) return undefined;
    const defect = arenaSpineDefect(this.path);
    this.#isLookedAt = defect === undefined;
    return defect;
  }

  /**
   * Has the file hold the blocks that a pack of this size takes, besides those under way. They stay
   * its own until `rest`.
   * @throws NoSpaceError
   */
  secure(bytes: number, room: HostRoom): void {
    this.#heldBlocks.secure(this.#inFlightBytes + pageBytes(bytes) + LMDB_MARGIN_BYTES, room);
  }

  /**
   * Resolves when the pack is durable. `bytes` must stay unchanged until then.
   * @throws NoSpaceError  the host is full; the pack is not stored
   */
  async put(packId: number, bytes: Buffer): Promise<void> {
    const isAlone = !this.isPutting;
    const taken = pageBytes(bytes.length);
    this.#inFlightBytes += taken;
    try {
      if (this.#hasFailed && isAlone) this.#closing = this.#closeFailed();
      if (this.#closing !== undefined) await this.#closing;
      await this.openToWrite().put(packKey(packId), bytes);
      // LMDB looks at pages around those it writes, and the kernel maps their neighbours with them.
      this.#noteMapped(Math.min(bytes.length, MAPPED_AROUND_BYTES));
    } catch (error) {
      this.#hasFailed = true;
      this.#isLookedAt = false;
      throw await explainFailure(this.path, error);
    } finally {
      this.#inFlightBytes -= taken;
    }
  }

  /** Packs are on their way: it must stay open. */
  get isPutting(): boolean {
    return this.#inFlightBytes > 0;
  }

  /**
   * No more packs come for now: gives back blocks that are held and were not written. Not after a
   * failure: a retry needs them, and a disk that fails here would hide the cause.
   * @throws Error  the disk fails
   */
  rest(): void {
    if (this.isPutting || this.#hasFailed) return;
    this.#isLookedAt = false;
    this.#heldBlocks.giveBack();
  }

  /** Gives back blocks that were held when the process before was killed. @throws Error  the disk fails */
  giveBackLeft(): void {
    this.#heldBlocks.giveBackLeft();
  }

  /** After a write that failed LMDB may never answer another: it has to open the file anew. */
  async #closeFailed(): Promise<void> {
    const environment = this.#environment;
    this.#environment = undefined;
    this.#hasFailed = false;
    try {
      await environment?.close();
    } finally {
      this.#closing = undefined;
    }
  }

  /**
   * The pack's bytes, in `memory` if that is large enough, or else in memory of their own.
   * @throws CorruptionError  no such pack, or the disk cannot read it
   */
  get(packId: number, memory?: Buffer): Buffer {
    return this.#reader.get(packId, memory);
  }

  /** Fills `into` with the pack's bytes from `offset` on. @throws CorruptionError  as `get` */
  getPart(packId: number, offset: number, into: Buffer): void {
    this.#reader.getPart(packId, offset, into);
  }

  #noteMapped(bytes: number): void {
    this.#mappedBytes += bytes;
    if (this.#mappedBytes >= MAPPED_BYTES_MAX) this.releaseMemory();
  }

  /** Gives resident map pages back; their content stays in the kernel's page cache. */
  releaseMemory(): void {
    this.#mappedBytes = 0;
    native.releaseMapping(this.path);
  }

  /** Ids of the packs from `first` on, in order. @throws CorruptionError  at a damaged page */
  packIds(first = 0): Generator<number> {
    return this.#reader.packIds(first);
  }

  /**
   * Removes packs that no committed metastore names. Resolves when that is durable.
   * @throws CorruptionError  the file is damaged; nothing is removed
   */
  async remove(packIds: readonly number[]): Promise<void> {
    const environment = this.openToWrite();
    for (const packId of packIds) this.#reader.checkRemovable(packId);
    try {
      await Promise.all(packIds.map(async (packId) => environment.remove(packKey(packId))));
    } catch (error) {
      throw await explainFailure(this.path, error);
    }
  }

  /** Space the file occupies on the host, bytes. */
  hostBytes(): number {
    return arenaHostBytes(this.path);
  }

  async close(): Promise<void> {
    this.#reader.close();
    // At once when nothing is written: the file may be opened anew, and grow, before LMDB has closed it.
    if (!this.isPutting) this.#heldBlocks.close();
    try {
      await this.#environment?.close();
    } finally {
      this.#heldBlocks.close();
    }
  }
}

/** Space a value of `bytes` takes in LMDB: a page header, rounded up to 4 KiB pages. */
export function pageBytes(bytes: number): number {
  return Math.ceil((bytes + PAGE_HEADER_BYTES) / 4096) * 4096;
}

function openEnvironment(path: string, capacityBytes: number): RootDatabase<Buffer, Buffer> {
  prepareLockFile(path);
  for (const file of [path, `${path}-lock`]) checkWritable(file);
  return open<Buffer, Buffer>({
    path,
    noSubdir: true,
    keyEncoding: 'binary',
    encoding: 'binary',
    cache: false,
    compression: false,
    // A put's promise settles only after fdatasync: I1 rests on it.
    overlappingSync: false,
    // With it each turn of the event loop begins a batch whose promise nobody is given: when a commit
    // fails, that one is rejected besides the puts', and nobody could handle it.
    eventTurnBatching: false,
    mapSize: capacityBytes + MAP_SLACK_BYTES,
  });
}

/**
 * Space an arena's pages occupy on the host, bytes; 0 when there is no file. Blocks that are held behind
 * its end are not dead data, and given back by themselves.
 */
export function arenaHostBytes(path: string): number {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? 0 : Math.min(stats.blocks * 512, filledBytes(stats.size));
}

/**
 * Writes LMDB's lock file before LMDB maps it: filling a hole of a mapped file on a full disk would
 * end the process with SIGBUS. LMDB takes a file of this size as it is.
 * @throws NoSpaceError
 */
function prepareLockFile(path: string): void {
  if (existsSync(`${path}-lock`)) return;
  try {
    writeFileSync(`${path}-lock`, Buffer.alloc(LOCK_FILE_BYTES), { mode: 0o600 });
  } catch (error) {
    if (!isFullError(error)) throw error;
    throw new NoSpaceError(`no room to create ${path}`, { cause: error });
  }
}

/**
 * LMDB must not be what finds out: when it cannot open a file, lmdb 3.5.6 frees memory twice.
 * @throws Error  names the file and what the host says
 */
function checkWritable(path: string): void {
  if (!existsSync(path)) return; // LMDB creates it
  try {
    closeSync(openSync(path, 'r+'));
  } catch (cause) {
    throw new Error(`${path} cannot be opened to write`, { cause });
  }
}

/** Removes the files of a closed arena. */
export function removeArenaFiles(path: string): void {
  rmSync(path, { force: true });
  rmSync(`${path}-lock`, { force: true });
}

/** lmdb rejects a put with a general error, whose `commitError` rejects with what happened. */
async function explainFailure(path: string, error: unknown): Promise<Error> {
  const { commitError } = error as { commitError?: unknown };
  const cause = await Promise.resolve(commitError ?? error).then(
    (value) => value,
    (reason: unknown) => reason,
  );
  if (/No space left|quota exceeded/i.test(describeError(cause))) {
    return new NoSpaceError(`no room to write to ${path}`, { cause });
  }
  return new Error(`writing to ${path} failed`, { cause });
}

function packKey(packId: number): Buffer {
  const key = Buffer.allocUnsafe(8);
  key.writeUInt32BE(Math.floor(packId / 0x1_0000_0000), 0);
  key.writeUInt32BE(packId % 0x1_0000_0000, 4);
  return key;
}
