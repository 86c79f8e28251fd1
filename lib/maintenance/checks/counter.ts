// What the counters in `meta` can be.

import { ID_MAX } from './check.ts';

/** Whether a counter can have this value. */
export function isCount(name: string, value: unknown): boolean {
  const max = name.startsWith('next') ? ID_MAX : Number.MAX_SAFE_INTEGER;
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= max;
}
