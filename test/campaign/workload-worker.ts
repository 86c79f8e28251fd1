// Child process of the power cut campaign: one system call after the other in a mounted store, until
// the time is over or the filesystem dies under it. Before and after each it tells a log on the host,
// which survives, so the log says what had been promised at any moment.
//
// Arguments: WorkerOptions as JSON. One line of JSON for each event: WorkloadEvent.

import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Caller, Flag } from '../support/commands-syscalls.ts';
import { nowNs } from '../support/lossy-disk-record.ts';
import { contentOf, Random } from '../support/random.ts';
import {
  chooseOperation,
  isNameOperation,
  ModelTree,
  type FileOperation,
  type NameOperation,
  type Operation,
} from './workload.ts';

export interface WorkerOptions {
  readonly root: string;
  readonly seed: number;
  readonly log: string;
  readonly seconds: number;
  /** File with the operations that led to what is there, as JSON. */
  readonly history: string;
}

export type WorkloadEvent =
  | { readonly event: 'started'; readonly timeNs: number; readonly operation: Operation }
  | { readonly event: 'done'; readonly timeNs: number }
  | { readonly event: 'failed'; readonly timeNs: number; readonly message: string };

const HELD_MAX = 4;

class Worker {
  readonly #root: string;
  readonly #caller = Caller.start();
  readonly #held: number[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  /** @throws whatever the filesystem answers */
  async perform(operation: Operation): Promise<void> {
    const path = join(this.#root, operation.path);
    if (isNameOperation(operation)) await this.#performOnNames(path, operation);
    else await this.#performOnFile(path, operation);
  }

  async #performOnNames(path: string, operation: NameOperation): Promise<void> {
    switch (operation.kind) {
      case 'create':
        return closeSync(openSync(path, 'wx', operation.mode));
      case 'mkdir':
        mkdirSync(path, operation.mode);
        return;
      case 'symlink':
        return symlinkSync(operation.target, path);
      case 'link':
        return linkSync(path, join(this.#root, operation.to));
      case 'rename':
        return renameSync(path, join(this.#root, operation.to));
      case 'exchange':
        return this.#exchange(path, join(this.#root, operation.to));
      case 'unlink':
        return unlinkSync(path);
      case 'rmdir':
        return rmdirSync(path);
    }
  }

  async #performOnFile(path: string, operation: FileOperation): Promise<void> {
    switch (operation.kind) {
      case 'write':
        return this.#write(path, 'r+', operation, operation.offset);
      case 'append':
        return this.#write(path, 'a', operation, undefined);
      case 'truncate':
        return truncateSync(path, operation.bytes);
      case 'punch':
      case 'allocate':
        return this.#allocate(path, operation);
      case 'chmod':
        return chmodSync(path, operation.mode);
      case 'utimes':
        return utimesSync(path, operation.seconds, operation.seconds);
      case 'setxattr':
      case 'removexattr':
        return this.#changeXattr(path, operation);
      case 'fsync':
        return withOpen(path, 'r+', fsyncSync);
      case 'fsyncFolder':
        return withOpen(path, 'r', fsyncSync);
      case 'sync':
        return this.#syncAll();
      case 'hold':
        if (this.#held.length < HELD_MAX) this.#held.push(openSync(path, 'r'));
        return;
      case 'drop':
        for (const descriptor of this.#held.splice(0)) closeSync(descriptor);
    }
  }

  async end(): Promise<void> {
    await this.#caller[Symbol.asyncDispose]();
  }

  #write(
    path: string,
    flags: string,
    { seed, bytes }: { readonly seed: number; readonly bytes: number },
    offset: number | undefined,
  ): void {
    const data = contentOf(seed, bytes);
    withOpen(path, flags, (descriptor) => {
      const count = writeSync(descriptor, data, 0, bytes, offset ?? null);
      if (count !== bytes) throw new Error(`wrote ${count} of ${bytes} bytes`);
    });
  }

  async #allocate(
    path: string,
    range: { readonly kind: string; readonly offset: number; readonly bytes: number },
  ): Promise<void> {
    const punch = Flag.FALLOC_KEEP_SIZE | Flag.FALLOC_PUNCH_HOLE;
    const mode = range.kind === 'punch' ? punch : 0;
    await this.#withDescriptor(path, Flag.O_RDWR, async (descriptor) => {
      await this.#caller.must('fallocate', descriptor, mode, range.offset, range.bytes);
    });
  }

  async #exchange(path: string, to: string): Promise<void> {
    const [at, flags] = [Flag.AT_FDCWD, Flag.RENAME_EXCHANGE];
    await this.#caller.must('renameat2', at, path, at, to, flags);
  }

  async #changeXattr(
    path: string,
    change: Extract<Operation, { readonly kind: 'setxattr' | 'removexattr' }>,
  ): Promise<void> {
    if (change.kind === 'removexattr') {
      await this.#caller.must('lremovexattr', path, change.name);
      return;
    }
    const value = Buffer.from(change.value);
    await this.#caller.must('lsetxattr', path, change.name, value, value.length, 0);
  }

  /** syncfs(2) of a FUSE mount does not ask its server; fsync of its root does all the same. */
  async #syncAll(): Promise<void> {
    await this.#withDescriptor(this.#root, Flag.O_RDONLY, async (descriptor) => {
      await this.#caller.must('fdatasync', descriptor);
    });
  }

  async #withDescriptor(
    path: string,
    flags: number,
    action: (descriptor: number) => Promise<void>,
  ): Promise<void> {
    const descriptor = await this.#caller.open(path, flags);
    try {
      await action(descriptor);
    } finally {
      await this.#caller.call('close', descriptor);
    }
  }
}

function withOpen(path: string, flags: string, action: (descriptor: number) => void): void {
  const descriptor = openSync(path, flags);
  try {
    action(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Bursts, a steady trickle, and pauses in which the store commits by itself and checkpoints. */
function* pausesMs(random: Random): Generator<number> {
  for (;;) {
    const kind = random.below(5);
    if (kind === 0) yield 500 + random.below(5_000);
    const longestMs = kind < 3 ? 0 : random.pick([3, 30]);
    for (let count = 20 + random.below(150); count > 0; count -= 1) {
      yield longestMs === 0 ? 0 : random.below(longestMs);
    }
  }
}

async function work({ root, seed, log, seconds, history }: WorkerOptions): Promise<void> {
  const descriptor = openSync(log, 'a');
  const note = (event: WorkloadEvent): void => {
    writeSync(descriptor, `${JSON.stringify(event)}\n`);
  };
  const random = new Random(seed);
  const model = new ModelTree();
  for (const operation of JSON.parse(readFileSync(history, 'utf8')) as Operation[]) {
    model.apply(operation);
  }
  const worker = new Worker(root);
  const untilMs = Date.now() + seconds * 1000;
  for (const pauseMs of pausesMs(random)) {
    if (Date.now() >= untilMs) break;
    if (pauseMs > 0) await delay(Math.min(pauseMs, untilMs - Date.now()));
    const operation = chooseOperation(random, model);
    note({ event: 'started', timeNs: nowNs(), operation });
    try {
      await worker.perform(operation);
    } catch (error) {
      note({ event: 'failed', timeNs: nowNs(), message: String(error) });
      break;
    }
    note({ event: 'done', timeNs: nowNs() });
    model.apply(operation);
  }
  await worker.end();
}

process.umask(0);
await work(JSON.parse(process.argv[2] ?? '') as WorkerOptions);
