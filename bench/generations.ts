// The client of write-generations: ages a file as the image of a virtual machine ages. In each
// generation a twentieth of it changes in place, in runs of 64 KiB at random places, and as much of
// another file is written; both are made durable.
//
//   node dist/bench/generations.js IMAGE OTHERS SEED     OTHERS: a new folder for the other files

import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { Keystream } from './sources.ts';

const GENERATIONS = 10;
const CHANGED_SHARE = 0.05;
const RUN_BYTES = 2 ** 16;
const BLOCK_BYTES = 4096;

function age(image: string, others: string, seed: string): void {
  const stream = new Keystream(seed, 'generations');
  const fd = openSync(image, 'r+');
  const { size } = fstatSync(fd);
  const blocks = Math.floor((size - RUN_BYTES) / BLOCK_BYTES) + 1;
  const runs = Math.ceil((size * CHANGED_SHARE) / RUN_BYTES);
  mkdirSync(others);
  for (let generation = 1; generation <= GENERATIONS; generation += 1) {
    for (let run = 0; run < runs; run += 1) {
      const data = stream.next(RUN_BYTES);
      writeSync(fd, data, 0, RUN_BYTES, (data.readUInt32LE(0) % blocks) * BLOCK_BYTES);
    }
    fsyncSync(fd);
    const other = openSync(join(others, String(generation)), 'w');
    for (let run = 0; run < runs; run += 1) writeSync(other, stream.next(RUN_BYTES));
    fsyncSync(other);
    closeSync(other);
  }
  closeSync(fd);
}

const [image, others, seed] = process.argv.slice(2);
if (image === undefined || others === undefined || seed === undefined) {
  throw new Error('usage: generations IMAGE OTHERS SEED');
}
age(image, others, seed);
