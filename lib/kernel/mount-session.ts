// A served mount: device, mount, channel and session put together. The serving process must not
// touch the mountpoint with anything synchronous: it would wait for itself.

import { setTimeout as delay } from 'node:timers/promises';
import { Errno, errnoName } from '../errno.ts';
import type { FileSystem } from '../filesystem/contract.ts';
import type { Logger } from '../log.ts';
import type { Native } from '../native.ts';
import type { SlabPool } from '../slab-pool.ts';
import type { RequestActivity } from './activity.ts';
import { Channel, type EndReason } from './channel.ts';
import { mountFilesystem, unmount } from './mounting.ts';
import { UnmountFlag, type MountOptions } from './mount-options.ts';
import { raiseReadahead } from './readahead.ts';
import { Session } from './session.ts';

export interface ServeOptions {
  readonly native: Native;
  readonly filesystem: FileSystem;
  readonly pool: SlabPool;
  /** Directory to mount on. */
  readonly target: string;
  /** The store's path, shown as the source of the mount. */
  readonly source: string;
  readonly options: MountOptions;
  readonly log: Logger;
}

export interface ServedMount {
  /** Absolute, without symbolic links. */
  readonly target: string;
  /** INIT was answered: the mount is usable. Rejects with a UserError when that fails. */
  readonly ready: Promise<void>;
  /** The connection ended. Never rejects. */
  readonly closed: Promise<EndReason>;
  /** What was asked of the mount so far. */
  readonly activity: RequestActivity;
  /** umount2(2) flags; 0 or negative errno (EBUSY: somebody uses it). */
  unmount(flags: number): Promise<number>;
  /**
   * Unmounts, with patience for a busy mount; then detaches it and serves its last users for
   * `graceMs`; then aborts the connection. Resolves when it is over. Idempotent.
   */
  stop(graceMs?: number): Promise<EndReason>;
  /** Ends the connection at once: callers get ENOTCONN. The mount stays until detached. */
  abort(): void;
}

const BUSY_TRIES = 5;
const BUSY_PAUSE_MS = 200;
const STOP_GRACE_MS = 10_000;

/**
 * Mounts and serves until unmounted.
 * @throws UserError see mountFilesystem
 */
export function serveMount(serve: ServeOptions): ServedMount {
  const { native, filesystem, pool, log } = serve;
  const mounted = mountFilesystem(native, serve);
  const channel = new Channel({ device: native, fd: mounted.fd, pool, log });
  const session = new Session({ filesystem, sink: channel, log });
  channel.start({
    handle: (message, start, length, slab) => session.handle(message, start, length, slab),
    isWaiting: () => session.inFlightCount > 0,
  });

  const { target } = mounted;
  const closed = channel.ended.then((reason) => {
    session.end();
    log.info({ target, reason }, 'the mount ended');
    return reason;
  });
  const ready = session.ready.then((answer) => {
    log.info({ target, protocol: `${answer.major}.${answer.minor}` }, 'mounted');
    raiseReadahead(mounted, log);
  });
  // A refused handshake leaves a mount that only gives errors; take it away again.
  ready.catch(() => (channel.isEnded ? undefined : unmount(native, target, UnmountFlag.DETACH)));

  let stopping: Promise<EndReason> | undefined;
  return {
    target,
    ready,
    closed,
    get activity() {
      return session.activity;
    },
    unmount: (flags) => unmount(native, target, flags),
    stop: (graceMs = STOP_GRACE_MS) =>
      (stopping ??= stopServing({ native, target, channel, closed, log }, graceMs)),
    abort: () => channel.abort(),
  };
}

interface Serving {
  readonly native: Native;
  readonly target: string;
  readonly channel: Channel;
  readonly closed: Promise<EndReason>;
  readonly log: Logger;
}

async function stopServing(serving: Serving, graceMs: number): Promise<EndReason> {
  const { native, target, channel, closed, log } = serving;
  const result = await unmountPatiently(serving);
  if (result < 0 && !channel.isEnded) {
    log.warn({ target, errno: errnoName(-result) }, 'detaching the mount; it is still in use');
    await unmount(native, target, UnmountFlag.DETACH);
  }
  const timer = new AbortController();
  const expired = delay(graceMs, undefined, { signal: timer.signal }).then(
    () => channel.abort(),
    () => undefined,
  );
  await Promise.race([closed, expired]);
  timer.abort();
  return closed;
}

/** The last result of umount2(2): users often leave within a moment. */
async function unmountPatiently({ native, target, channel }: Serving): Promise<number> {
  let result = 0;
  for (let tries = 0; tries < BUSY_TRIES && !channel.isEnded; tries += 1) {
    result = await unmount(native, target, 0);
    if (result !== -Errno.EBUSY) return result;
    await delay(BUSY_PAUSE_MS);
  }
  return result;
}
