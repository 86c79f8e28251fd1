// The time that file times are set to.

import { native } from '../native.ts';
import type { Timestamp } from './contract.ts';

const US_PER_S = 1_000_000;
const NS_PER_US = 1000;

/**
 * Now, by the microsecond: requests take longer, so each change has a time of its own, as on ext4 with
 * its multigrain times (Linux 6.13).
 */
export function now(): Timestamp {
  const us = native.currentMicroseconds();
  const sec = Math.floor(us / US_PER_S);
  return { sec, nsec: (us - sec * US_PER_S) * NS_PER_US };
}
