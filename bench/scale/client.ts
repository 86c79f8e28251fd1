// A program that does one thing to a mount and prints how long it took. A process of its own: whoever
// serves a mount must not use it, and who watches must not hang with it.

import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

const [, , name = '', ...args] = process.argv;
const BLOCK_BYTES = 2 ** 20;
const CREATED_BYTES = 1024;
const FSYNCS = 40;
const STATFS = 20;

/** Each returns the seconds of what counts. */
const actions: Record<string, (path: string, argument: string) => number> = {
  /** Makes the kernel know the folders of the files that a list on the host names. */
  folders(root, list) {
    const folders = new Set(readLines(list).map((path) => dirname(join(root, path))));
    return timed(() => folders.forEach((folder) => lstatSync(folder)));
  },

  /** Looks up the files that a list on the host names. */
  lookup(root, list) {
    const paths = readLines(list).map((path) => join(root, path));
    return timed(() => paths.forEach((path) => lstatSync(path)));
  },

  read(root, list) {
    const paths = readLines(list).map((path) => join(root, path));
    return timed(() => paths.forEach((path) => readFileSync(path)));
  },

  list(folder) {
    return timed(() => readdirSync(folder).forEach((file) => lstatSync(join(folder, file))));
  },

  create(folder, count) {
    mkdirSync(folder);
    const content = Buffer.alloc(CREATED_BYTES);
    return timed(() => {
      for (let number = 0; number < Number(count); number += 1) {
        const file = openSync(join(folder, `file-${number}`), 'wx');
        content.write(`${folder} ${number}`);
        writeSync(file, content);
        closeSync(file);
      }
      syncPath(folder);
    });
  },

  write(path, source) {
    const from = openSync(source, 'r');
    const to = openSync(path, 'w');
    const block = Buffer.alloc(BLOCK_BYTES);
    const seconds = timed(() => {
      for (;;) {
        const bytes = readSync(from, block, 0, block.length, null);
        if (bytes === 0) break;
        writeSync(to, block, 0, bytes);
      }
      fsyncSync(to);
    });
    closeSync(from);
    closeSync(to);
    return seconds;
  },

  unlink(folder) {
    const names = readdirSync(folder);
    return timed(() => {
      for (const file of names) unlinkSync(join(folder, file));
      syncPath(folder);
    });
  },

  fsync(path) {
    const file = openSync(path, 'w');
    const block = Buffer.alloc(4096);
    const seconds = timed(() => {
      for (let number = 0; number < FSYNCS; number += 1) {
        block.write(`${path} ${number}`);
        writeSync(file, block);
        fsyncSync(file);
      }
    });
    closeSync(file);
    return seconds;
  },

  statfs(root) {
    return timed(() => {
      for (let number = 0; number < STATFS; number += 1) statfsSync(root);
    });
  },
};

const action = actions[name];
if (action === undefined) throw new Error(`there is no ${name}`);
process.stdout.write(`${action(args[0] ?? '', args[1] ?? '')}\n`);

function readLines(path: string): string[] {
  return readFileSync(path, 'utf8').trim().split('\n');
}

function timed(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
}

function syncPath(path: string): void {
  const descriptor = openSync(path, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
}
