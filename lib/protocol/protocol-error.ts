// A message of the kernel that dedupfs cannot take: cut short, self-contradicting, or with a number
// it cannot represent. The request fails; the session goes on.

import { Errno, type ErrnoNumber } from '../errno.ts';
import { DedupfsError } from '../errors.ts';

export class ProtocolError extends DedupfsError {
  override readonly code = 'DEDUPFS_PROTOCOL';
  override readonly errno: ErrnoNumber;

  /** @param errno what the caller of the system call sees; EIO for a malformed message */
  constructor(message: string, errno: ErrnoNumber = Errno.EIO) {
    super(message);
    this.errno = errno;
  }
}
