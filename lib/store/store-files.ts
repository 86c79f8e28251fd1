// What the store's own files occupy on the host. A sealed arena is never written again: of many (1 TB of
// packs is a thousand) only those are looked at each time that may have changed, and the folder is read
// anew only when a file has come or gone.

import { readdirSync, statSync, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expectDefined } from '../assert.ts';

/** Before that an arena's last packs may be under way. */
const SETTLED_MS = 60_000;
/** More than the host's clock of changes may stand still. */
const STAMP_MS = 100;
const ARENA_FILE = /^a(\d+)\.mdb(-lock)?$/;

interface StoreFile {
  readonly name: string;
  readonly path: string;
  /** Of an arena before the last two: the former of them may still get packs that found no room. */
  readonly isSealed: boolean;
}

/** The folder of arenas as of a change of it. */
interface Arenas {
  readonly mtimeMs: number;
  readonly listedMs: number;
  readonly settledBytes: number;
  /** Files that are to be looked at each time. */
  readonly others: readonly StoreFile[];
}

export class StoreFiles {
  readonly #storePath: string;
  readonly #arenasPath: string;
  /** Bytes of files that stay as they are, by their names. */
  readonly #settled = new Map<string, number>();
  #known: Arenas | undefined;

  constructor(storePath: string) {
    this.#storePath = storePath;
    this.#arenasPath = join(storePath, 'arenas');
  }

  /** Bytes that they occupy. @throws Error  of the host */
  get bytes(): number {
    const { settledBytes, others } = this.#arenas();
    let bytes = settledBytes;
    for (const file of [...filesIn(this.#storePath), ...others]) {
      bytes += this.#note(file, statSync(file.path, QUIETLY));
    }
    return bytes;
  }

  #arenas(): Arenas {
    const { mtimeMs } = statSync(this.#arenasPath);
    // Of a folder changed just now the next change may have the same time.
    const isKnown = this.#known?.mtimeMs === mtimeMs && this.#known.listedMs > mtimeMs + STAMP_MS;
    if (!isKnown) this.#known = this.#list(mtimeMs);
    return expectDefined(this.#known, 'arenas');
  }

  #list(mtimeMs: number): Arenas {
    const listedMs = Date.now();
    const files = filesIn(this.#arenasPath);
    this.#forgetRemoved(files);
    const others = files.filter(({ name }) => !this.#settled.has(name));
    const settledBytes = [...this.#settled.values()].reduce((sum, bytes) => sum + bytes, 0);
    return { mtimeMs, listedMs, settledBytes, others };
  }

  /** Looks at sealed arenas beforehand, and lets the event loop go on meanwhile. @throws Error  of the host */
  async lookAhead(): Promise<void> {
    for (const file of filesIn(this.#arenasPath)) {
      if (file.isSealed) this.#note(file, await statIfThere(file.path));
    }
    this.#known = undefined;
    this.#arenas();
  }

  /** Its bytes, remembered if they stay so. */
  #note({ name, isSealed }: StoreFile, stats: Stats | undefined): number {
    const bytes = (stats?.blocks ?? 0) * 512;
    if (stats !== undefined && isSealed && Date.now() - stats.mtimeMs > SETTLED_MS) {
      this.#settled.set(name, bytes);
    }
    return bytes;
  }

  #forgetRemoved(arenas: readonly StoreFile[]): void {
    const names = new Set(arenas.map(({ name }) => name));
    for (const name of this.#settled.keys()) if (!names.has(name)) this.#settled.delete(name);
  }
}

const QUIETLY = { throwIfNoEntry: false } as const;

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function filesIn(folder: string): StoreFile[] {
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
  const last = Math.max(...names.map(arenaOf));
  return names.map((name) => ({
    name,
    path: join(folder, name),
    isSealed: ARENA_FILE.test(name) && arenaOf(name) < last - 1,
  }));
}

/** Number of the arena that a file belongs to; -Infinity: none. */
function arenaOf(name: string): number {
  const [, number] = ARENA_FILE.exec(name) ?? [];
  return number === undefined ? -Infinity : Number(number);
}
