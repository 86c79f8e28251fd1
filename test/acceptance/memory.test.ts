// Goal: the daemon's memory does not follow the data (G5). Method: put much data through it and read
// everything back, then look at the peak of resident memory that the kernel kept for the process.
//
// Run all of it: DEDUPFS_FULL=1 node dist/test/acceptance/memory.test.js       (2 GB, not 512 MB)

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { requireRoot } from '../support/commands.ts';
import { MountedStore, isReferenceRun } from '../support/mounted-store.ts';
import { printedSeed, writeRandomFile } from '../support/random.ts';
import { MB, formatMB, memoryBytesOf, scaled } from '../support/sizes.ts';

t.setTimeout(1_800_000);
requireRoot();

const RESIDENT_BYTES_MAX = 400 * MB;
const FILES = 4;
const FILE_BYTES = scaled({ short: 512 * MB, full: 2000 * MB }) / FILES;

const seed = printedSeed(t);
const store = await MountedStore.mounted(t);
const source = join(store.directory, 'source');
mkdirSync(source);
let checksums = '';
for (let index = 0; index < FILES; index++) {
  const sha256 = writeRandomFile(join(source, `file-${index}`), seed + index, FILE_BYTES);
  checksums += `${sha256}  file-${index}\n`;
}

await t.test('writing in several streams at once stays under 400 MB', async (t) => {
  await store.mustRunScript('for file in "$SOURCE"/*; do cp "$file" . & done; wait; sync .', {
    cwd: store.mountpoint,
    env: { SOURCE: source },
  });
  assertResidentPeak(t);
});
rmSync(source, { recursive: true });

await t.test('reading everything back from the disk stays under 400 MB', async (t) => {
  writeFileSync('/proc/sys/vm/drop_caches', '3\n');
  await store.mustRun('sha256sum', ['-c', '--quiet'], {
    cwd: store.mountpoint,
    input: checksums,
  });
  assertResidentPeak(t);
});

await t.test('removing everything stays under 400 MB', async (t) => {
  await store.mustRunScript('rm file-*; sync .', { cwd: store.mountpoint });
  assertResidentPeak(t);
});

await t.test('the store is clean', async () => store.finish());

function assertResidentPeak(t: Test): void {
  if (isReferenceRun) return;
  const parts = ['VmHWM', 'VmRSS', 'RssAnon', 'RssFile', 'RssShmem'].map(
    (field) => `${field} ${formatMB(memoryBytesOf(store.daemonPid, field))}`,
  );
  t.comment(parts.join(', '));
  const peak = memoryBytesOf(store.daemonPid, 'VmHWM');
  t.ok(peak < RESIDENT_BYTES_MAX, `the peak is ${formatMB(peak)}`);
}
