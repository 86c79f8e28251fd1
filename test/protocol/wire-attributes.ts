// Attributes of an inode that nobody looks at closely.

import type { WireAttributes } from '../../lib/protocol/encode.ts';

export function wireAttributes(ino: number): WireAttributes {
  return {
    ino,
    mode: 0o100644,
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: 0,
    blocks: 0,
    atimeSec: 0,
    atimeNsec: 0,
    mtimeSec: 0,
    mtimeNsec: 0,
    ctimeSec: 0,
    ctimeNsec: 0,
    btimeSec: 0,
    btimeNsec: 0,
  };
}
