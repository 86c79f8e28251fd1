// One client of the control socket: reads its lines, has its requests answered, writes the replies.

import type { Socket } from 'node:net';

import { describeError, DedupfsError, ExitCode, UserError } from '../errors.ts';
import type { StoreRequest } from './answers.ts';
import { LineSplitter } from './lines.ts';
import {
  CANCELLED_CODE,
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

/** Unsent bytes beyond which progress events are dropped: the peer does not read. */
const UNSENT_BYTES_MAX = 64 * 1024;

/** @param signal the client is gone or has cancelled the request: nobody waits for the result */
type Run = (
  request: StoreRequest,
  onProgress: (progress: unknown) => void,
  signal: AbortSignal,
) => Promise<unknown>;

export class Connection {
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
