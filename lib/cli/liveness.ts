// Whether somebody still serves a mount of ours, told from mountinfo and the lock of its store alone:
// asking the mount itself could hang.

import { dedupfsMounts, type Mount } from '../kernel/mountinfo.ts';
import { detachStale } from '../kernel/mounting.ts';
import { native } from '../native.ts';
import type { StoreOwner } from '../store/contract.ts';
import { lockState, type LockState } from '../store/store.ts';
import { findDedupfsMount } from './place.ts';

export type Liveness =
  /** Its daemon runs. */
  | { readonly state: 'served'; readonly owner: StoreOwner }
  /** Every access gives an error, and nothing brings it back. */
  | { readonly state: 'dead' }
  /** The store does not tell: it is another user's, gone, moved or mounted over, or its lock names nobody. */
  | { readonly state: 'unknown' };

/** @param mounts of this namespace, oldest first */
export function livenessOf(mount: Mount, mounts: readonly Mount[] = dedupfsMounts()): Liveness {
  let lock: LockState;
  try {
    lock = lockState(mount.source);
  } catch {
    return { state: 'unknown' };
  }
  // Only a lock that nobody holds shows that a daemon is gone: one without its lock file works on.
  if (lock.state === 'free') return { state: 'dead' };
  const owner = lock.state === 'held' ? lock.owner : undefined;
  if (owner === undefined) return { state: 'unknown' };
  return isServedBy(owner, mount, mounts) ? { state: 'served', owner } : { state: 'dead' };
}

/**
 * A connection belongs to one daemon, and a store has one daemon at a time. So of the mounts of a store
 * only those of its daemon's device live, under whatever path a bind shows them.
 */
function isServedBy({ mountpoint }: StoreOwner, mount: Mount, mounts: readonly Mount[]): boolean {
  // Someone else works on the store, such as fsck: the mount's own daemon must have ended before.
  if (mountpoint === undefined) return false;
  const ofOwner = mounts
    .filter((other) => other.mountpoint === mountpoint && other.source === mount.source)
    .at(-1);
  // Moved, or mounted in another namespace: it may well be this one.
  if (ofOwner === undefined) return true;
  return ofOwner.major === mount.major && ofOwner.minor === mount.minor;
}

/**
 * Takes dead mounts away from the top of what is stacked at a mount point. Lazily: who still sits in
 * one only gets errors from it.
 * @returns how many, and the mount of ours that is visible then
 * @throws UserError NO_PERMISSION, MOUNT_FAILED
 */
export async function detachDead(
  mountpoint: string,
): Promise<{ readonly detached: number; readonly left: Mount | undefined }> {
  let detached = 0;
  for (;;) {
    const mount = findDedupfsMount(mountpoint);
    if (mount === undefined || livenessOf(mount).state !== 'dead') return { detached, left: mount };
    await detachStale(native, mountpoint);
    detached += 1;
  }
}
