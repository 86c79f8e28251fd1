// A small disk of its own: a file system in a loop-mounted image, to be filled to the last byte.

import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { mustRun } from './commands.ts';

const UMOUNT_TIMEOUT_MS = 30_000;
const PIECE_BYTES_MAX = 1024 * 1024;

export class SmallDisk {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes and mounts it; teardown removes it. @param make such as mkfs.ext4 with its options */
  static async mounted(
    t: Test,
    mebibytes: number,
    make: readonly string[] = ['mkfs.ext4', '-q', '-F'],
  ): Promise<SmallDisk> {
    const directory = mkdtempSync(join(tmpdir(), 'dedupfs-disk-'));
    const image = join(directory, 'image');
    const disk = new SmallDisk(join(directory, 'disk'));
    const remove = (): void => {
      spawnSync('umount', ['-l', disk.path], { timeout: UMOUNT_TIMEOUT_MS });
      rmSync(directory, { recursive: true, force: true });
    };
    process.once('exit', remove);
    t.teardown(() => {
      process.removeListener('exit', remove);
      remove();
    });
    mkdirSync(disk.path);
    writeFileSync(image, '');
    truncateSync(image, mebibytes * 1024 * 1024);
    const [program = '', ...args] = make;
    await mustRun(program, [...args, image]);
    await mustRun('mount', ['-o', 'loop', image, disk.path]);
    return disk;
  }

  /** Bytes that anybody may still write. */
  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  /** Takes what is left, to the last byte or all but `leaveBytes`, like any other program. */
  fill(leaveBytes = 0): void {
    const descriptor = openSync(this.#filler, 'a');
    const piece = Buffer.alloc(PIECE_BYTES_MAX, 'filler');
    try {
      for (let bytes = PIECE_BYTES_MAX; bytes >= 1;) {
        if (leaveBytes > 0 && this.freeBytes <= leaveBytes) return;
        if (!wasWritten(descriptor, piece.subarray(0, bytes))) bytes = Math.floor(bytes / 2);
      }
    } finally {
      closeSync(descriptor);
    }
  }

  /** Gives back what `fill` took. */
  empty(): void {
    rmSync(this.#filler, { force: true });
  }

  get #filler(): string {
    return join(this.path, 'filler');
  }
}

function wasWritten(descriptor: number, piece: Buffer): boolean {
  try {
    writeSync(descriptor, piece);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    return false;
  }
}
