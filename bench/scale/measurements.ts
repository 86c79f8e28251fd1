// One pass over a mounted synthetic store: each operation that its size could slow down, once.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { runProgram, runShell } from '../../examples/programs.ts';
import { Keystream, writeSources } from '../sources.ts';
import type { MountedStore } from './mounted-store.ts';
import { FILES_PER_FOLDER, type Shape } from './shape.ts';

const client = fileURLToPath(new URL('client.js', import.meta.url));
const LOOKUPS = 500;
const READS = 100;
const CREATED_FILES = 1000;
const TIMEOUT_MS = 120_000;
/** Of a store with few folders, each of which one pass empties. */
export const PASSES_MAX = 5;

export interface Measured {
  readonly name: string;
  readonly seconds: number;
  /** undefined: the daemon was not there all the time. */
  readonly daemonCpuSeconds?: number;
  readonly diskReadBytes?: number;
}

export interface Pass {
  readonly measured: readonly Measured[];
  readonly residentBytesMounted: number;
  readonly residentBytesPeak: number;
}

export interface PassOptions {
  readonly shape: Shape;
  /** Distinguishes the names and the data of this pass from all others. */
  readonly seed: string;
  /** Which folder of files this pass may delete. */
  readonly pass: number;
  readonly writtenBytes: number;
  /** On the host, for lists and sources. */
  readonly scratch: string;
  readonly signal: AbortSignal;
}

export async function measurePass(store: MountedStore, options: PassOptions): Promise<Pass> {
  return new Passage(store, options).run();
}

class Passage {
  readonly #store: MountedStore;
  readonly #options: PassOptions;
  readonly #random: Keystream;
  readonly #measured: Measured[] = [];
  #residentBytesPeak = 0;

  constructor(store: MountedStore, options: PassOptions) {
    this.#store = store;
    this.#options = options;
    this.#random = new Keystream(options.seed, 'choices');
  }

  async run(): Promise<Pass> {
    const { signal, seed, scratch, writtenBytes } = this.#options;
    writeSources(scratch, new Set(['unique']), { seed, bytes: writtenBytes });
    await this.#store.forget(signal);
    const residentBytesMounted = await this.#mount('mount, cold');
    await this.#readings('cold');
    await this.#unmount('umount, nothing changed');
    await this.#store.remember(signal);
    await this.#mount('mount, warm');
    await this.#readings('warm');
    await this.#changes();
    const measured = this.#measured;
    return { measured, residentBytesMounted, residentBytesPeak: this.#residentBytesPeak };
  }

  async #readings(state: 'cold' | 'warm'): Promise<void> {
    const { mountpoint } = this.#store;
    const lookups = this.#list(LOOKUPS);
    // A large store has more of them: what they cost is not that of a file.
    await this.#runClient('folders', mountpoint, lookups);
    await this.#client(`${LOOKUPS} lookups, ${state}`, 'lookup', mountpoint, lookups);
    const folder = join(mountpoint, this.#options.shape.folderPath(this.#folder()));
    await this.#client(`find -ls of a folder, ${state}`, 'list', folder);
    const reads = this.#list(READS);
    await this.#runClient('folders', mountpoint, reads);
    await this.#client(`read ${READS} files, ${state}`, 'read', mountpoint, reads);
    await this.#command(`stats, ${state}`, 'stats', mountpoint);
    await this.#client(`20 statfs, ${state}`, 'statfs', mountpoint);
  }

  async #changes(): Promise<void> {
    const { pass, scratch, shape } = this.#options;
    const { mountpoint } = this.#store;
    const unique = join(scratch, 'unique');
    const newPath = join(mountpoint, `new-${pass}`);
    const knownPath = join(mountpoint, `known-${pass}`);
    const createdPath = join(mountpoint, `created-${pass}`);
    const count = String(CREATED_FILES);
    await this.#client(`create ${CREATED_FILES} files`, 'create', createdPath, count);
    await this.#client('write new data', 'write', newPath, unique);
    await this.#unmount('umount after writing');
    await this.#mount('mount, warm');
    await this.#client('write known data', 'write', knownPath, unique);
    await this.#client('40 fsyncs of 4 KiB', 'fsync', join(mountpoint, `synced-${pass}`));
    const emptied = join(
      mountpoint,
      shape.folderPath(shape.folders - 1 - pass - this.#emptiedBefore),
    );
    await this.#client(`unlink ${FILES_PER_FOLDER} files`, 'unlink', emptied);
    await this.#unmount('umount after writing');
    await this.#tidyUp([newPath, knownPath, createdPath]);
  }

  /** So that the stores keep their size. */
  async #tidyUp(paths: readonly string[]): Promise<void> {
    await this.#store.mount();
    await runShell('rm -r "$@"', ['bench', ...paths], { signal: this.#signal });
    await this.#store.command(['gc', this.#store.mountpoint]);
    this.#notePeak();
    await this.#store.unmount();
  }

  /** @returns resident memory right after it */
  async #mount(name: string): Promise<number> {
    const { seconds } = await this.#store.mount();
    this.#measured.push({ name, seconds });
    return this.#store.residentBytes;
  }

  async #unmount(name: string): Promise<void> {
    this.#notePeak();
    const { seconds } = await this.#store.unmount();
    this.#measured.push({ name, seconds });
  }

  #notePeak(): void {
    this.#residentBytesPeak = Math.max(this.#residentBytesPeak, this.#store.residentBytesPeak);
  }

  async #command(name: string, command: string, argument: string): Promise<void> {
    await this.#watch(name, async () => (await this.#store.command([command, argument])).seconds);
  }

  async #client(name: string, ...args: string[]): Promise<void> {
    await this.#watch(name, async () => this.#runClient(...args));
  }

  /** @returns the seconds that it says */
  async #runClient(...args: string[]): Promise<number> {
    const options = { signal: this.#signal };
    const { stdout } = await runProgram(process.execPath, [client, ...args], options);
    return Number(stdout);
  }

  async #watch(name: string, run: () => Promise<number>): Promise<void> {
    const before = this.#store.cost;
    const seconds = await run();
    const after = this.#store.cost;
    this.#measured.push({
      name,
      seconds,
      daemonCpuSeconds: after.cpuSeconds - before.cpuSeconds,
      diskReadBytes: after.diskReadBytes - before.diskReadBytes,
    });
  }

  get #signal(): AbortSignal {
    return AbortSignal.any([this.#options.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  }

  /** Names of random files, one in a line. @returns the list's path */
  #list(count: number): string {
    const { shape, scratch } = this.#options;
    const path = join(scratch, 'list');
    const paths = Array.from({ length: count }, () => {
      const name = shape.fileName(this.#below(FILES_PER_FOLDER));
      return `${shape.folderPath(this.#folder())}/${name}`;
    });
    writeFileSync(path, paths.join('\n'));
    return path;
  }

  /** A random one, of those that no pass empties. */
  #folder(): number {
    return this.#below(Math.max(1, Math.floor(this.#options.shape.folders / 2)));
  }

  /** Folders that runs before this one may have emptied: others of a large store are taken. */
  get #emptiedBefore(): number {
    const spare = Math.floor(this.#options.shape.folders / 2) - PASSES_MAX;
    return this.#below(Math.max(1, spare));
  }

  #below(end: number): number {
    return this.#random.next(4).readUInt32LE() % end;
  }
}
