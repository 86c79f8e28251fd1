// Goal: whatever is done to files, in whatever order and while ingest is under way, reads give what
// was written. Method: random changes to a few files of several MiB against plain buffers, reads in
// between, commits that are not waited for; at the end a remount and fsck. The seed is printed.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { assertStoreClean, openAt, SLABS, type OpenedStore } from '../support/open-store.ts';
import {
  KEEP_SIZE,
  O_TRUNC,
  PUNCH_HOLE,
  ZERO_RANGE,
  type OpenedFile,
} from '../support/filesystem-driver.ts';
import { printedSeed, Random } from '../support/random.ts';
import { payloadOf } from '../support/payloads.ts';

const FILES = 4;
/** Three segments of the extent map, and more than one job. */
const FILE_BYTES_MAX = 11 * 1024 * 1024;
const OPERATIONS = 400;
const ROUNDS = 4;

interface ModelFile {
  readonly name: string;
  content: Buffer;
  opened: OpenedFile;
}

class Run {
  readonly #t: Test;
  readonly #random: Random;
  readonly #opened: OpenedStore;
  readonly #files: ModelFile[] = [];
  /** Commits under way. */
  readonly #commits = new Set<Promise<void>>();
  /** What was done lately, for the message of a failure. */
  readonly #trace: string[] = [];
  isWrong = false;

  constructor(t: Test, random: Random, opened: OpenedStore) {
    this.#t = t;
    this.#random = random;
    this.#opened = opened;
  }

  async begin(): Promise<void> {
    for (let index = 0; index < FILES; index += 1) {
      const name = `file ${index}`;
      const opened = await this.#opened.driver.create(name);
      this.#files.push({ name, content: Buffer.alloc(0), opened });
    }
  }

  async step(): Promise<void> {
    const random = this.#random;
    const file = random.pick(this.#files);
    const changes = [
      async () => this.#write(file, random.below(FILE_BYTES_MAX)),
      async () => this.#write(file, random.below(file.content.length + 1)),
      async () => this.#write(file, file.content.length),
      async () => this.#write(file, file.content.length),
      async () => this.#truncate(file),
      async () => this.#punch(file, PUNCH_HOLE | KEEP_SIZE),
      async () => this.#punch(file, ZERO_RANGE),
      async () => this.#copy(file),
      async () => this.#reopen(file),
      async () => this.#replace(file),
      async () => this.#commit(),
    ];
    await random.pick(changes)();
    await this.#checkRange(random.pick(this.#files));
    if (random.oneIn(3)) await new Promise((resolve) => setImmediate(resolve));
  }

  #note(what: string): void {
    this.#trace.push(what);
    if (this.#trace.length > 30) this.#trace.shift();
  }

  async #write(file: ModelFile, wanted: number): Promise<void> {
    const random = this.#random;
    const isLong = random.oneIn(6);
    const bytes = 1 + (isLong ? random.below(3 * 1024 * 1024) : random.size(256 * 1024));
    const offset = Math.min(wanted, FILE_BYTES_MAX - bytes);
    const payload = payloadOf(random, bytes);
    const payloadBytes = random.oneIn(2) ? 1024 * 1024 : 1 + random.below(200_000);
    this.#note(`write ${file.name} ${offset}+${bytes}`);
    await this.#opened.driver.write(file.opened.fh, offset, payload, { payloadBytes });
    this.#grow(file, offset + bytes);
    payload.copy(file.content, offset);
  }

  #grow(file: ModelFile, size: number): void {
    if (size <= file.content.length) return;
    file.content = Buffer.concat([file.content, Buffer.alloc(size - file.content.length)]);
  }

  async #truncate(file: ModelFile): Promise<void> {
    const random = this.#random;
    const size = random.oneIn(4) ? 0 : random.below(FILE_BYTES_MAX);
    this.#note(`truncate ${file.name} ${size}`);
    await this.#opened.driver.truncate(file.opened.ino, size);
    this.#grow(file, size);
    file.content = Buffer.from(file.content.subarray(0, size));
  }

  async #punch(file: ModelFile, mode: number): Promise<void> {
    const offset = this.#random.below(FILE_BYTES_MAX - 1);
    const bytes = 1 + this.#random.size(FILE_BYTES_MAX - offset - 1);
    this.#note(`allocate ${file.name} ${offset}+${bytes} mode ${mode}`);
    await this.#opened.driver.allocate(file.opened.fh, { offset, bytes }, mode);
    if ((mode & KEEP_SIZE) === 0) this.#grow(file, offset + bytes);
    file.content.fill(0, offset, Math.min(offset + bytes, file.content.length));
  }

  /** Other files change while the copy waits for its source. */
  async #copy(source: ModelFile): Promise<void> {
    const random = this.#random;
    const target = random.pick(this.#files);
    const from = random.below(source.content.length + 1);
    let bytes = random.size(source.content.length - from);
    const to = random.below(FILE_BYTES_MAX - bytes);
    if (source === target) bytes = Math.min(bytes, Math.abs(from - to));
    if (bytes <= 0) return;
    this.#note(`copy ${source.name} ${from}+${bytes} to ${target.name} ${to}`);
    const copying = this.#opened.driver.copy(
      { ino: source.opened.ino, offset: from },
      { ino: target.opened.ino, offset: to },
      bytes,
    );
    const other = this.#files.find((file) => file !== source && file !== target);
    if (other !== undefined && random.oneIn(2)) await this.#write(other, other.content.length);
    const copied = await copying;
    if (copied !== bytes) this.#fail(`copied ${copied} bytes of ${bytes}`);
    this.#grow(target, to + bytes);
    Buffer.from(source.content.subarray(from, from + bytes)).copy(target.content, to);
  }

  async #reopen(file: ModelFile): Promise<void> {
    const { driver } = this.#opened;
    const isTruncated = this.#random.oneIn(6);
    this.#note(`reopen ${file.name}${isTruncated ? ' truncated' : ''}`);
    driver.release(file.opened.fh);
    file.opened = await driver.open(file.name, isTruncated ? O_TRUNC : 0);
    if (isTruncated) file.content = Buffer.alloc(0);
  }

  /** Removes the file, in use or not, and makes one of the same name. */
  async #replace(file: ModelFile): Promise<void> {
    if (!this.#random.oneIn(3)) return;
    const { driver } = this.#opened;
    this.#note(`replace ${file.name}`);
    const old = file.opened.fh;
    const isClosedFirst = this.#random.oneIn(2);
    if (isClosedFirst) driver.release(old);
    await driver.remove(file.name);
    if (!isClosedFirst) driver.release(old);
    file.opened = await driver.create(file.name);
    file.content = Buffer.alloc(0);
  }

  async #commit(): Promise<void> {
    this.#note('commit');
    const commit = this.#opened.store.commit();
    this.#commits.add(commit);
    void commit.finally(() => this.#commits.delete(commit));
    if (this.#random.oneIn(3)) await commit;
  }

  async #checkRange(file: ModelFile): Promise<void> {
    const offset = this.#random.below(file.content.length + 1);
    const bytes = this.#random.size(2 * 1024 * 1024);
    const found = await this.#opened.driver.read(file.opened.fh, offset, bytes);
    this.#compare(file, found, offset, offset + bytes);
  }

  #compare(file: ModelFile, found: Buffer, offset: number, end: number): void {
    const expected = file.content.subarray(offset, end);
    if (found.equals(expected)) return;
    const at = expected.findIndex((byte, index) => found[index] !== byte);
    this.#fail(
      `${file.name}: ${found.length} bytes at ${offset} differ from byte ${offset + at} on`,
    );
  }

  #fail(what: string): void {
    if (!this.isWrong) this.#t.fail(`${what}, after: ${this.#trace.join('; ')}`);
    this.isWrong = true;
  }

  async end(): Promise<void> {
    await Promise.all(this.#commits);
    for (const file of this.#files) this.#opened.driver.release(file.opened.fh);
    await this.#opened.store.commit();
    this.#t.equal(this.#opened.pool.freeCount, SLABS, 'every slab is back in the pool');
    await this.check(this.#opened);
  }

  async check({ driver }: OpenedStore): Promise<void> {
    for (const file of this.#files) {
      this.#compare(file, await driver.get(file.name), 0, FILE_BYTES_MAX);
    }
  }
}

for (let round = 0; round < ROUNDS; round += 1) {
  t.test(`random changes read back as a model says, round ${round}`, async (t) => {
    const random = new Random(printedSeed(t) + round);
    const path = join(t.testdir(), 'store');
    const opened = await openAt(t, path);
    const run = new Run(t, random, opened);
    await run.begin();
    for (let step = 0; step < OPERATIONS && !run.isWrong; step += 1) await run.step();
    await run.end();
    await opened.store.close();
    const again = await openAt(t, path);
    await run.check(again);
    await assertStoreClean(t, again.store);
    await again.store.close();
    t.notOk(run.isWrong, 'nothing differed');
  });
}
