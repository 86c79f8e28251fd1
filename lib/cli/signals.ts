// SIGTERM and SIGINT end a mount: the first one politely (see ServedMount.stop), the second at once.
// Neither loses what was answered: the final commit follows in any case, and cannot be interrupted.
// SIGHUP opens the log anew and reads config.toml again.

import type { ServedMount } from '../kernel/mount-session.ts';
import { UnmountFlag } from '../kernel/mount-options.ts';
import { describeError } from '../errors.ts';
import type { DaemonLog, Logger } from '../log.ts';
import type { LiveSettings } from './settings/live-settings.ts';

const signalNames = ['SIGTERM', 'SIGINT'] as const;

/** @param onFirst called when the first one comes */
export function stopOnSignals(mount: ServedMount, log: Logger, onFirst: () => void): void {
  let count = 0;
  let isOver = false;
  void mount.closed.then(() => (isOver = true));
  const onSignal = (signal: string): void => {
    count += 1;
    if (isOver) {
      // Whatever is mounted there now is somebody else's.
      log.info({ signal }, 'already unmounted; the final commit goes on');
      return;
    }
    log.info({ signal, count }, count === 1 ? 'unmounting' : 'aborting the connection');
    if (count === 1) onFirst();
    const stopping = count === 1 ? mount.stop() : abort(mount);
    stopping.catch((error: unknown) => {
      log.error({ err: error }, 'unmounting failed; aborting the connection');
      mount.abort();
    });
  };
  for (const name of signalNames) process.on(name, onSignal);
}

/** What logrotate asks for when it has renamed the log, and who has edited config.toml. */
export function reloadOnHangup(settings: LiveSettings, log: DaemonLog): void {
  process.on('SIGHUP', () => {
    try {
      log.reopen();
    } catch (error) {
      const reason = describeError(error);
      log.logger.error({ reason }, 'the log could not be opened anew; it goes on where it was');
    }
    log.logger.info('SIGHUP: the log is opened anew, config.toml is read again');
    void settings.reload(log.logger);
  });
}

/** Detached first: a mount whose connection is gone only gives errors and would stay. */
async function abort(mount: ServedMount): Promise<void> {
  await mount.unmount(UnmountFlag.DETACH);
  mount.abort();
}
