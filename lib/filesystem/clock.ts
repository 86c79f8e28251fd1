// The time that file times are set to.

import type { Timestamp } from './contract.ts';

/** Now, with the millisecond resolution of the system clock: finer than ext4's 4 ms ticks. */
export function now(): Timestamp {
  const ms = Date.now();
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: (ms - sec * 1000) * 1_000_000 };
}
