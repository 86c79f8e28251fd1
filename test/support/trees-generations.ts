// Trees as backups have them: dated generations, a disk image and its later state, trees that share files
// by hard links, and what does not compress.

import { linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PROJECT } from './commands-dedupfs.ts';
import { Random, randomBytesOf } from './random.ts';

const GENERATIONS = 10;
const MB = 1_000_000;

/** A program text of several MB, different everywhere. */
function corpus(): Buffer {
  return readFileSync(join(PROJECT, 'node_modules/typescript/lib/typescript.js'));
}

/** @param scale 1 makes about 25 MB of distinct content */
export function makeGenerations(folder: string, seed: number, scale: number): void {
  const random = new Random(seed);
  const text = corpus();
  /** Text that does not come twice: a part of it, with a random word in each 400 bytes. */
  const textOf = (bytes: number): Buffer => {
    const at = random.below(text.length - bytes);
    const part = Buffer.from(text.subarray(at, at + bytes));
    for (let word = random.below(400); word + 8 < bytes; word += 400) {
      part.write(random.below(2 ** 31).toString(36), word);
    }
    return part;
  };
  const put = (path: string, content: Uint8Array): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  };

  const files = new Map<string, Buffer>();
  const sizeOf = (): number => 2_000 + random.below(200_000);
  for (let number = 0; number < 100 * scale; number += 1) {
    files.set(`d${number % 9}/f${number}`, textOf(sizeOf()));
  }
  for (let generation = 0; generation < GENERATIONS; generation += 1) {
    for (let change = 0; change < 6 * scale; change += 1) {
      // One that stays, and one that only this generation has.
      files.set(`d${change % 9}/new${generation}.${change}`, textOf(sizeOf()));
      put(`generation-${generation}/dump${generation}.${change}`, textOf(100_000 + sizeOf()));
      const name = random.pick([...files.keys()]);
      const old = files.get(name) ?? Buffer.alloc(0);
      const at = random.below(old.length);
      files.set(name, Buffer.concat([old.subarray(0, at), textOf(3_000), old.subarray(at)]));
    }
    for (const [name, content] of files) put(`generation-${generation}/${name}`, content);
  }

  const image = Buffer.concat([randomBytesOf(seed, 3 * MB * scale), textOf(3 * MB)]);
  put('images/before', image);
  for (let change = 0; change < 60 * scale; change += 1) {
    const at = 4096 * random.below(Math.floor(image.length / 4096) - 4);
    randomBytesOf(`${seed} ${change}`, 16_384).copy(image, at);
  }
  put('images/after', image);

  for (let number = 0; number < 60 * scale; number += 1) {
    put(`linked/f${number}`, textOf(60_000));
    mkdirSync(join(folder, 'other-names'), { recursive: true });
    const names = ['linked', 'other-names'].map((one) => join(folder, one, `f${number}`));
    const [from = '', to = ''] = names;
    if (number % 2 === 1) linkSync(from, to);
  }
  for (let number = 0; number < 6 * scale; number += 1) {
    put(`photos/f${number}`, randomBytesOf(`${seed} photo ${number}`, sizeOf()));
  }
}

/** Sets of paths that somebody may want to delete, by what they are. */
export const GENERATION_SETS: readonly (readonly [what: string, paths: readonly string[]])[] = [
  [
    'nine of ten generations',
    Array.from({ length: GENERATIONS - 1 }, (_, number) => `generation-${number}`),
  ],
  ['the later image', ['images/after']],
  ['a tree with names elsewhere', ['linked']],
  ['photos', ['photos']],
  [
    'all generations and images',
    [...Array.from({ length: GENERATIONS }, (_, number) => `generation-${number}`), 'images'],
  ],
];
