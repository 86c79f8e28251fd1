// The socket of a mounted store that other processes ask on (see protocol.ts). Runs in the daemon.
// Whoever can open the socket file may ask: it is mode 0600 in the store's directory, which has mode 0700
// (store/safe-entries.ts). So the peer is the owner of the store or root, and needs no other proof.

import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';

import type { Logger } from '../log.ts';
import type { Activity } from '../observability/activity.ts';
import type { Store } from '../store/contract.ts';
import { Answers } from './answers.ts';
import { Connection } from './connection.ts';
import { CONNECTIONS_MAX } from './protocol.ts';
import type { SettingsControl } from './settings.ts';
import { SocketPath } from './socket-path.ts';

/** At the end, a peer that does not read its last answer is not waited for any longer. */
const LAST_WORDS_MS = 1000;

export interface ControlOptions {
  readonly store: Store;
  readonly observer: { take(): Activity };
  readonly mountpoint: string;
  readonly version: string;
  readonly settings: SettingsControl;
  readonly log: Logger;
}

/** Lifecycle: listen -> stopListening -> announceClose (how the final commit went) -> close. */
export class ControlServer {
  readonly #options: ControlOptions;
  readonly #path: SocketPath;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #closing: { promise: Promise<void>; settle: (error: Error | undefined) => void };
  readonly #answers: Answers;
  /** Set when no more connections come; resolves when the last one has ended. */
  #ended: Promise<void> | undefined;

  private constructor(options: ControlOptions) {
    this.#options = options;
    this.#path = new SocketPath(options.store.path);
    this.#server = createServer((socket) => this.#accept(socket));
    this.#closing = deferred();
    this.#answers = new Answers({ ...options, closed: this.#closing.promise });
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
    const connection = new Connection(socket, (...args) => this.#answers.run(...args));
    this.#connections.add(connection);
    socket.on('error', (error) => this.#options.log.debug({ err: error }, 'control connection'));
    socket.on('close', () => this.#connections.delete(connection));
  }
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
