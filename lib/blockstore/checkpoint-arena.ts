// Arenas of metadata checkpoints: `arenas/c000001.mdb` and so on, beside the arenas of chunks and
// apart from them. No row of the metastore names them, gc and recovery leave them alone: they must be
// readable when the metastore is gone.
//
// Their packs have numbers of their own, rising within an arena. A checkpoint is some packs of pages
// and, put last, one pack with its manifest; so a manifest stands behind everything it names, and
// packs behind the last manifest belong to a checkpoint that was cut off.

import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from '../assert.ts';
import { CorruptionError } from '../errors.ts';
import type { HostRoom } from '../host-room.ts';
import { arenaFileDefect } from './arena-file.ts';
import { Arena, arenaHostBytes, removeArenaFiles } from './arena.ts';
import { Pack } from './pack.ts';

/** Numbers of the checkpoint arenas in the folder, ascending. */
export function checkpointArenaIds(folder: string): number[] {
  if (!existsSync(folder)) return [];
  const ids: number[] = [];
  for (const name of readdirSync(folder)) {
    const match = /^c(\d{6,})\.mdb$/.exec(name);
    if (match?.[1] !== undefined) ids.push(Number(match[1]));
  }
  return ids.sort((left, right) => left - right);
}

export function checkpointArenaPath(folder: string, id: number): string {
  return join(folder, `c${String(id).padStart(6, '0')}.mdb`);
}

/** The arena must not be open. */
export function removeCheckpointArena(folder: string, id: number): void {
  removeArenaFiles(checkpointArenaPath(folder, id));
}

export interface WritableArena {
  /** At least what the arena is to hold; only addresses are reserved for it. */
  readonly capacityBytes: number;
  readonly room: HostRoom;
}

export class CheckpointArena {
  readonly id: number;
  readonly path: string;
  readonly #arena: Arena;
  readonly #room: HostRoom | undefined;

  private constructor(arena: Arena, room: HostRoom | undefined) {
    this.#room = room;
    this.id = arena.id;
    this.path = arena.path;
    this.#arena = arena;
  }

  /** @throws NoSpaceError */
  static create(
    folder: string,
    id: number,
    { capacityBytes, room }: WritableArena,
  ): CheckpointArena {
    const path = checkpointArenaPath(folder, id);
    assert(!existsSync(path), `checkpoint arena ${id} is new`);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return new CheckpointArena(Arena.create(id, path, capacityBytes, room), room);
  }

  /** @param writable for who puts packs  @throws CorruptionError  missing, cut short or no arena */
  static open(folder: string, id: number, writable?: WritableArena): CheckpointArena {
    const path = checkpointArenaPath(folder, id);
    const defect = arenaFileDefect(path);
    if (defect !== undefined) throw new CorruptionError(`checkpoint arena ${id}: ${defect}`);
    const arena = new Arena(id, path, writable?.capacityBytes ?? 0);
    return new CheckpointArena(arena, writable?.room);
  }

  /** Numbers of its packs, ascending. */
  packIds(): number[] {
    return [...this.#arena.packIds()];
  }

  /** @throws CorruptionError */
  read(packId: number): Pack {
    return new Pack(this.#arena.get(packId), packId);
  }

  /** Resolves when the pack is durable; `bytes` must stay unchanged until then. @throws NoSpaceError */
  async put(packId: number, bytes: Buffer): Promise<void> {
    if (this.#room !== undefined) this.#arena.secure(bytes.length, this.#room);
    await this.#arena.put(packId, bytes);
  }

  /** Removes packs that no manifest names; later packs take their place in the file. */
  async remove(packIds: readonly number[]): Promise<void> {
    if (this.#room !== undefined) this.#arena.secure(0, this.#room);
    await this.#arena.remove(packIds);
  }

  /** Space the file occupies on the host, bytes. */
  hostBytes(): number {
    return arenaHostBytes(this.path);
  }

  async close(): Promise<void> {
    this.#arena.releaseMemory();
    await this.#arena.close();
  }
}
