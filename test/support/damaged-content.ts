// Damages content where it lies in a store's arenas. The store must not compress, so that content can be
// found there.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { flipByte } from './damage.ts';

/** Enough to be found once. */
const NEEDLE_BYTES = 32;

/** Inverts the byte at `offset` of this content. @throws Error when it lies in no arena */
export function damageContent(store: string, content: Buffer, offset: number): void {
  const needle = content.subarray(offset, offset + NEEDLE_BYTES);
  for (const path of arenaPaths(store)) {
    const at = readFileSync(path).indexOf(needle);
    if (at < 0) continue;
    flipByte(path, at);
    return;
  }
  throw new Error(`the content at ${offset} lies in no arena of ${store}`);
}

export function arenaPaths(store: string): string[] {
  const folder = join(store, 'arenas');
  const names = readdirSync(folder).filter((name) => /^a\d+\.mdb$/.test(name));
  return names.sort().map((name) => join(folder, name));
}
