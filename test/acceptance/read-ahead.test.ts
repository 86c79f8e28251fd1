// Goal: who reads files from front to back through a real mount gets what they hold, while other programs
// write, cut off, punch and remove beside and inside of them and gc moves their chunks. Method: streams of
// several programs at once after a remount, compared with copies outside; one file changes under its readers,
// in blocks that are of one kind each, so that a block that is neither old nor new would show.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { requirePrograms, requireRoot } from '../support/commands.ts';
import { dedupfs } from '../support/commands-dedupfs.ts';
import { isReferenceRun, MountedStore } from '../support/mounted-store.ts';
import { randomBytesOf } from '../support/random.ts';

requireRoot();
requirePrograms({ cmp: 'diffutils', fallocate: 'util-linux' });

const MIB = 1024 * 1024;
const STREAMS = ['a', 'b', 'c'];
const FILE_BYTES = 24 * MIB + 777;
const BLOCKS = 4096;
const BLOCK_BYTES = 4096;

/**
 * Reads the file from front to back until it is told to end; each whole block must be of one kind. While the
 * file grows, its end may lie amid a block for a moment: write(2) of megabytes makes it longer in pieces.
 */
const READ_BLOCKS = `
  const { openSync, readSync, closeSync, existsSync } = require('node:fs');
  const [, path, end] = process.argv;
  const buffer = Buffer.alloc(256 * 1024);
  let rounds = 0;
  for (; rounds < 2 || !existsSync(end); rounds += 1) {
    const file = openSync(path);
    for (let position = 0; ; ) {
      const bytes = readSync(file, buffer, 0, buffer.length, position);
      if (bytes < ${BLOCK_BYTES}) break;
      const whole = bytes - (bytes % ${BLOCK_BYTES});
      for (let at = 0; at < whole; at += ${BLOCK_BYTES}) {
        const kind = buffer[at];
        for (let byte = at; byte < at + ${BLOCK_BYTES}; byte += 1) {
          if (buffer[byte] !== kind) throw new Error('a mixed block at ' + (position + at));
        }
      }
      position += whole;
    }
    closeSync(file);
  }
`;

/** Writes blocks, makes holes, cuts the file off and makes it whole again, always at borders of blocks. */
const CHANGE_BLOCKS = `
  const { openSync, writeSync, ftruncateSync, fsyncSync, readFileSync } = require('node:fs');
  const { execFileSync } = require('node:child_process');
  const [, path, original] = process.argv;
  const file = openSync(path, 'r+');
  const whole = readFileSync(original);
  for (let round = 0; round < 15; round += 1) {
    for (let write = 0; write < 10; write += 1) {
      const at = ((round * 7919 + write * 104729) % ${BLOCKS}) * ${BLOCK_BYTES};
      writeSync(file, Buffer.alloc(${BLOCK_BYTES}, 252 + (round % 4)), 0, ${BLOCK_BYTES}, at);
    }
    const hole = ((round * 6007) % ${BLOCKS}) * ${BLOCK_BYTES};
    execFileSync('fallocate', ['--punch-hole', '--offset', '' + hole, '--length', '131072', path]);
    const cut = ((round * 3571) % ${BLOCKS}) * ${BLOCK_BYTES};
    ftruncateSync(file, cut);
    writeSync(file, whole, cut, whole.length - cut, cut);
    if (round % 5 === 0) fsyncSync(file);
  }
`;

const store = await MountedStore.mounted(t);
const original = (name: string): string => join(store.directory, `${name}.original`);
for (const name of STREAMS) writeFileSync(original(name), randomBytesOf(name, FILE_BYTES));
const blocks = Buffer.alloc(BLOCKS * BLOCK_BYTES);
for (let block = 0; block < BLOCKS; block += 1) {
  blocks.fill(block % 251, block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
}
writeFileSync(original('blocks'), blocks);
const env = { MNT: store.mountpoint, DIR: store.directory };

await t.test('streams of several programs, beside gc and removals', async (t) => {
  await store.mustRunScript(
    `for name in a b c blocks; do cp "$DIR/$name.original" "$MNT/$name"; done
     for round in 1 2 3; do head -c 3000000 /dev/urandom > "$MNT/gone$round"; cp "$MNT/gone$round" "$MNT/half$round"
     truncate -s 1500000 "$MNT/half$round"; done; sync "$MNT/a"`,
    { env },
  );
  await store.remount();
  const reading = [...STREAMS, ...STREAMS].map(async (name) => {
    return store.mustRun('cmp', [original(name), store.path(name)]);
  });
  await store.mustRunScript('rm "$MNT"/gone* "$MNT"/half*', { env });
  if (!isReferenceRun) {
    const gc = await dedupfs(['gc', '--threshold', '1', store.mountpoint]);
    t.equal(gc.code, 0, gc.stderr);
  }
  await Promise.all(reading);
  t.pass('all equal');
});

await t.test('blocks are old or new while a file changes under its readers', async (t) => {
  const end = join(store.directory, 'end');
  const readers = [0, 1].map(async () => {
    return store.mustRun(process.execPath, ['-e', READ_BLOCKS, store.path('blocks'), end]);
  });
  await store.mustRun(process.execPath, [
    '-e',
    CHANGE_BLOCKS,
    store.path('blocks'),
    original('blocks'),
  ]);
  writeFileSync(end, '');
  await Promise.all(readers);
  t.pass('no block was mixed');
});

await t.test('the store is clean', async () => store.finish());
