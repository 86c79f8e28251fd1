// A tree on the host that changes between rounds as a user's files do: most stay, some grow, change
// in the middle, are replaced, come or go. What must be in each file is remembered as its sha256.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { contentOf, type Random } from '../support/random.ts';

/** Path below the root -> sha256 in hex. */
export type Manifest = ReadonlyMap<string, string>;

const FOLDERS = 12;

export class ChangingTree {
  readonly root: string;
  readonly #random: Random;
  readonly #fileBytesMax: number;
  readonly #files = new Map<string, string>();
  #created = 0;

  constructor(
    root: string,
    options: { readonly random: Random; readonly files: number; readonly fileBytesMax: number },
  ) {
    this.root = root;
    this.#random = options.random;
    this.#fileBytesMax = options.fileBytesMax;
    for (let count = 0; count < options.files; count++) this.#create();
  }

  /** What is in the tree now. */
  manifest(): Manifest {
    return new Map(this.#files);
  }

  /** Changes about one file in `oneIn`, and adds and removes a few. */
  change(oneIn: number): void {
    for (const path of this.#files.keys()) {
      if (this.#random.oneIn(oneIn)) this.#changeFile(path);
    }
    const added = this.#random.below(4);
    for (let count = 0; count < added; count++) this.#create();
    for (let count = 0; count < added; count++) this.#remove();
  }

  #create(): void {
    const folder = `folder-${this.#random.below(FOLDERS)}`;
    const name = `file-${this.#created++}`;
    this.#write(`${folder}/${name}`, this.#newContent());
  }

  #newContent(): Buffer {
    // Few seeds: contents repeat, within files and between them.
    return contentOf(this.#random.below(400), this.#random.size(this.#fileBytesMax));
  }

  #changeFile(path: string): void {
    const old = readFileSync(join(this.root, path));
    const part = contentOf(this.#random.below(1_000_000), this.#random.below(4000));
    const offset = this.#random.below(old.length + 1);
    const ways = [
      () => Buffer.concat([old, part]),
      () => Buffer.concat([old.subarray(0, offset), part, old.subarray(offset)]),
      () => old.subarray(0, offset),
      () => this.#newContent(),
    ];
    this.#write(path, this.#random.pick(ways)());
  }

  #remove(): void {
    const path = this.#random.pick([...this.#files.keys()]);
    rmSync(join(this.root, path));
    this.#files.delete(path);
  }

  #write(path: string, content: Uint8Array): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), content);
    this.#files.set(path, createHash('sha256').update(content).digest('hex'));
  }
}
