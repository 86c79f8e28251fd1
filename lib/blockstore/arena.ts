// One arena: an LMDB environment in a single file, packs under their 8-byte big-endian id.
// Filled front to back while it is current, never written again once sealed, removed whole.

import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { CorruptionError, describeError, NoSpaceError } from '../errors.ts';
import { native } from '../native.ts';
import { syncFile, syncFolder } from '../sync-folder.ts';

/** Room in the map beyond the capacity: the packs in flight when it is passed, and LMDB's own pages. */
const MAP_SLACK_BYTES = 256 * 1024 * 1024;

/**
 * Bytes read or written before the map's pages are given back. Mapped pages count as resident
 * memory of the daemon (reading 262 MB raised it by 270 MB, measured), though the kernel may drop
 * them at any time; releasing them keeps the figure true to what the daemon needs (G5).
 */
const MAPPED_BYTES_MAX = 16 * 1024 * 1024;

/** At least what LMDB makes for its 126 readers (8,272 bytes); more only means more readers. */
const LOCK_FILE_BYTES = 12 * 1024;

export class Arena {
  readonly id: number;
  readonly path: string;
  readonly #environment: RootDatabase<Buffer, Buffer>;
  #mappedBytes = 0;

  /** Opens or creates the file. @throws NoSpaceError  @throws Error from LMDB when it cannot */
  constructor(id: number, path: string, capacityBytes: number) {
    this.id = id;
    this.path = path;
    const isNew = !existsSync(path);
    prepareLockFile(path);
    this.#environment = open<Buffer, Buffer>({
      path,
      noSubdir: true,
      keyEncoding: 'binary',
      encoding: 'binary',
      cache: false,
      compression: false,
      // A put's promise settles only after fdatasync: I1 rests on it.
      overlappingSync: false,
      mapSize: capacityBytes + MAP_SLACK_BYTES,
    });
    if (isNew) {
      // From here on a file that is no arena is damaged, and not one whose creation was cut off: LMDB
      // itself syncs it with the first pack. Its name must be as durable as what is put into it.
      syncFile(path);
      syncFolder(dirname(path));
    }
  }

  /**
   * Resolves when the pack is durable. `bytes` must stay unchanged until then.
   * @throws NoSpaceError  the host is full; the pack is not stored
   */
  async put(packId: number, bytes: Buffer): Promise<void> {
    try {
      await this.#environment.put(packKey(packId), bytes);
      // LMDB looks at pages around those it writes, and the kernel maps their neighbours with them.
      this.#noteMapped(bytes.length);
    } catch (error) {
      throw await explainFailure(this.path, error);
    }
  }

  /**
   * The pack's bytes, a view that is valid until the next `get` of any arena.
   * @throws CorruptionError  no such pack
   */
  get(packId: number): Buffer {
    const bytes = this.#environment.getBinaryFast(packKey(packId)) as Buffer | undefined;
    if (bytes === undefined) {
      throw new CorruptionError(`pack ${packId} is missing from arena ${this.path}`);
    }
    this.#noteMapped(bytes.length);
    // lmdb's buffer has a length of its own, shorter than its memory: a real view has not.
    return bytes.subarray(0, bytes.length);
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

  /** Ids of the packs from `first` on, in order. */
  *packIds(first = 0): Generator<number> {
    for (const key of this.#environment.getKeys({ start: packKey(first) })) {
      yield Number(Buffer.from(key).readBigUInt64BE(0));
    }
  }

  /** Removes packs that no committed metastore names. Resolves when that is durable. */
  async remove(packIds: readonly number[]): Promise<void> {
    await Promise.all(packIds.map(async (packId) => this.#environment.remove(packKey(packId))));
  }

  /** Space the file occupies on the host, bytes. */
  hostBytes(): number {
    return arenaHostBytes(this.path);
  }

  async close(): Promise<void> {
    await this.#environment.close();
  }
}

/** Space an arena file occupies on the host, bytes; 0 when it does not exist. */
export function arenaHostBytes(path: string): number {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? 0 : stats.blocks * 512;
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
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    throw new NoSpaceError(`no room to create ${path}`, { cause: error });
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
