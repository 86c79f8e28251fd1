// Changes inputs at random, as a damaged disk or somebody hostile would.

import type { Random } from '../support/random.ts';

const BYTES_MAX = 256 * 1024;
const NUMBERS = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/** A copy of one of the inputs with 1 to 8 changes. */
export function mutate(random: Random, inputs: readonly Buffer[]): Buffer {
  let bytes = Buffer.from(random.pick(inputs));
  for (let count = random.below(random.oneIn(2) ? 2 : 8); count >= 0; count -= 1) {
    bytes = change(random, bytes, inputs);
  }
  return bytes.subarray(0, BYTES_MAX);
}

function change(random: Random, bytes: Buffer, inputs: readonly Buffer[]): Buffer<ArrayBuffer> {
  const at = random.below(bytes.length + 1);
  const length = Math.min(random.size(bytes.length + 8), bytes.length - at);
  switch (random.below(8)) {
    case 0: // a bit
      return patched(bytes, at, Buffer.of((bytes[at] ?? 0) ^ (1 << random.below(8))));
    case 1: // a byte
      return patched(bytes, at, Buffer.of(random.below(256)));
    case 2: {
      // a number that lies, often at a place where one is
      const number = Buffer.alloc(8);
      const near = bytes.length + random.below(9) - 4;
      number.writeUInt32LE(random.oneIn(3) ? Math.max(0, near) : random.pick(NUMBERS), 0);
      const aligned = random.oneIn(2) ? at - (at % 4) : at;
      return patched(bytes, aligned, number.subarray(0, random.pick([2, 4, 8])));
    }
    case 3: // cut off
      return Buffer.from(bytes.subarray(0, at));
    case 4: // a part left out
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 5: // a part twice
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 6: {
      // a part of another input
      const other = random.pick(inputs);
      const from = random.below(other.length + 1);
      const part = other.subarray(from, from + random.size(other.length + 8));
      return patched(bytes, at, part);
    }
    default: {
      const noise = Buffer.alloc(random.size(64));
      for (let index = 0; index < noise.length; index += 1) noise[index] = random.below(256);
      return Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]);
    }
  }
}

function patched(bytes: Buffer, at: number, patch: Uint8Array): Buffer<ArrayBuffer> {
  const copy = Buffer.from(bytes);
  copy.set(patch.subarray(0, Math.max(0, copy.length - at)), Math.min(at, copy.length));
  return copy;
}
