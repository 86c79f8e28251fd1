// Metadata checkpoints (G7): the metastore as one commit left it, copied into arenas of its own, from
// which `fsck --rebuild` makes it anew.
//
// Right after a commit the WAL is folded into meta.db, which then is the image of that commit and
// stays it until the copy ends; commits go on in the WAL. The next checkpoint stores only the pages
// that differ. When an arena holds more than twice what the newest image needs, or is old, the next
// one is a full copy in a new arena; the arena before is unlinked when that copy is durable, so there
// is a whole checkpoint at any time once there was one.

import { read } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CheckpointArena, checkpointArenaIds } from '../blockstore/checkpoint-arena.ts';
import { removeCheckpointArena } from '../blockstore/checkpoint-arena.ts';
import type { CheckpointManifest } from '../blockstore/checkpoint-manifest.ts';
import { CorruptionError, describeError, DedupfsError, NoSpaceError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { CheckpointReader, newestCheckpoint } from '../maintenance/checkpoint-reader.ts';
import type { FoundCheckpoint } from '../maintenance/checkpoint-reader.ts';
import { CheckpointWriter, type PageSource } from '../maintenance/checkpoint-writer.ts';
import type { HeldMainFile } from '../metastore/database.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { FORMAT_VERSION } from '../metastore/schema.ts';
import { native } from '../native.ts';
import type { CheckpointOptions, CheckpointReport, CheckpointSummary } from './contract.ts';
import type { HostSpace } from './host-space.ts';

/** An arena with more than so many times what the newest image needs is left for a new one... */
const ARENA_SHARE_MAX = 2;
/** ...unless that is little. */
const ARENA_BYTES_MIN = 2 * 1024 * 1024;
/** A full copy each week: pages that rotted in the arena would be named again and again. */
const ARENA_AGE_MAX_MS = 7 * 24 * 60 * 60 * 1000;
/** An arena never holds more: twice the image, a checkpoint of all pages, maps and a manifest. */
const CAPACITY_IMAGES = 4;
const CAPACITY_BYTES_MIN = 64 * 1024 * 1024;

export interface CheckpointParts {
  readonly storePath: string;
  readonly uuid: string;
  readonly metastore: Metastore;
  readonly log: Logger;
  readonly space: HostSpace;
  /** Commits, then runs `work` before anything changes. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
}

/** The arena that takes a checkpoint, and the one before in the same arena. */
interface Target {
  readonly arena: CheckpointArena;
  readonly base: FoundCheckpoint | undefined;
}

export class MetadataCheckpoint {
  readonly #parts: CheckpointParts;
  readonly #folder: string;
  #newest: FoundCheckpoint | undefined;
  #running: Promise<CheckpointReport> | undefined;
  #isCancelled = false;

  constructor(parts: CheckpointParts) {
    this.#parts = parts;
    this.#folder = join(parts.storePath, 'arenas');
  }

  /** Finds the newest checkpoint, before the first question for it. */
  async load(): Promise<void> {
    const { log } = this.#parts;
    this.#newest = await newestCheckpoint(this.#folder, (arena, error) =>
      log.warn({ err: error, checkpointArena: arena }, 'damage in a metadata checkpoint'),
    );
  }

  get newest(): CheckpointSummary | undefined {
    return this.#newest === undefined ? undefined : summaryOf(this.#newest.manifest);
  }

  /** Something was committed since the newest checkpoint. */
  get isOutdated(): boolean {
    return this.#newest?.manifest.batch !== this.#parts.metastore.counters.batch;
  }

  get running(): Promise<CheckpointReport> | undefined {
    return this.#running;
  }

  /** One at a time: a second caller gets the first one's report. See Store.checkpoint for the errors. */
  async run(options: CheckpointOptions = {}): Promise<CheckpointReport> {
    this.#running ??= this.#run(options).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Ends a run under way at its next slice; the checkpoint before it stays the newest. */
  async interrupt(): Promise<void> {
    this.#isCancelled = true;
    try {
      await this.#running;
    } catch (error) {
      this.#parts.log.debug({ reason: describeError(error) }, 'the checkpoint was interrupted');
    } finally {
      this.#isCancelled = false;
    }
  }

  async #run(options: CheckpointOptions): Promise<CheckpointReport> {
    const { database, counters } = this.#parts.metastore;
    const held = await this.#parts.exclusively(async () =>
      Promise.resolve({ file: database.holdMainFile(), batch: counters.batch }),
    );
    try {
      await this.load();
      const newest = this.#newest?.manifest;
      if (newest?.batch === held.batch && options.full !== true) {
        return { ...summaryOf(newest), bytesWritten: 0, isFull: false };
      }
      return await this.#copy(held.file, held.batch, options);
    } finally {
      held.file.release();
    }
  }

  async #copy(
    file: HeldMainFile,
    batch: number,
    options: CheckpointOptions,
  ): Promise<CheckpointReport> {
    const formatFile = await readFile(join(this.#parts.storePath, 'FORMAT'), 'utf8');
    const target = this.#openTarget(file, options.full === true);
    let report: CheckpointReport;
    try {
      report = await this.#write(target, file, { batch, formatFile }, options);
    } catch (error) {
      await target.arena.close();
      if (target.base === undefined) removeCheckpointArena(this.#folder, target.arena.id);
      throw error;
    }
    await target.arena.close();
    this.#removeOthers((id) => id !== target.arena.id);
    this.#parts.log.info({ ...report, checkpointArena: target.arena.id }, 'metadata checkpoint');
    return report;
  }

  #openTarget(file: HeldMainFile, isFull: boolean): Target {
    const imageBytes = file.pages * file.pageBytes;
    const capacityBytes = Math.max(CAPACITY_BYTES_MIN, CAPACITY_IMAGES * imageBytes);
    const writable = { capacityBytes, room: this.#parts.space };
    const newest = this.#newest;
    if (newest !== undefined) {
      this.#removeOthers((id) => id > newest.arena); // of a full copy that was cut off
      const arena = CheckpointArena.open(this.#folder, newest.arena, writable);
      if (!isFull && this.#mayContinue(arena, newest.manifest, file))
        return { arena, base: newest };
      void arena.close();
    }
    this.#assertRoom(0);
    const id = (checkpointArenaIds(this.#folder).at(-1) ?? 0) + 1;
    return { arena: CheckpointArena.create(this.#folder, id, writable), base: undefined };
  }

  #mayContinue(arena: CheckpointArena, newest: CheckpointManifest, file: HeldMainFile): boolean {
    const ageMs = Math.abs(Date.now() - newest.begunMs);
    const bytesMax = Math.max(ARENA_BYTES_MIN, ARENA_SHARE_MAX * newest.storedBytes);
    return (
      newest.uuid === this.#parts.uuid &&
      newest.pageBytes === file.pageBytes &&
      ageMs < ARENA_AGE_MAX_MS &&
      arena.hostBytes() <= bytesMax
    );
  }

  async #write(
    { arena, base }: Target,
    file: HeldMainFile,
    identity: { readonly batch: number; readonly formatFile: string },
    options: CheckpointOptions,
  ): Promise<CheckpointReport> {
    const createdMs = Date.now();
    const { batch } = identity;
    const { pageBytes, pages } = file;
    const firstPack = (base?.packId ?? 0) + 1;
    // Of a checkpoint that was cut off: nothing names them.
    await arena.remove(arena.packIds().filter((packId) => packId >= firstPack));
    const writer = new CheckpointWriter({
      arena,
      base: base && { reader: new CheckpointReader(arena), manifest: base.manifest },
      source: this.#sourceOf(file, options),
      firstPack,
      batch,
      createdMs,
      assertRoom: (bytes) => this.#assertRoom(bytes),
    });
    try {
      const written = await writer.writePages();
      const begunMs = base?.manifest.begunMs ?? createdMs;
      const { uuid } = this.#parts;
      const fixed = { format: FORMAT_VERSION, uuid, createdMs, begunMs, pageBytes, pages };
      const manifest = { ...fixed, ...identity, ...written };
      const packId = await writer.writeManifest(manifest);
      this.#newest = { arena: arena.id, packId, manifest };
    } catch (error) {
      await writer.discard();
      throw error;
    }
    const { bytesWritten } = writer;
    return { ...summaryOf(this.#newest.manifest), bytesWritten, isFull: base === undefined };
  }

  #sourceOf(file: HeldMainFile, { onProgress, signal }: CheckpointOptions): PageSource {
    const { pageBytes, pages } = file;
    return {
      pageBytes,
      pages,
      read: async (firstPage, into) => {
        const { bytesRead } = await promisify(read)(
          file.descriptor,
          into,
          0,
          into.length,
          firstPage * pageBytes,
        );
        signal?.throwIfAborted();
        onProgress?.({ bytesDone: firstPage * pageBytes, bytesTotal: pages * pageBytes });
        if (this.#isCancelled) throw new DedupfsError('the checkpoint was interrupted');
        if (file.isLost) throw new DedupfsError('too much was committed during the checkpoint');
        if (bytesRead === into.length) {
          assertSound(into, file, firstPage);
          return;
        }
        throw new DedupfsError(`the metastore ended during the checkpoint, at page ${firstPage}`);
      },
    };
  }

  #assertRoom(bytes: number): void {
    if (this.#parts.space.hasRoomToSpare(bytes)) return;
    throw new NoSpaceError('the host has no room to spare for a metadata checkpoint');
  }

  #removeOthers(isOther: (id: number) => boolean): void {
    for (const id of checkpointArenaIds(this.#folder)) {
      if (isOther(id)) removeCheckpointArena(this.#folder, id);
    }
  }
}

/** A damaged page must not come into the newest checkpoint, while the one before has it whole. */
function assertSound(bytes: Buffer, { pageBytes }: HeldMainFile, firstPage: number): void {
  const damaged = native.findDamagedPage(bytes, pageBytes, firstPage + 1);
  if (damaged === 0) return;
  throw new CorruptionError(
    `page ${damaged} of the metastore does not match its checksum: no checkpoint is taken of it`,
  );
}

function summaryOf(manifest: CheckpointManifest): CheckpointSummary {
  const { createdMs, batch, pages, pageBytes, storedBytes } = manifest;
  return { createdMs, batch, plainBytes: pages * pageBytes, storedBytes };
}
