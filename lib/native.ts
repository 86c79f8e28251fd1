// The C++ addon, typed. The only file that loads it. Functions named try* and read/writev return a
// negative errno instead of throwing, because EAGAIN, ENODEV and the like are everyday answers there.

import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Parameters of the chunk cutter, fixed per store (FORMAT). */
export interface CutParameters {
  /** Smallest chunk, bytes; at least 64. */
  readonly bytesMin: number;
  /** Largest chunk, bytes. */
  readonly bytesMax: number;
  /** v(i) = load32le(i - 4) * multiplier + addend (mod 2^32); multiplier is odd. */
  readonly multiplier: number;
  readonly addend: number;
}

/** Watches a descriptor on the event loop of the thread that made it. */
export interface Poller {
  /** Begins calling back while the descriptor is readable or in error. Idempotent. */
  start(): void;
  /** Pauses; level-triggered, so nothing is lost. Idempotent. */
  stop(): void;
  /** Ends for good; required before the descriptor is closed. Idempotent. */
  close(): void;
}

export interface Native {
  /** /dev/fuse, O_RDWR | O_CLOEXEC | O_NONBLOCK. Returns the descriptor or a negative errno. */
  openFuseDevice(): number;
  /** mount(2). Returns 0 or a negative errno; E2BIG when the kernel would cut `data` short. */
  mount(source: string, target: string, type: string, flags: number, data: string): number;
  /** umount2(2) on a thread of the pool, because it may need this process to answer. 0 or negative errno. */
  unmount(target: string, flags: number): Promise<number>;
  /**
   * Runs `fusermount3 -o OPTIONS -- TARGET` over a socketpair and receives the mounted descriptor
   * (made non-blocking and close-on-exec). Waits for the helper to end, 15 s at most.
   * @returns fd >= 0, or -errno with what the helper wrote to standard error: ENOENT no helper in
   *   PATH, ETIMEDOUT it was killed, EIO it refused (standard error says why)
   */
  mountByHelper(target: string, options: string): { fd: number; stderr: string };
  close(fd: number): void;

  /** One read(2), retried on EINTR, into buffer[offset, offset + bytes). Bytes read or negative errno. */
  read(fd: number, buffer: Uint8Array, offset: number, bytes: number): number;
  /** One writev(2) of a header and, when `body` is given, its range. Bytes written or negative errno. */
  writev(
    fd: number,
    header: Uint8Array,
    headerBytes: number,
    body?: Uint8Array,
    bodyOffset?: number,
    bodyBytes?: number,
  ): number;
  /**
   * Made stopped. The callback runs like one of a timer: what it throws is an uncaught exception.
   * @param callback status 0: readable; negative errno: the descriptor is in error, the poller has
   *   stopped, and a read tells why (ENODEV: unmounted, ECONNABORTED: aborted)
   * @throws Error with `code` when the descriptor cannot be polled
   */
  createPoller(fd: number, callback: (status: number) => void): Poller;

  /** flock(LOCK_EX | LOCK_NB). 0 or negative errno (EWOULDBLOCK: held by another). */
  tryLock(fd: number): number;

  /**
   * fallocate(2): gives the range of a file blocks that no other program can take; what has them
   * stays as it is. `keepsSize`: the file's size does not change, blocks beyond it are held ready.
   * @returns 0 or negative errno (ENOSPC, EDQUOT; EOPNOTSUPP where the file system cannot)
   */
  allocate(fd: number, offset: number, bytes: number, keepsSize: boolean): number;

  /**
   * lseek(SEEK_DATA): where the next data of a file begins, at `offset` or behind it. It may be `offset`
   * in a hole, where the file system cannot tell. @returns negative errno (ENXIO: there is none)
   */
  seekData(fd: number, offset: number): number;

  /**
   * lseek(SEEK_HOLE): where the data that lies at `offset` ends; the file's end, where no hole follows.
   * @returns negative errno (ENXIO: `offset` is not in the file)
   */
  seekHole(fd: number, offset: number): number;
  /** The kernel need not keep in memory what is read of the file. 0 or negative errno. */
  adviseReadOnce(fd: number): number;

  /**
   * Cuts buffer[from, to) into chunks and stores the end offset of each in `ends`. Without `isFinal`
   * only chunks that more data could not change are cut (fewer than bytesMax + 1 bytes may stay
   * uncut); with it, a rest of at most bytesMax becomes one chunk. Stops when `ends` is full.
   * @returns number of chunks
   */
  cutChunks(
    buffer: Uint8Array,
    from: number,
    to: number,
    parameters: CutParameters,
    isFinal: boolean,
    ends: Uint32Array,
  ): number;
  /**
   * First run of at least `bytesMin` zero bytes in buffer[from, to); its start and end go to
   * run[0] and run[1]. @returns whether there is one
   */
  findZeroRun(
    buffer: Uint8Array,
    from: number,
    to: number,
    bytesMin: number,
    run: Uint32Array,
  ): boolean;
  /** First offset in [from, to) that is not zero, or `to`. */
  skipZeros(buffer: Uint8Array, from: number, to: number): number;
  /**
   * Copies source[sourceOffset, + bytes) to target[targetOffset, ...). For shared memory, where V8's
   * own copy is a slow loop of atomic words. @throws RangeError  either range leaves its buffer
   */
  copy(
    source: Uint8Array,
    sourceOffset: number,
    target: Uint8Array,
    targetOffset: number,
    bytes: number,
  ): void;
  /**
   * madvise(MADV_HUGEPAGE) on the huge pages that lie wholly in the buffer, of pageBytes each.
   * @returns offset of the first byte that lies on such a page's border; -1: there is none
   */
  adviseHugePages(buffer: Uint8Array, pageBytes: number): number;
  /** The time of day in whole microseconds since 1970. */
  currentMicroseconds(): number;
  /**
   * Whether SQLite opens databases through our VFS (metastore/checked-database.ts) from now on.
   * @throws Error when the addon was not loaded as an extension of SQLite yet
   */
  selectCheckedVfs(isSelected: boolean): void;
  /**
   * Verifies the checksums of consecutive pages of a database, read past SQLite.
   * @param firstPage number of the first, counted from 1
   * @returns number of the first page that is damaged; 0: none
   */
  findDamagedPage(buffer: Uint8Array, pageBytes: number, firstPage: number): number;
  /** Name of the instruction set the cutter uses here: 'avx512', 'avx2', 'neon' or 'scalar'. */
  cutterKind(): string;

  /**
   * madvise(MADV_DONTNEED) on every read-only shared mapping of the file at `path` in this process:
   * the pages stay in the page cache, and stop counting as resident. Only for the thread that opens
   * and closes those mappings. @returns bytes advised; 0 when it is not mapped or does not exist
   */
  releaseMapping(path: string): number;

  /**
   * Sends one datagram to a service manager's socket (sd_notify(3)), without waiting.
   * @param path absolute, or `@` and an abstract name
   * @returns 0 or negative errno (ENOENT, ECONNREFUSED: nobody listens; EAFNOSUPPORT: not such a path)
   */
  notifyServiceManager(path: string, message: string): number;
}

const require = createRequire(import.meta.url);

/** dist/lib/native.js and lib/native.ts both lie one folder below the package, or two. */
function nativeFolder(): string {
  const load = require('node:fs') as typeof import('node:fs');
  for (const up of ['../native', '../../native']) {
    const folder = fileURLToPath(new URL(up, import.meta.url));
    if (load.existsSync(`${folder}/binding.gyp`)) return folder;
  }
  throw new Error("the native addon's folder is missing; reinstall dedupfs");
}

interface AddonLoader {
  (folder: string): Native;
  path(folder: string): string;
}

function withAddon<T>(work: (load: AddonLoader, folder: string) => T): T {
  const load = require('node-gyp-build') as AddonLoader;
  try {
    return work(load, nativeFolder());
  } catch (cause) {
    // What npm puts beside the sources has a binary for the machines it was packed on.
    const folder = dirname(nativeFolder());
    const remedy = `run 'npm run build:native' in ${folder}`;
    throw new Error(`the native addon is not built; ${remedy}`, { cause });
  }
}

/** The addon's file, for SQLite to load it as an extension. */
export function nativePath(): string {
  return withAddon((load, folder) => load.path(folder));
}

export const native: Native = withAddon((load, folder) => load(folder));
