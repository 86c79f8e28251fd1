// Answers requests about a mounted store from other processes (see protocol.ts). Runs in the daemon.
// Whoever can open the socket file may ask: it is mode 0600 in the store's directory, which has mode 0700
// (store/safe-entries.ts). So the peer is the owner of the store or root, and needs no other proof.

import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';

import { describeError, DedupfsError, ExitCode, UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Activity } from '../observability/activity.ts';
import type { Store } from '../store/contract.ts';
import { LineSplitter } from './lines.ts';
import type { Pong } from './methods.ts';
import {
  CANCELLED_CODE,
  CONNECTIONS_MAX,
  encodeLine,
  parseRequest,
  PROGRESS_INTERVAL_MS,
  ProtocolError,
  REQUEST_BYTES_MAX,
  REQUESTS_MAX,
  type ErrorBody,
  type Reply,
  type Request,
} from './protocol.ts';
import { SocketPath } from './socket-path.ts';

/** Unsent bytes beyond which progress events are dropped: the peer does not read. */
const UNSENT_BYTES_MAX = 64 * 1024;
/** At the end, a peer that does not read its last answer is not waited for any longer. */
const LAST_WORDS_MS = 1000;

export interface ControlOptions {
  readonly store: Store;
  readonly observer: { take(): Activity };
  readonly mountpoint: string;
  readonly version: string;
  readonly log: Logger;
}

/** Lifecycle: listen -> stopListening -> announceClose (how the final commit went) -> close. */
export class ControlServer {
  readonly #options: ControlOptions;
  readonly #path: SocketPath;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #closing: { promise: Promise<void>; settle: (error: Error | undefined) => void };
  /** What runs now and goes through the whole store, by what may not run twice. */
  readonly #longRunning = new Map<Exclusion, string>();
  /** Set when no more connections come; resolves when the last one has ended. */
  #ended: Promise<void> | undefined;

  private constructor(options: ControlOptions) {
    this.#options = options;
    this.#path = new SocketPath(options.store.path);
    this.#server = createServer((socket) => this.#accept(socket));
    this.#closing = deferred();
  }

  /** The caller holds the lock of the store, so a socket file already there is a dead one's. */
  static async listen(options: ControlOptions): Promise<ControlServer> {
    const control = new ControlServer(options);
    const { path } = control.#path;
    rmSync(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      control.#server.once('error', reject);
      // listen() binds before it returns, so the file never exists with wider permissions.
      const umask = process.umask(0o177);
      control.#server.listen(path, resolve);
      process.umask(umask);
    });
    control.#server.on('error', (error) => options.log.error({ err: error }, 'control socket'));
    return control;
  }

  /**
   * Removes the socket file; who is connected stays and is answered. To be called while the lock of
   * the store is held: afterwards the socket file may be another daemon's.
   */
  stopListening(): void {
    this.#ended ??= new Promise((resolve) => this.#server.close(() => resolve()));
    this.#path[Symbol.dispose]();
  }

  /** Answers all awaitClose requests. @param error why the final commit failed, if it did */
  announceClose(error: Error | undefined): void {
    this.#closing.settle(error);
  }

  /** Sends what is queued, then ends all connections. */
  async close(): Promise<void> {
    this.announceClose(undefined);
    // Answers that the announcement released are written in microtasks; let them run first.
    await new Promise((resolve) => setImmediate(resolve));
    this.stopListening();
    for (const connection of this.#connections) connection.end();
    const deadline = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, LAST_WORDS_MS);
    await this.#ended;
    clearTimeout(deadline);
  }

  #accept(socket: Socket): void {
    if (this.#connections.size >= CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, (...args) => this.#run(...args));
    this.#connections.add(connection);
    socket.on('error', (error) => this.#options.log.debug({ err: error }, 'control connection'));
    socket.on('close', () => this.#connections.delete(connection));
  }

  async #run(
    request: StoreRequest,
    onProgress: (progress: unknown) => void,
    signal: AbortSignal,
  ): Promise<unknown> {
    if (isLong(request)) return this.#runLong(request, onProgress, signal);
    const { store } = this.#options;
    switch (request.method) {
      case 'ping':
        return this.#pong();
      case 'stats':
        return store.statistics();
      case 'activity':
        return this.#options.observer.take();
      case 'gcPlan':
        return store.planGc(request.params.threshold);
      case 'damage':
        return store.listDamage(request.params);
      case 'commit':
        await store.commit();
        return {};
      case 'awaitClose':
        await this.#closing.promise;
        return {};
    }
  }

  /** What goes through the whole store. */
  async #runLong(
    request: LongRequest,
    onProgress: (progress: unknown) => void,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { store } = this.#options;
    switch (request.method) {
      case 'gc': {
        const options = { ...request.params, onProgress, signal };
        return this.#exclusively('checks', 'gc', () => store.gc(options));
      }
      case 'fsck': {
        const options = { ...request.params, onProgress, signal };
        return this.#exclusively('checks', 'fsck', () => store.fsck(options));
      }
      case 'scrub': {
        const options = { ...request.params, onProgress, signal };
        return this.#exclusively('scrub', 'scrub', () => store.scrub(options));
      }
      case 'heal': {
        const options = { ...request.params, onProgress, signal };
        return this.#exclusively('heal', 'heal', () => store.heal(options));
      }
      case 'checkpoint':
        return store.checkpoint({ ...request.params, onProgress, signal });
    }
  }

  #pong(): Pong {
    const { mountpoint, version } = this.#options;
    return { pid: process.pid, mountpoint, version };
  }

  async #exclusively<T>(what: Exclusion, name: string, task: () => Promise<T>): Promise<T> {
    const running = this.#longRunning.get(what);
    if (running !== undefined) {
      const message = `${running} is already running on this store; try again later`;
      throw new UserError(ExitCode.BUSY, 'DEDUPFS_BUSY', message);
    }
    this.#longRunning.set(what, name);
    try {
      return await task();
    } finally {
      this.#longRunning.delete(what);
    }
  }
}

/** Those that concern the store; the other concerns a connection. */
type StoreRequest = Exclude<Request, { readonly method: 'cancel' }>;

const longMethods = ['gc', 'fsck', 'scrub', 'heal', 'checkpoint'] as const;
type LongRequest = Extract<Request, { readonly method: (typeof longMethods)[number] }>;

function isLong(request: StoreRequest): request is LongRequest {
  return (longMethods as readonly string[]).includes(request.method);
}

/** gc and fsck exclude one another; scrub and heal get along with all but their own kind. */
type Exclusion = 'checks' | 'scrub' | 'heal';

/** @param signal the client is gone or has cancelled the request: nobody waits for the result */
type Run = (
  request: StoreRequest,
  onProgress: (progress: unknown) => void,
  signal: AbortSignal,
) => Promise<unknown>;

/** One client: reads its lines, runs its requests, writes the replies. */
class Connection {
  readonly #socket: Socket;
  readonly #run: Run;
  readonly #lines = new LineSplitter(REQUEST_BYTES_MAX);
  /** Of the requests under way, by their id. */
  readonly #cancellations = new Map<number, AbortController>();
  #underWay = 0;

  constructor(socket: Socket, run: Run) {
    this.#socket = socket;
    this.#run = run;
    socket.on('data', (piece) => this.#receive(piece));
    socket.on('close', () => {
      for (const cancellation of this.#cancellations.values()) cancellation.abort(cancelled());
    });
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #receive(piece: Buffer): void {
    const lines = this.#lines.push(piece);
    if (lines === undefined) {
      const message = `a request may have ${REQUEST_BYTES_MAX} bytes`;
      this.#send({ id: null, error: bodyOf(new ProtocolError('DEDUPFS_TOO_LONG', message, null)) });
      // What follows cannot be told apart from the rest of the line.
      this.#socket.removeAllListeners('data');
      this.#socket.destroySoon();
      return;
    }
    for (const line of lines) void this.#answer(line);
  }

  async #answer(line: string): Promise<void> {
    let id: number | null = null;
    this.#underWay += 1;
    try {
      const request = parseRequest(line);
      id = request.id;
      if (this.#underWay > REQUESTS_MAX) {
        throw new ProtocolError('DEDUPFS_BUSY', `at most ${REQUESTS_MAX} requests at once`, id);
      }
      this.#send({ id, result: await this.#runCancellably(request) });
    } catch (error) {
      if (error instanceof ProtocolError) id = error.id;
      this.#send({ id, error: bodyOf(error) });
    } finally {
      this.#underWay -= 1;
    }
  }

  async #runCancellably(request: Request): Promise<unknown> {
    if (request.method === 'cancel') {
      this.#cancellations.get(request.params.request)?.abort(cancelled());
      return {};
    }
    const { id } = request;
    const cancellation = new AbortController();
    this.#cancellations.set(id, cancellation);
    try {
      return await this.#run(request, this.#progressOf(id), cancellation.signal);
    } finally {
      if (this.#cancellations.get(id) === cancellation) this.#cancellations.delete(id);
    }
  }

  #progressOf(id: number): (progress: unknown) => void {
    let sentMs = 0;
    return (progress) => {
      const nowMs = performance.now();
      if (nowMs - sentMs < PROGRESS_INTERVAL_MS) return;
      if (this.#socket.writableLength > UNSENT_BYTES_MAX) return;
      sentMs = nowMs;
      this.#send({ id, progress });
    };
  }

  #send(reply: Reply): void {
    if (this.#socket.writable) this.#socket.write(encodeLine(reply));
  }
}

function cancelled(): UserError {
  return new UserError(ExitCode.INTERRUPTED, CANCELLED_CODE, 'cancelled');
}

function bodyOf(error: unknown): ErrorBody {
  const message = describeError(error);
  if (error instanceof DedupfsError) return { code: error.code, message, exitCode: error.exitCode };
  return { code: 'DEDUPFS_FAILED', message, exitCode: ExitCode.FAILED };
}

function deferred(): { promise: Promise<void>; settle: (error: Error | undefined) => void } {
  let settle: (error: Error | undefined) => void = () => undefined;
  const promise = new Promise<void>((resolve, reject) => {
    settle = (error) => {
      if (error === undefined) resolve();
      else reject(error);
    };
  });
  // Nobody may be waiting for the end; that is no unhandled rejection.
  promise.catch(() => undefined);
  return { promise, settle };
}
