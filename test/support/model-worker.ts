// Child process of the concurrency test: works in a directory of its own and in one that all share,
// compares what it reads with its model all the time, and at the end writes down what must be there.
//
// Arguments: root, worker's index, seed, seconds, report file. Exit code 1 and a message on stderr
// when anything read is not what was written.

import { createHash } from 'node:crypto';
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { differencesFromDisk, performOn } from './model-disk.ts';
import { chooseOperation } from './model-operations.ts';
import { ModelTree } from './model.ts';
import { Random, contentOf } from './random.ts';

/** What a worker leaves behind, for the test to check again after a remount. */
export interface WorkerReport {
  readonly operations: number;
  readonly reads: number;
  /** Path below the root to sha256, for every file of this worker. */
  readonly files: Readonly<Record<string, string>>;
}

const SHARED_FILES_MAX = 20;

class Worker {
  readonly #root: string;
  readonly #own: string;
  readonly #random: Random;
  readonly #model = new ModelTree();
  readonly #prefix: string;
  /** Names in the shared directory that this worker made. */
  readonly #shared: string[] = [];
  #operations = 0;
  #reads = 0;

  constructor(root: string, index: number, seed: number) {
    this.#root = root;
    this.#prefix = `worker-${index}`;
    this.#own = join(root, this.#prefix);
    this.#random = new Random(seed + index);
    mkdirSync(this.#own);
    mkdirSync(join(root, 'shared'), { recursive: true });
  }

  work(untilMs: number): void {
    const actions = [
      () => this.#changeOwn(),
      () => this.#changeOwn(),
      () => this.#changeOwn(),
      () => this.#readOwn(),
      () => this.#readOwn(),
      () => this.#listOwn(),
      () => this.#putShared(),
      () => this.#readShared(),
      () => this.#removeShared(),
    ];
    while (Date.now() < untilMs) {
      this.#random.pick(actions)();
      if (this.#random.oneIn(500)) this.#verifyOwn();
    }
    this.#verifyOwn();
  }

  report(): WorkerReport {
    const files: Record<string, string> = {};
    for (const path of this.#model.pathsOf('file')) {
      files[`${this.#prefix}/${path}`] = sha256Of(this.#model.file(path).content);
    }
    for (const name of this.#shared) files[`shared/${name}`] = hashInName(name);
    return { operations: this.#operations, reads: this.#reads, files };
  }

  #changeOwn(): void {
    const operation = chooseOperation(this.#random, this.#model);
    performOn(this.#own, operation);
    this.#model.apply(operation);
    this.#operations++;
  }

  /** Reads a random range, through a handle of its own, and checks the size. */
  #readOwn(): void {
    const files = this.#model.pathsOf('file');
    if (files.length === 0) return;
    const path = this.#random.pick(files);
    const { content } = this.#model.file(path);
    const size = lstatSync(join(this.#own, path)).size;
    expect(size === content.length, `${path} has ${size} bytes, not ${content.length}`);
    const offset = this.#random.below(content.length + 10);
    const want = content.subarray(offset, offset + this.#random.size(200_000));
    const got = readRange(join(this.#own, path), offset, want.length);
    expect(want.equals(got), `${path}: ${want.length} bytes at ${offset} are not what was written`);
    this.#reads++;
  }

  #listOwn(): void {
    const directory = this.#random.pick(['', ...this.#model.pathsOf('directory')]);
    const prefix = directory === '' ? '' : `${directory}/`;
    const want = [...this.#model.nodes.keys()]
      .filter((path) => path.startsWith(prefix) && !path.slice(prefix.length).includes('/'))
      .map((path) => path.slice(prefix.length));
    const got = readdirSync(join(this.#own, directory));
    expect(
      want.sort().join('\n') === got.sort().join('\n'),
      `${directory} lists ${got.join()}, not ${want.join()}`,
    );
  }

  /** A file in the shared directory gets its name, with its hash, when it is complete. */
  #putShared(): void {
    if (this.#shared.length >= SHARED_FILES_MAX) return;
    const content = contentOf(this.#random.below(10_000), this.#random.size(300_000));
    const name = `${this.#prefix}-${this.#operations}-${sha256Of(content)}`;
    if (this.#shared.includes(name)) return;
    const unfinished = join(this.#root, this.#prefix, 'unfinished');
    writeFileSync(unfinished, content);
    renameSync(unfinished, join(this.#root, 'shared', name));
    this.#shared.push(name);
    this.#operations++;
  }

  /** Any worker may read any shared file; it is whole, or removed. */
  #readShared(): void {
    const names = readdirSync(join(this.#root, 'shared'));
    const missing = this.#shared.filter((name) => !names.includes(name));
    expect(missing.length === 0, `the shared directory does not list ${missing.join()}`);
    if (names.length === 0) return;
    const name = this.#random.pick(names);
    try {
      const hash = sha256Of(readFileSync(join(this.#root, 'shared', name)));
      expect(hash === hashInName(name), `shared/${name} has other contents: ${hash}`);
      this.#reads++;
    } catch (error) {
      const isRemoved = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!isRemoved || this.#shared.includes(name)) throw error;
    }
  }

  #removeShared(): void {
    if (this.#shared.length === 0 || !this.#random.oneIn(2)) return;
    const [name = ''] = this.#shared.splice(this.#random.below(this.#shared.length), 1);
    unlinkSync(join(this.#root, 'shared', name));
    this.#operations++;
  }

  #verifyOwn(): void {
    const differences = differencesFromDisk(this.#model, this.#own);
    expect(differences.length === 0, differences.slice(0, 10).join('\n'));
  }
}

function readRange(path: string, offset: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  const fd = openSync(path, 'r');
  try {
    for (let done = 0; done < bytes;) {
      const count = readSync(fd, buffer, done, bytes - done, offset + done);
      if (count === 0) return buffer.subarray(0, done);
      done += count;
    }
    return buffer;
  } finally {
    closeSync(fd);
  }
}

function sha256Of(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

function hashInName(name: string): string {
  return name.slice(name.lastIndexOf('-') + 1);
}

function expect(isTrue: boolean, message: string): void {
  if (!isTrue) throw new Error(message);
}

const [root = '', index = '', seed = '', seconds = '', report = ''] = process.argv.slice(2);
const worker = new Worker(root, Number(index), Number(seed));
worker.work(Date.now() + Number(seconds) * 1000);
writeFileSync(report, JSON.stringify(worker.report()));
