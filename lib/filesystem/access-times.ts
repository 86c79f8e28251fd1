// Access times. The kernel leaves them to the filesystem, and answers reads from its pages without a
// word; so a file whose access time is due is opened in a way that makes its next read ask.

import type { Inode } from '../metastore/inodes.ts';
import { now } from './clock.ts';
import type { Caching, ListingUse, Timestamp } from './contract.ts';
import type { Core } from './core.ts';

/** mount(8), relatime: so much older than now is due even when nothing changed. */
const DAY_S = 24 * 60 * 60;

/** Somebody read the file, the directory or the link. */
export function noteAccess(core: Core, inode: Inode): void {
  const time = now();
  if (!isDue(core, inode, time) || !core.changes.mayTouch()) return;
  core.changes.begin();
  inode.atimeSec = time.sec;
  inode.atimeNsec = time.nsec;
  core.metastore.inodes.touch(inode);
}

/** For a file about to be opened for reading. */
export function cachingOf(core: Core, inode: Inode): Caching {
  if (core.semantics.accessTimes === 'always') return 'none';
  return isDue(core, inode, now()) && core.changes.mayTouch() ? 'renew' : 'keep';
}

/** For a directory about to be opened. What the kernel answers from its copy, nobody notices. */
export function listingUseOf(core: Core, inode: Inode): ListingUse {
  const { listings, semantics } = core;
  if (semantics.accessTimes === 'always') return 'ask';
  if (listings.takeMoved(inode.ino)) return 'renew';
  if (listings.isUnprimed(inode.ino)) return 'ask';
  // Without a copy the kernel asks in any case.
  if (!listings.mayHave(inode.ino)) return 'keep';
  const isPrimed = listings.isPrimed(inode.ino, now().sec);
  return isPrimed && cachingOf(core, inode) === 'keep' ? 'keep' : 'ask';
}

function isDue(core: Core, inode: Inode, time: Timestamp): boolean {
  const { accessTimes, directoryAccessTimes } = core.semantics;
  if (accessTimes === 'never' || (inode.isDirectory && !directoryAccessTimes)) return false;
  if (accessTimes === 'always' || time.sec - inode.atimeSec >= DAY_S) return true;
  const { atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec } = inode;
  const isNewer = (sec: number, nsec: number): boolean =>
    atimeSec > sec || (atimeSec === sec && atimeNsec > nsec);
  return !isNewer(mtimeSec, mtimeNsec) || !isNewer(ctimeSec, ctimeNsec);
}
