// Access control lists as they are stored, which may be damaged.

import { parseAcl, type AccessControlList } from '../../access-control-list.ts';
import { PosixError } from '../../errors.ts';

/** Undefined when the value is no valid list. */
export function tryParseAcl(value: Buffer): AccessControlList | undefined {
  try {
    return parseAcl(value);
  } catch (error) {
    if (error instanceof PosixError) return undefined;
    throw error;
  }
}
