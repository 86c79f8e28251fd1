// The process that serves a mount: opens the store, answers the kernel and the control socket, and
// makes everything durable when the mount ends. In front with `mount -f`, else behind `launch.ts`.
//
// It never touches its own mount point with a synchronous call: it would wait for itself.
// Order at the end: unmounted -> control socket gone -> store closed (final commit), lock released ->
// outcome noted in the store -> `umount` told -> exit.

import { removeLastClose, writeLastClose } from '../control/last-close.ts';
import { ControlServer } from '../control/server.ts';
import { describeError, ExitCode, type ExitCodeNumber } from '../errors.ts';
import {
  MountFlag,
  parseMountOptions,
  semanticsOf,
  type MountOptions as KernelOptions,
} from '../kernel/mount-options.ts';
import { serveMount, type ServedMount } from '../kernel/mount-session.ts';
import { openLog, type Logger } from '../log.ts';
import { native } from '../native.ts';
import { ActivityObserver } from '../observability/activity.ts';
import { parseListenAddress } from '../observability/listen-address.ts';
import { MetricsEndpoint } from '../observability/metrics-endpoint.ts';
import { SlabPool } from '../slab-pool.ts';
import type { Store } from '../store/contract.ts';
import { openStore } from '../store/store.ts';
import { chunkBytesOf, logPathOf, type MountOptions } from './mount-options.ts';
import { LiveSettings } from './settings/live-settings.ts';
import { applyToStore, storeSettingsOf } from './settings/store-settings.ts';
import { ServiceManager } from './service-manager.ts';
import { reloadOnHangup, stopOnSignals } from './signals.ts';
import { readVersion } from './version.ts';

/** Slabs of 1 MiB: what may be received and not yet chunked (DESIGN section 4). */
const SLABS_MAX = 32;

/** What the one who waits for the mount is told when it answers. */
export interface Mounted {
  readonly created: boolean;
  readonly migratedFrom: number | undefined;
  readonly pid: number;
  readonly chunkBytesMean: number;
  readonly compression: string;
  /** Where metrics are served; undefined: nowhere. */
  readonly metricsUrl: string | undefined;
}

/**
 * Serves until the mount is gone.
 * @param onMounted called once, when the kernel's handshake is done
 * @returns the exit code: FAILED when the final commit failed
 * @throws UserError when the store cannot be opened or the mount is refused
 */
export async function serve(
  options: MountOptions,
  onMounted: (mounted: Mounted) => void,
): Promise<ExitCodeNumber> {
  process.chdir('/');
  // What this process creates (store, log, socket) is for its owner alone. The modes of files in
  // the mount are not affected: the kernel has applied the callers' umask.
  process.umask(0o077);
  const settings = new LiveSettings(options.storePath, options.given);
  using daemonLog = openLog(logPathOf(settings.values, options), {
    level: settings.values['log-level'],
  });
  const log = daemonLog.logger;
  settings.onChange('log-level', (level) => daemonLog.setLevel(level));
  reloadOnHangup(settings, daemonLog);
  const manager = ServiceManager.fromEnvironment();
  manager.reportTo(log);
  const pool = new SlabPool(SLABS_MAX);
  const kernelOptions = parseMountOptions([settings.values.options]);
  using metrics = new MetricsEndpoint(log);
  settings.onChange('metrics', async (where) => metrics.use(parseListenAddress(where)));
  await metrics.use(parseListenAddress(settings.values.metrics));
  manager.starting(`opening ${options.storePath}`);
  const store = await openStore(options.storePath, {
    ...storeSettingsOf(settings.values),
    create: options.create,
    migrate: true,
    chunkBytes: chunkBytesOf(options.given),
    pool,
    log,
    background: true,
    semantics: semanticsOf(kernelOptions),
    isReadOnly: (kernelOptions.flags & MountFlag.RDONLY) !== 0,
    mountpoint: options.mountpoint,
  });
  removeLastClose(store.path);
  let control: ControlServer | undefined;
  try {
    applyToStore(settings, store);
    // What was set before the lock was ours.
    await settings.reload(log);
    const mount = mountStore({ store, pool, kernelOptions, options, log });
    stopOnSignals(mount, log, () => manager.stopping('unmounting'));
    await mount.ready;
    surviveBugs(log);
    const observer = new ActivityObserver({
      store,
      mountpoint: options.mountpoint,
      version: readVersion(),
      requests: () => mount.activity,
      logLines: () => daemonLog.lines,
    });
    metrics.serve(observer);
    control = await listen({ store, observer, settings, options, log });
    onMounted(describeMounted(store, metrics.url));
    manager.ready(`${store.path} is mounted on ${options.mountpoint}`);
    await mount.closed;
    metrics[Symbol.dispose]();
    log.info('final commit');
    manager.stopping('final commit');
  } catch (error) {
    await closeStore(store, control, log);
    throw error;
  }
  return await closeStore(store, control, log); // before what it is told to is disposed of: the log
}

function mountStore(parts: {
  readonly store: Store;
  readonly pool: SlabPool;
  readonly kernelOptions: KernelOptions;
  readonly options: MountOptions;
  readonly log: Logger;
}): ServedMount {
  const { store, pool, kernelOptions, options, log } = parts;
  return serveMount({
    native,
    filesystem: store.filesystem,
    pool,
    target: options.mountpoint,
    source: store.path,
    options: kernelOptions,
    log,
  });
}

/** @returns undefined, with a warning, where the store's file system has no sockets */
async function listen(parts: {
  readonly store: Store;
  readonly observer: ActivityObserver;
  readonly settings: LiveSettings;
  readonly options: MountOptions;
  readonly log: Logger;
}): Promise<ControlServer | undefined> {
  const { store, observer, settings, options, log } = parts;
  const { mountpoint } = options;
  try {
    const version = readVersion();
    return await ControlServer.listen({ store, observer, settings, mountpoint, version, log });
  } catch (error) {
    log.warn({ err: error }, 'no control socket: stats, gc and fsck cannot ask this daemon');
    return undefined;
  }
}

function describeMounted(store: Store, metricsUrl: string | undefined): Mounted {
  const { chunkBytesMean, compression } = store.statistics();
  const { created, migratedFrom } = store;
  const { pid } = process;
  return { created, migratedFrom, pid, chunkBytesMean, compression, metricsUrl };
}

async function closeStore(
  store: Store,
  control: ControlServer | undefined,
  log: Logger,
): Promise<ExitCodeNumber> {
  let failure: Error | undefined;
  control?.stopListening();
  try {
    await store.close();
    log.info('store closed');
  } catch (error) {
    failure = error instanceof Error ? error : new Error(describeError(error));
    log.fatal({ err: error }, 'the final commit failed: changes since the last commit are lost');
  }
  noteOutcome(store, failure, log);
  control?.announceClose(failure);
  await control?.close();
  return failure === undefined ? ExitCode.OK : ExitCode.FAILED;
}

function noteOutcome(store: Store, failure: Error | undefined, log: Logger): void {
  const error = failure === undefined ? null : describeError(failure);
  try {
    writeLastClose(store.path, { pid: process.pid, error });
  } catch (cause) {
    log.warn({ err: cause }, 'only the control socket tells how the final commit went');
  }
}

/** A bug in one request must not take the mount away from all others: it is logged, loudly. */
function surviveBugs(log: Logger): void {
  process.on('uncaughtException', (error) => log.fatal({ err: error }, 'uncaught exception'));
  process.on('unhandledRejection', (error) => log.fatal({ err: error }, 'unhandled rejection'));
}
