// Asks the daemon of a mounted store (see protocol.ts). Runs in the commands of the shell.

import { createConnection, type Socket } from 'node:net';

import { ExitCode, UserError } from '../errors.ts';
import { LineSplitter } from './lines.ts';
import type { Method, Params, Progress, Results } from './methods.ts';
import {
  CANCELLED_CODE,
  encodeLine,
  parseReply,
  REQUEST_BYTES_MAX,
  RESPONSE_BYTES_MAX,
  type ErrorBody,
  type Reply,
} from './protocol.ts';
import { SocketPath } from './socket-path.ts';

/** The daemon accepts while it serves; a longer wait means it hangs. */
const CONNECT_TIMEOUT_MS = 10_000;

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: ((progress: unknown) => void) | undefined;
}

export class ControlClient implements Disposable {
  readonly #socket: Socket;
  readonly #lines = new LineSplitter(RESPONSE_BYTES_MAX);
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (piece) => this.#receive(piece));
    socket.on('error', () => undefined); // 'close' follows and fails what is pending
    socket.on('close', () => this.#failAll());
  }

  /**
   * @param storePath directory of a store that a daemon serves
   * @throws UserError DEDUPFS_NO_DAEMON when nobody answers, NO_PERMISSION when we may not ask
   *   or the socket may be a stranger's
   */
  static async connect(storePath: string): Promise<ControlClient> {
    try {
      using path = new SocketPath(storePath);
      const defect = path.defect();
      if (defect !== undefined) throw untrusted(storePath, defect);
      return new ControlClient(await connectTo(path.path));
    } catch (cause) {
      throw connectError(storePath, cause);
    }
  }

  /**
   * @param signal asks the daemon to stop; its answer is waited for
   * @throws UserError with the code, message and exit code that the daemon answered
   * @throws the signal's reason when the daemon has stopped without a result
   */
  async request<M extends Method>(
    method: M,
    params: Params<M>,
    onProgress?: (progress: Progress<M>) => void,
    signal?: AbortSignal,
  ): Promise<Results[M]> {
    this.#lastId += 1;
    const id = this.#lastId;
    const cancel = (): void => {
      // Without an answer: the request that is cancelled has one.
      void this.request('cancel', { request: id }).catch(() => undefined);
    };
    signal?.throwIfAborted();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await this.#ask(id, method, params, onProgress);
    } catch (error) {
      const isCancelled = error instanceof UserError && error.code === CANCELLED_CODE;
      if (isCancelled) signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  #ask<M extends Method>(
    id: number,
    method: M,
    params: Params<M>,
    onProgress: ((progress: Progress<M>) => void) | undefined,
  ): Promise<Results[M]> {
    const line = encodeLine({ id, method, params });
    if (Buffer.byteLength(line) > REQUEST_BYTES_MAX) return Promise.reject(tooLong(line));
    return new Promise((resolve, reject) => {
      const settle = resolve as (result: unknown) => void;
      const report = onProgress as ((progress: unknown) => void) | undefined;
      this.#pending.set(id, { resolve: settle, reject, onProgress: report });
      if (!this.#socket.writable) this.#failAll();
      else this.#socket.write(line);
    });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #receive(piece: Buffer): void {
    const lines = this.#lines.push(piece);
    if (lines === undefined) this.#socket.destroy();
    for (const line of lines ?? []) this.#settle(line);
  }

  #settle(line: string): void {
    let reply: Reply;
    try {
      reply = parseReply(line);
    } catch {
      this.#socket.destroy(); // not our protocol; 'close' fails what is pending
      return;
    }
    const pending = reply.id === null ? undefined : this.#pending.get(reply.id);
    if (pending === undefined || reply.id === null) return;
    if (reply.progress !== undefined) {
      pending.onProgress?.(reply.progress);
      return;
    }
    this.#pending.delete(reply.id);
    if (reply.error === undefined) pending.resolve(reply.result);
    else pending.reject(errorOf(reply.error));
  }

  #failAll(): void {
    const error = noDaemon('the daemon closed the control socket before it answered; see its log');
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }
}

function connectTo(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no answer in ${CONNECT_TIMEOUT_MS / 1000} s`));
    }, CONNECT_TIMEOUT_MS);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeListener('error', reject);
      resolve(socket);
    });
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

function tooLong(line: string): UserError {
  const what = `a request of ${line.length} bytes, a daemon takes ${REQUEST_BYTES_MAX}`;
  return new UserError(ExitCode.USAGE, 'DEDUPFS_TOO_LONG', `${what}; name fewer paths at once`);
}

function untrusted(storePath: string, defect: string): UserError {
  return new UserError(
    ExitCode.NO_PERMISSION,
    'DEDUPFS_UNSAFE_STORE',
    `the control socket of ${storePath} ${defect}; remove it and see who may write there`,
  );
}

function connectError(storePath: string, cause: unknown): UserError {
  if (cause instanceof UserError) return cause;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'EACCES' || code === 'EPERM') {
    const message = `no permission to ask the daemon of ${storePath}; run as its owner or as root`;
    return new UserError(ExitCode.NO_PERMISSION, 'DEDUPFS_NO_PERMISSION', message, { cause });
  }
  return noDaemon(`the daemon of ${storePath} does not answer on its control socket`, cause);
}

function noDaemon(message: string, cause?: unknown): UserError {
  const options = cause === undefined ? {} : { cause };
  return new UserError(ExitCode.FAILED, 'DEDUPFS_NO_DAEMON', message, options);
}

function errorOf(body: ErrorBody): UserError {
  return new UserError(body.exitCode, body.code, body.message);
}
