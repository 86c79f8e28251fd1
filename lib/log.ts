// The daemon's log: JSON lines through pino. One logger per process, passed down explicitly.

import { pino, type Logger } from 'pino';

export type { Logger };

/** @param path a file, opened for appending; undefined for standard error */
export function createLog(path: string | undefined, level = 'info'): Logger {
  const destination =
    path === undefined
      ? pino.destination({ dest: 2, sync: true })
      : pino.destination({ dest: path, append: true, mkdir: true, sync: true });
  return pino({ level, base: { pid: process.pid } }, destination);
}

/** A log that drops everything, for tests. */
export function silentLog(): Logger {
  return pino({ level: 'silent' });
}
