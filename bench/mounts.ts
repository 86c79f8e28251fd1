// Mounts of the benchmark: whether one is there, and taking it away.

import { runProgram } from '../examples/programs.ts';
import { readMounts } from '../lib/kernel/mountinfo.ts';

export const isRoot = process.geteuid?.() === 0;

export function isMounted(directory: string): boolean {
  return readMounts().some(({ mountpoint }) => mountpoint === directory);
}

/** Takes the mount away, if there is one; even when it is in use or its daemon is dead. */
export async function unmount(directory: string): Promise<void> {
  for (const isLazy of [false, true]) {
    if (!isMounted(directory)) return;
    const [program, args] = isRoot
      ? ['umount', isLazy ? ['-l'] : []]
      : ['fusermount3', isLazy ? ['-u', '-z'] : ['-u']];
    await runProgram(program, [...args, directory], { mayFail: true });
  }
}
