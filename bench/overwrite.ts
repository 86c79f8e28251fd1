// The client of overwrite-random: writes blocks of 4 KiB at random places of a file that is there,
// as fast as they are taken, then makes them durable.
//
//   node dist/bench/overwrite.js FILE SECONDS SEED RESULT     RESULT gets the number of writes

import { closeSync, fstatSync, fsyncSync, openSync, writeFileSync, writeSync } from 'node:fs';

import { Keystream, OVERWRITE_BYTES, PIECE_BYTES } from './sources.ts';

/** Writes between two looks at the clock. */
const BATCH_WRITES = 16;

function overwrite(file: string, seconds: number, seed: string): number {
  const stream = new Keystream(seed, 'overwrite');
  const fd = openSync(file, 'r+');
  const blocks = Math.floor(fstatSync(fd).size / OVERWRITE_BYTES);
  const deadline = performance.now() + 1000 * seconds;
  let writes = 0;
  // All of it is new data: what was written once does not come again.
  let data = stream.next(PIECE_BYTES);
  let used = 0;
  while (performance.now() < deadline) {
    if (used + BATCH_WRITES * OVERWRITE_BYTES > PIECE_BYTES) {
      data = stream.next(PIECE_BYTES);
      used = 0;
    }
    for (let count = 0; count < BATCH_WRITES; count += 1) {
      // Its first bytes choose the place: 2^32 of them are far more than blocks.
      const block = data.readUInt32LE(used) % blocks;
      writeSync(fd, data, used, OVERWRITE_BYTES, block * OVERWRITE_BYTES);
      used += OVERWRITE_BYTES;
    }
    writes += BATCH_WRITES;
  }
  fsyncSync(fd);
  closeSync(fd);
  return writes;
}

const [file, seconds, seed, result] = process.argv.slice(2);
if (file === undefined || seconds === undefined || seed === undefined || result === undefined) {
  throw new Error('usage: overwrite FILE SECONDS SEED RESULT');
}
writeFileSync(result, String(overwrite(file, Number(seconds), seed)));
