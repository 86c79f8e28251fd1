// An ext4 of its own in a loop-mounted image: the model that a dedupfs mount is compared with. Made
// with the same mount flags, so that what differs is the filesystem.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustRun } from './commands.ts';
import type { StoreUser } from './mounted-store.ts';

/** Sparse: only what a test writes takes space on the host. */
const IMAGE_BYTES = 2 * 1024 ** 3;
const UMOUNT_TIMEOUT_MS = 30_000;

export class MountedExt4 {
  readonly mountpoint: string;

  private constructor(mountpoint: string) {
    this.mountpoint = mountpoint;
  }

  /** Makes and mounts it; teardown removes it. @throws Error when the host has no loop devices. */
  static async mounted(t: StoreUser, ...options: string[]): Promise<MountedExt4> {
    return MountedExt4.ofSize(t, IMAGE_BYTES, ...options);
  }

  /** Like `mounted`, of another size than 2 GiB. */
  static async ofSize(t: StoreUser, bytes: number, ...options: string[]): Promise<MountedExt4> {
    const directory = mkdtempSync(join(tmpdir(), 'dedupfs-ext4-'));
    const image = join(directory, 'image');
    const ext4 = new MountedExt4(join(directory, 'mnt'));
    const remove = (): void => {
      ext4.abort();
      rmSync(directory, { recursive: true, force: true });
    };
    process.once('exit', remove);
    t.teardown(() => {
      process.removeListener('exit', remove);
      remove();
    });
    mkdirSync(ext4.mountpoint);
    writeFileSync(image, '');
    truncateSync(image, bytes);
    // ea_inode: extended attributes up to 64 KiB, as the manual promises, not one block of them.
    const features = ['-O', 'ea_inode', '-E', 'lazy_itable_init=1'];
    await mustRun('mkfs.ext4', ['-q', '-F', ...features, image]);
    const list = ['loop', 'nosuid', 'nodev', ...options].join(',');
    await mustRun('mount', ['-o', list, image, ext4.mountpoint]);
    return ext4;
  }

  /** A path inside the mount. */
  path(...names: string[]): string {
    return join(this.mountpoint, ...names);
  }

  /** Detaches the mount, whoever uses it; synchronously, so that it works at exit too. */
  abort(): void {
    spawnSync('umount', ['-l', this.mountpoint], { timeout: UMOUNT_TIMEOUT_MS });
  }
}
