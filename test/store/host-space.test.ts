// Goal: statfs of a store with many files does not look at each of them every time, and tells what they
// occupy soon after it changed. Method: a folder of so many files that a look takes a while.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { HostSpace, NOTHING_PENDING } from '../../lib/store/host-space.ts';

const FILES = 4000;
const FILE_BYTES = 1024 * 1024;
const WAIT_MS = 100;
const WAITS_MAX = 300;

await t.test('what many files occupy is known for a moment', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-space-'));
  const arenas = join(folder, 'arenas');
  mkdirSync(arenas);
  for (let file = 0; file < FILES; file += 1) writeFileSync(join(arenas, `file-${file}`), '');
  const space = new HostSpace(folder, () => NOTHING_PENDING);
  t.teardown(() => {
    space.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const before = space.usedBytes;
  writeFileSync(join(arenas, 'new'), Buffer.alloc(FILE_BYTES));
  t.equal(space.usedBytes, before, 'no second look at once');
  let waits = 0;
  for (; space.usedBytes === before && waits < WAITS_MAX; waits += 1) await setTimeout(WAIT_MS);
  t.ok(space.usedBytes >= before + FILE_BYTES, 'the new file counts in the end');
});
