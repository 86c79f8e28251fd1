// The block store: all arenas of a store. Packs go into the current arena; when that reaches its
// capacity it is sealed and the next one begins. Arenas are opened on demand, the least recently
// used closed, so open files and maps stay bounded however large the store grows.

import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { assert, expectDefined } from '../assert.ts';
import type { HostRoom } from '../host-room.ts';
import type { Logger } from '../log.ts';
import { Arena, arenaHostBytes, pageBytes, removeArenaFiles } from './arena.ts';

/** Bound on open arenas; each is a descriptor and some tree pages. */
const OPEN_ARENAS_MAX = 64;

export interface BlockStoreOptions {
  /** Size at which an arena is sealed, bytes. */
  readonly arenaBytesMax: number;
  readonly log: Logger;
  /** Of who puts packs. */
  readonly room?: HostRoom;
}

/** Gives arenas their numbers and remembers them; implemented by the metastore. */
export interface ArenaAllocator {
  /** A number never used before. */
  nextArena(): number;
  /** The arena's files exist; `sealed` takes no more packs. */
  arenaBegun(id: number, sealed: number | undefined): void;
}

export class BlockStore {
  readonly #folder: string;
  readonly #options: BlockStoreOptions;
  /** In order of use: the first is the least recently used. */
  readonly #open = new Map<number, Arena>();
  /** Where packs go, and the pages they fill. */
  #current: { arena: Arena; bytes: number } | undefined;
  #allocator: ArenaAllocator | undefined;
  /** Called when an arena's files go: who else has them open must close them. */
  onRemove: (arenaId: number) => void = () => undefined;

  constructor(folder: string, options: BlockStoreOptions) {
    this.#folder = folder;
    this.#options = options;
    mkdirSync(folder, { recursive: true });
  }

  /** Whom to ask for arena ids, before the first pack is put. */
  useAllocator(allocator: ArenaAllocator): void {
    this.#allocator = allocator;
  }

  /** Ids of the arena files on disk, ascending. */
  arenaIds(): number[] {
    const ids: number[] = [];
    for (const name of readdirSync(this.#folder)) {
      const match = /^a(\d{6,})\.mdb$/.exec(name);
      if (match?.[1] !== undefined) ids.push(Number(match[1]));
    }
    return ids.sort((left, right) => left - right);
  }

  /** Where the arena files lie. */
  get folder(): string {
    return this.#folder;
  }

  path(arenaId: number): string {
    return join(this.#folder, `a${String(arenaId).padStart(6, '0')}.mdb`);
  }

  /** Continues (after a mount) with an arena that is not sealed yet. @throws CorruptionError */
  resume(arenaId: number): void {
    const arena = this.arena(arenaId);
    arena.openToWrite();
    arena.giveBackLeft();
    this.#current = { arena, bytes: arena.hostBytes() };
  }

  /** Id of the arena that the next pack goes to, if one was begun. */
  get currentArena(): number | undefined {
    return this.#current?.arena.id;
  }

  /** Seals the current arena whatever it holds, so that gc may evacuate it. */
  seal(): void {
    this.#current = undefined;
  }

  /**
   * The arena that a pack of this size is to be put into, begun if need be; its pages are reserved.
   * @throws NoSpaceError  there is no room for another arena's file
   */
  arenaFor(packBytes: number): number {
    let current = this.#current;
    const isFull = current !== undefined && current.bytes + packBytes > this.#options.arenaBytesMax;
    const defect = isFull ? undefined : current?.arena.defect;
    if (defect !== undefined) this.#options.log.error({ defect }, 'an arena takes no more packs');
    if (current === undefined || isFull || defect !== undefined) {
      const allocator = expectDefined(this.#allocator, 'arena allocator');
      current?.arena.rest();
      const id = allocator.nextArena();
      const arena = this.#create(id);
      allocator.arenaBegun(id, current?.arena.id);
      current = { arena, bytes: 0 };
      this.#current = current;
      this.#options.log.debug({ arena: id }, 'arena begun');
    }
    current.bytes += pageBytes(packBytes);
    return current.arena.id;
  }

  /** Resolves when the pack is durable; `bytes` must stay unchanged until then. @throws NoSpaceError */
  async put(arenaId: number, packId: number, bytes: Buffer): Promise<void> {
    const arena = this.arena(arenaId);
    if (this.#options.room !== undefined) arena.secure(bytes.length, this.#options.room);
    await arena.put(packId, bytes);
    // Sealed meanwhile: nothing else asks it to rest.
    if (arenaId !== this.currentArena) arena.rest();
  }

  /**
   * No more packs come for now: blocks held for them are given back. @throws Error  the disk fails
   */
  rest(): void {
    for (const arena of this.#open.values()) arena.rest();
  }

  #create(arenaId: number): Arena {
    const path = this.path(arenaId);
    assert(!existsSync(path), `arena ${arenaId} is new`);
    const { arenaBytesMax, room } = this.#options;
    const arena = Arena.create(arenaId, path, arenaBytesMax, room);
    this.#closeLeastRecentlyUsed();
    this.#open.set(arenaId, arena);
    return arena;
  }

  /** Bytes of a pack, in `memory` if they fit. @throws CorruptionError */
  read(arenaId: number, packId: number, memory?: Buffer): Buffer {
    return this.arena(arenaId).get(packId, memory);
  }

  /** Fills `into` with a pack's bytes from `offset` on. @throws CorruptionError */
  readPart(arenaId: number, packId: number, offset: number, into: Buffer): void {
    this.arena(arenaId).getPart(packId, offset, into);
  }

  /**
   * Opens an existing arena, or finds it open. @throws CorruptionError  missing. Do not keep the result
   * across turns of the event loop.
   */
  arena(arenaId: number): Arena {
    let arena = this.#open.get(arenaId);
    if (arena === undefined) {
      arena = new Arena(arenaId, this.path(arenaId), this.#options.arenaBytesMax);
      this.#closeLeastRecentlyUsed();
    } else {
      this.#open.delete(arenaId);
    }
    this.#open.set(arenaId, arena);
    return arena;
  }

  #closeLeastRecentlyUsed(): void {
    if (this.#open.size < OPEN_ARENAS_MAX) return;
    for (const [id, arena] of this.#open) {
      if (id === this.#current?.arena.id || arena.isPutting) continue;
      this.#open.delete(id);
      arena.close().catch((error: unknown) => {
        this.#options.log.error({ err: error, arena: id }, 'closing an arena failed');
      });
      return;
    }
  }

  /** Unlinks an arena. Only after a durable metastore names nothing in it (I2). */
  async remove(arenaId: number): Promise<void> {
    assert(arenaId !== this.#current?.arena.id, 'the current arena must be sealed before removal');
    const arena = this.#open.get(arenaId);
    this.#open.delete(arenaId);
    await arena?.close();
    this.onRemove(arenaId);
    removeArenaFiles(this.path(arenaId));
  }

  /** Space on the host of one arena, bytes. */
  arenaBytes(arenaId: number): number {
    return arenaHostBytes(this.path(arenaId));
  }

  async close(): Promise<void> {
    this.#current = undefined;
    const arenas = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(arenas.map(async (arena) => arena.close()));
  }
}
