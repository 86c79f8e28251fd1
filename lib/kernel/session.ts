// One mount's conversation with the kernel, without the device: messages come in through `handle`,
// replies go out through the sink. Whatever happens, each request that wants a reply gets one.
//
// Lifecycle: new -> INIT accepted: serving -> DESTROY (fuseblk only) or `end`: ended.

import { Errno } from '../errno.ts';
import { NoRoomYetError, describeError, ExitCode, UserError } from '../errors.ts';
import type { FileSystem } from '../filesystem/contract.ts';
import type { Logger } from '../log.ts';
import { encodeOutHeader } from '../protocol/encode.ts';
import { decodeInit, hasFlag, InitFlag, negotiateInit, type InitAnswer } from '../protocol/init.ts';
import {
  Opcode,
  opcodeRecord,
  opcodeRecords,
  opcodeRecordsBefore733,
} from '../protocol/opcodes.ts';
import { outHeader } from '../protocol/reply-structs.ts';
import { peekUnique, Request, type MessageBytes } from '../protocol/request.ts';
import { PAYLOAD_BYTES_MAX, type Slab } from '../slab-pool.ts';
import type { RequestActivity } from './activity.ts';
import { handlerOf, replyFailure } from './dispatch.ts';
import { Exchange, ReplyPort, type ReplySink } from './exchange.ts';
import { GateQueue } from './gate-queue.ts';
import type { HandlerContext } from './handler.ts';
import { InFlight } from './in-flight.ts';
import { ReplyBuffers } from './reply-buffers.ts';

/** Largest READ: one page more than a WRITE, because max_pages has one page to spare (init.ts). */
const READ_BYTES_MAX = PAYLOAD_BYTES_MAX + 4096;
/** Reads that wait for the disk at once; together about 16 MiB of reply buffers. */
const REPLY_BUFFERS_MAX = 16;
/** After a second try that failed too: what fills a store file by file must not bring on a commit for each. */
const NO_SECOND_TRY_MS = 1000;

export interface SessionOptions {
  readonly filesystem: FileSystem;
  readonly sink: ReplySink;
  readonly log: Logger;
}

interface SettleReady {
  readonly resolve: (answer: InitAnswer) => void;
  readonly reject: (error: Error) => void;
}

export class Session {
  /** INIT was answered. Rejects when the kernel is too old or the session ends before. */
  readonly ready: Promise<InitAnswer>;
  readonly #log: Logger;
  readonly #port: ReplyPort;
  readonly #context: HandlerContext;
  readonly #inFlight: InFlight;
  readonly #held: GateQueue<Exchange>;
  readonly #settleReady: SettleReady;
  #state: 'new' | 'serving' | 'ended' = 'new';
  /** How this kernel shapes its requests. */
  #records = opcodeRecords;
  /** Until then what finds no room is answered at once. */
  #noSecondTryUntilMs = -Infinity;

  constructor({ filesystem, sink, log }: SessionOptions) {
    this.#log = log;
    this.#port = new ReplyPort(sink, log);
    const replyBuffers = new ReplyBuffers({
      countMax: REPLY_BUFFERS_MAX,
      payloadBytes: READ_BYTES_MAX,
    });
    this.#inFlight = new InFlight(log);
    this.#context = {
      fs: filesystem,
      replyBuffers,
      interruptWaiting: (low, high) => this.#inFlight.interrupt(low, high),
    };
    this.#held = new GateQueue(filesystem.gate, (exchange) => this.#runHeld(exchange));
    let settle!: SettleReady;
    this.ready = new Promise((resolve, reject) => (settle = { resolve, reject }));
    this.#settleReady = settle;
    // Whoever does not wait for readiness must not crash of it.
    this.ready.catch(() => undefined);
  }

  get state(): 'new' | 'serving' | 'ended' {
    return this.#state;
  }

  /** Requests received and not yet answered. */
  get inFlightCount(): number {
    return this.#inFlight.count;
  }

  /** What was asked so far. */
  get activity(): RequestActivity {
    return this.#port.activity.report(this.inFlightCount);
  }

  /**
   * Takes one message. Never throws. When it returns, the buffer may be reused unless somebody has
   * retained the slab meanwhile.
   */
  handle(message: MessageBytes, start: number, length: number, slab: Slab): void {
    try {
      const request = new Request(message, start, length, this.#records);
      this.#route(new Exchange(this.#port, request, slab));
    } catch (error) {
      this.#refuse(message, start, length, error);
    }
  }

  /** No more messages will come. */
  end(): void {
    this.#state = 'ended';
    this.#inFlight.stop();
    this.#settleReady.reject(mountFailed('the kernel closed the connection before the handshake'));
  }

  #route(exchange: Exchange): void {
    const { opcode } = exchange.request;
    if (opcode === Opcode.INIT) this.#attempt(exchange, () => this.#init(exchange));
    else if (this.#state !== 'serving') this.#replyNotServing(exchange);
    else if (opcode === Opcode.DESTROY) this.#destroy(exchange);
    else if (this.#held.isHolding && exchange.request.record?.mutates === true)
      this.#hold(exchange);
    else this.#run(exchange);
  }

  #run(exchange: Exchange): void {
    const handler = handlerOf(exchange.request.opcode);
    if (handler === undefined) {
      this.#replyUnsupported(exchange);
      return;
    }
    let outcome: void | Promise<void>;
    try {
      outcome = handler(exchange, this.#context);
    } catch (error) {
      this.#fail(exchange, error);
      return;
    }
    if (outcome === undefined) ensureReplied(exchange);
    else this.#await(exchange, outcome);
  }

  #fail(exchange: Exchange, error: unknown): void {
    const mayFit = mayFitLater(exchange, error);
    if (mayFit && !exchange.isSecondTry && performance.now() >= this.#noSecondTryUntilMs) {
      this.#tryLater(exchange);
      return;
    }
    if (mayFit && exchange.isSecondTry) this.#noteFull();
    replyFailure(exchange, error);
  }

  /** Storing what is under way made no room. */
  #noteFull(): void {
    this.#noSecondTryUntilMs = performance.now() + NO_SECOND_TRY_MS;
  }

  #await(exchange: Exchange, outcome: Promise<void>): void {
    this.#inFlight.add(exchange);
    void outcome
      .then(
        () => ensureReplied(exchange),
        (error: unknown) => replyFailure(exchange, error),
      )
      .finally(() => this.#inFlight.delete(exchange));
  }

  /** A WRITE keeps its slab; anything else is small and moves out of it, so that it can be reused. */
  #hold(exchange: Exchange): void {
    let held = exchange;
    if (exchange.request.opcode === Opcode.WRITE) {
      exchange.slab?.retain();
    } else {
      const { message, length } = exchange.request.copyMessage();
      const copy = new Request(message, 0, length, this.#records);
      held = new Exchange(this.#port, copy, undefined, exchange.startedMs);
    }
    this.#inFlight.add(held);
    this.#held.push(held);
  }

  /**
   * There was no room for it: what is under way takes room beforehand, with what it may need. So it is
   * tried once more when that is stored, and df's promise is kept to the end.
   */
  #tryLater(exchange: Exchange): void {
    exchange.slab?.retain();
    exchange.isSecondTry = true;
    this.#inFlight.add(exchange);
    const { fs } = this.#context;
    fs.syncAll().then(
      () => fs.gate.whenOpen(() => this.#runHeld(exchange)),
      (error: unknown) => {
        this.#inFlight.delete(exchange);
        exchange.slab?.release();
        this.#noteFull();
        replyFailure(exchange, error);
      },
    );
  }

  #runHeld(exchange: Exchange): void {
    this.#inFlight.delete(exchange);
    try {
      // After the end nobody waits for it, and the store may be closing.
      if (this.#state === 'serving') this.#run(exchange);
    } finally {
      exchange.slab?.release();
    }
  }

  #init(exchange: Exchange): void {
    if (this.#state !== 'new') {
      exchange.replyError(Errno.EIO);
      return;
    }
    const { acls, accessTimes } = this.#context.fs.semantics;
    const wishes = { acls, cachedSymlinks: accessTimes !== 'always' };
    const outcome = negotiateInit(decodeInit(exchange.request), PAYLOAD_BYTES_MAX, wishes);
    if (outcome.kind === 'refuse') {
      exchange.replyError(Errno.EPROTO);
      this.#state = 'ended';
      this.#settleReady.reject(mountFailed(outcome.reason));
      return;
    }
    const isTaken = exchange.replyInit(outcome.answer);
    if (outcome.kind === 'renegotiate' || !isTaken) return;
    this.#state = 'serving';
    const { flags, flags2 } = outcome.answer;
    if (!hasFlag(flags, flags2, InitFlag.SETXATTR_EXT)) this.#records = opcodeRecordsBefore733;
    this.#settleReady.resolve(outcome.answer);
  }

  #destroy(exchange: Exchange): void {
    this.#state = 'ended';
    exchange.replyEmpty();
  }

  #replyNotServing(exchange: Exchange): void {
    if (exchange.request.record?.hasReply === false) return;
    exchange.replyError(Errno.EIO);
  }

  #replyUnsupported(exchange: Exchange): void {
    if (exchange.request.record?.hasReply === false) return;
    this.#log.debug({ op: exchange.request.name }, 'answered as not supported');
    exchange.replyError(Errno.ENOSYS);
  }

  #attempt(exchange: Exchange, action: () => void): void {
    try {
      action();
    } catch (error) {
      replyFailure(exchange, error);
    }
  }

  /** A message that is no request, or a bug below `handle`. */
  #refuse(message: MessageBytes, start: number, length: number, error: unknown): void {
    this.#log.error({ err: error, length }, `a message was refused: ${describeError(error)}`);
    const header = peekUnique(message, start, length);
    if (header === undefined || opcodeRecord(header.opcode)?.hasReply === false) return;
    const { scratch, sink } = this.#port;
    const { uniqueLow, uniqueHigh } = header;
    const reply = { bytes: outHeader.bytes, errno: Errno.EIO, uniqueLow, uniqueHigh };
    encodeOutHeader(scratch.view, 0, reply);
    sink.send(scratch.bytes, outHeader.bytes);
  }
}

/**
 * Data was refused, and nothing of it was taken. Names are not tried again: what they take cannot be told
 * before, so that each of the last thousands would bring on a commit.
 */
function mayFitLater(exchange: Exchange, error: unknown): boolean {
  const { request, isReplied } = exchange;
  if (request.opcode !== Opcode.WRITE || isReplied) return false;
  return error instanceof NoRoomYetError;
}

/** A handler that returned without a reply would hang its caller. */
function ensureReplied(exchange: Exchange): void {
  if (exchange.isReplied) return;
  replyFailure(exchange, new Error('the handler did not reply'));
}

function mountFailed(message: string): UserError {
  return new UserError(ExitCode.MOUNT_FAILED, 'DEDUPFS_MOUNT_FAILED', message);
}
