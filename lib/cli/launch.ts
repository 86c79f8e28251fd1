// Starts the daemon behind `dedupfs mount` and waits until its mount answers.
//
// Node cannot fork: the daemon is this program again, as the hidden command `daemon`, in a session of
// its own. It reports over the IPC channel that spawn opens: one message, then the channel is closed.

import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { ExitCode, UserError, type ExitCodeNumber } from '../errors.ts';
import type { Mounted } from './daemon.ts';
import { endAtOnce } from './interruption.ts';
import { openLogFile } from './log-path.ts';

export type DaemonMessage =
  | { readonly type: 'mounted'; readonly mounted: Mounted }
  | {
      readonly type: 'failed';
      readonly code: string;
      readonly message: string;
      readonly exitCode: ExitCodeNumber;
    };

/**
 * Bounds the heap: payloads and caches live outside it, so 256 MiB is ample (G5). It begins larger than by
 * itself: a heap of 10 MiB is collected as a whole for each 85 MiB read, on threads that others need.
 * V8 compiles on one thread and inlines half as much as by itself: on a machine with few processors four
 * compiling threads stood in the way of the requests that they were to make faster (m).
 */
export const daemonNodeFlags = [
  '--v8-pool-size=1',
  '--max-inlined-bytecode-size-cumulative=400',
  '--max-old-space-size=256',
  '--initial-old-space-size=64',
  '--max-semi-space-size=8',
  '--min-semi-space-size=8',
];

/** Two malloc arenas instead of eight per core: the daemon allocates on many threads. */
export const daemonEnvironment = { MALLOC_ARENA_MAX: '2' };

/**
 * @param args of `dedupfs daemon`
 * @param logPath receives what the daemon writes to its standard output and error
 * @throws UserError what the daemon reported, or MOUNT_FAILED when it died without a word
 */
export async function launchDaemon(args: readonly string[], logPath: string): Promise<Mounted> {
  const logFd = openLogFile(logPath);
  let daemon: ChildProcess;
  try {
    daemon = spawn(process.execPath, [...daemonNodeFlags, programPath(), ...args], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', logFd, logFd, 'ipc'],
      // A service manager's socket is not for it: this process is the service, and ends.
      env: { ...daemonEnvironment, ...process.env, NOTIFY_SOCKET: undefined },
    });
  } finally {
    closeSync(logFd);
  }
  const interruption = new AbortController();
  const interrupt = (): void => {
    daemon.kill('SIGTERM');
    if (interruption.signal.aborted) endAtOnce();
    interruption.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, interrupt);
  try {
    return await firstMessage(daemon, logPath, interruption.signal);
  } finally {
    if (daemon.connected) daemon.disconnect();
    daemon.unref();
  }
}

/** dist/bin/dedupfs.js, seen from dist/lib/cli. */
function programPath(): string {
  return fileURLToPath(new URL('../../bin/dedupfs.js', import.meta.url));
}

function firstMessage(
  daemon: ChildProcess,
  logPath: string,
  interruption: AbortSignal,
): Promise<Mounted> {
  return new Promise((resolve, reject) => {
    daemon.once('message', (message: DaemonMessage) => {
      // An interrupted daemon that has just mounted unmounts again; its end is waited for.
      if (interruption.aborted) return;
      if (message.type === 'mounted') resolve(message.mounted);
      else reject(new UserError(message.exitCode, message.code, message.message));
    });
    daemon.once('error', (cause) => {
      reject(mountFailed(`cannot start the daemon`, { cause }));
    });
    daemon.once('exit', (code, signal) => {
      // A message may still be in the channel; it is delivered before 'close' of the channel.
      setImmediate(() => {
        if (interruption.aborted) {
          const message = 'interrupted; nothing is mounted, and the next mount goes on from here';
          reject(new UserError(ExitCode.INTERRUPTED, 'DEDUPFS_INTERRUPTED', message));
          return;
        }
        const end = signal === null ? `exit code ${code}` : `signal ${signal}`;
        reject(
          mountFailed(`the daemon ended with ${end} before the mount answered; see ${logPath}`),
        );
      });
    });
  });
}

function mountFailed(message: string, options?: ErrorOptions): UserError {
  return new UserError(ExitCode.MOUNT_FAILED, 'DEDUPFS_MOUNT_FAILED', message, options);
}
