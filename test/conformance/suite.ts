// The conformance suite: what POSIX and the Linux manual pages promise of a filesystem, each promise
// tested on a dedupfs mount and, to prove the test right, on an ext4 of its own with the same flags.
//
// A promise that the two keep differently on purpose says so with `isExt4` and a comment that starts
// with "Deliberate difference:"; README lists them. The aim is none.

import type { Test } from 'tap';
import { requirePrograms, requireRoot } from '../support/commands.ts';
import { behaves, type Bench } from '../support/mounted-store-behaviour.ts';
import { MountedExt4 } from '../support/mounted-ext4.ts';
import { MountedStore } from '../support/mounted-store.ts';

/** What a promise is tested with: see Bench; and which filesystem it is. */
export interface Probe extends Bench {
  readonly isExt4: boolean;
}

export class Suite {
  readonly #t: Test;
  readonly store: MountedStore;
  readonly ext4: MountedExt4;

  private constructor(t: Test, store: MountedStore, ext4: MountedExt4) {
    this.#t = t;
    this.store = store;
    this.ext4 = ext4;
  }

  /** Mounts both filesystems with the same options, such as 'noatime'. */
  static async open(t: Test, ...options: string[]): Promise<Suite> {
    requireRoot();
    requirePrograms({ perl: 'perl', 'mkfs.ext4': 'e2fsprogs' });
    const ext4 = await MountedExt4.mounted(t, ...options);
    const list = ['allow_other', ...options].join(',');
    const store = await MountedStore.mounted(t, '-o', list);
    return new Suite(t, store, ext4);
  }

  /** Runs one test on both: ext4 first, since a failure there is a fault of the test. */
  async promises(name: string, body: (probe: Probe) => Promise<void>): Promise<void> {
    await behaves(this.#t, this.ext4, `ext4: ${name}`, async (bench) =>
      body({ ...bench, isExt4: true }),
    );
    await behaves(this.#t, this.store, `dedupfs: ${name}`, async (bench) =>
      body({ ...bench, isExt4: false }),
    );
  }

  /** Unmounts, and lets fsck look at what all this left. */
  async finish(): Promise<void> {
    await this.#t.test('the store is clean', async () => this.store.finish());
  }
}
