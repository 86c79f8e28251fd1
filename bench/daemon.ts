// A process that serves a target: started, awaited until it answers, and ended.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 10_000;
const POLL_MS = 20;

export interface DaemonStart {
  readonly program: string;
  readonly args: readonly string[];
  /** Takes what it says. */
  readonly logPath: string;
  /** Whether it answers; asked until it says so. */
  isReady(): Promise<boolean>;
  readonly signal: AbortSignal;
}

export class Daemon {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** @throws Error with the end of its log when it ends or does not answer; it runs no longer then */
  static async start({ program, args, logPath, isReady, signal }: DaemonStart): Promise<Daemon> {
    signal.throwIfAborted();
    const log = openSync(logPath, 'w');
    // Detached: Ctrl-C must not take it away before its mount is.
    const child = spawn(program, args, { stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    let failure: Error | undefined;
    child.once('error', (error) => (failure = error));
    const daemon = new Daemon(child);
    const deadline = performance.now() + START_TIMEOUT_MS;
    try {
      while (!(await isReady())) {
        signal.throwIfAborted();
        if (failure !== undefined) throw failure;
        if (daemon.#hasEnded) {
          throw new Error(`${program} ended: ${reasonIn(readFileSync(logPath, 'utf8'))}`);
        }
        if (performance.now() > deadline) {
          throw new Error(`${program} does not answer after ${START_TIMEOUT_MS} ms`);
        }
        await sleep(POLL_MS);
      }
    } catch (error) {
      await daemon.end();
      throw error;
    }
    return daemon;
  }

  /** Asks it to end and waits; its mount is gone already, or goes with it. */
  async end(): Promise<void> {
    if (this.#hasEnded) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }

  /** Also when it never began. */
  get #hasEnded(): boolean {
    const { pid, exitCode, signalCode } = this.#child;
    return pid === undefined || exitCode !== null || signalCode !== null;
  }
}

/** The line of node's report that says what is wrong; the rest is a stack. */
function reasonIn(log: string): string {
  const lines = log.trim().split('\n');
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? (lines.at(-1) || 'without a word');
}
