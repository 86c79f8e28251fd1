// Tells the service manager that started this process how far it is (sd_notify(3)): systemd with
// Type=notify. Without NOTIFY_SOCKET in the environment everything here does nothing.

import { errnoName } from '../errno.ts';
import type { Logger } from '../log.ts';
import { native, type Native } from '../native.ts';

/** While something long is under way, the manager's deadline is put off by EXTENSION_MS so often. */
const EXTEND_EVERY_MS = 10_000;
/** Three times as much: two messages may be late. */
const EXTENSION_MS = 30_000;

/** `status` is a word about what is going on, shown by `systemctl status`. */
export class ServiceManager {
  readonly #socket: string | undefined;
  readonly #native: Pick<Native, 'notifyServiceManager'>;
  #log: Logger | undefined;
  #hasFailed = false;
  #extending: NodeJS.Timeout | undefined;

  private constructor(socket: string | undefined, addon: Pick<Native, 'notifyServiceManager'>) {
    this.#socket = socket;
    this.#native = addon;
  }

  /**
   * Takes the socket out of the environment: what this process starts is not the service, and must
   * not speak for it.
   */
  static fromEnvironment(
    environment: NodeJS.ProcessEnv = process.env,
    addon: Pick<Native, 'notifyServiceManager'> = native,
  ): ServiceManager {
    const socket = environment['NOTIFY_SOCKET'];
    delete environment['NOTIFY_SOCKET'];
    return new ServiceManager(socket === '' ? undefined : socket, addon);
  }

  /** Failures to send are logged there, once. */
  reportTo(log: Logger): void {
    this.#log = log;
  }

  /** Work that takes as long as it takes is under way: the manager's deadline is put off until `ready`. */
  starting(status: string): void {
    this.#send([statusLine(status)]);
    this.#extendDeadline();
  }

  /** The service is up: what is ordered after it may start. */
  ready(status: string): void {
    clearInterval(this.#extending);
    this.#extending = undefined;
    this.#send(['READY=1', statusLine(status)]);
  }

  /** From here on the end of the process is expected, and the deadline put off until it comes. */
  stopping(status: string): void {
    this.#send(['STOPPING=1', statusLine(status)]);
    this.#extendDeadline();
  }

  #extendDeadline(): void {
    if (this.#socket === undefined || this.#extending !== undefined) return;
    const extend = (): void => this.#send([`EXTEND_TIMEOUT_USEC=${EXTENSION_MS * 1000}`]);
    extend();
    this.#extending = setInterval(extend, EXTEND_EVERY_MS).unref();
  }

  #send(lines: readonly string[]): void {
    if (this.#socket === undefined) return;
    const result = this.#native.notifyServiceManager(this.#socket, lines.join('\n'));
    if (result === 0 || this.#hasFailed) return;
    this.#hasFailed = true;
    const errno = errnoName(-result);
    this.#log?.warn({ socket: this.#socket, errno }, 'the service manager cannot be told');
  }
}

/** One line: a newline would begin another assignment. */
function statusLine(status: string): string {
  return `STATUS=${status.replaceAll(/[\r\n]+/g, ' ')}`;
}
