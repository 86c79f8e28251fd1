// The process that serves bench/null-filesystem.ts.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('null-filesystem.js', import.meta.url));

const START_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 10_000;

export class NullDaemon {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Resolves when the mount answers. @throws Error with the end of the log when it does not */
  static async start(
    mountpoint: string,
    logPath: string,
    signal: AbortSignal,
  ): Promise<NullDaemon> {
    signal.throwIfAborted();
    const log = openSync(logPath, 'w');
    // Detached: Ctrl-C must not take it away before its mount is.
    const child = spawn(process.execPath, [program, mountpoint], {
      stdio: ['ignore', 'pipe', log],
      detached: true,
    });
    closeSync(log);
    const { stdout } = child;
    if (stdout === null) throw new Error('expected a pipe from the null filesystem');
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
    const exit = once(child, 'exit').then(() => false);
    try {
      const ready = once(stdout, 'data', { signal: bounded }).then(() => true);
      if (await Promise.race([ready, exit])) return new NullDaemon(child);
    } catch (cause) {
      child.kill('SIGTERM');
      signal.throwIfAborted();
      throw new Error(`the null filesystem is not ready after ${START_TIMEOUT_MS} ms`, { cause });
    }
    throw new Error(`the null filesystem ended: ${reasonIn(readFileSync(logPath, 'utf8'))}`);
  }

  /** Waits for its end, which follows that of its mount. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_TIMEOUT_MS);
    await once(this.#child, 'exit');
    clearTimeout(timer);
  }
}

/** The line of node's report that says what is wrong; the rest is a stack. */
function reasonIn(log: string): string {
  const lines = log.trim().split('\n');
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1) ?? 'without a word';
}
