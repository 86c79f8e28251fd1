// One request on its way to its one reply. Handlers answer through the methods here; each encodes
// into a scratch shared by all requests and sends it before it returns, so replies of requests that
// wait do not mix.
//
// Lifecycle: made for a request -> exactly one reply* call -> isReplied. A reply that the kernel
// refuses is replaced by EIO, because a request without a reply hangs its caller for good.

import { assert } from '../assert.ts';
import { Errno, errnoName, type ErrnoNumber } from '../errno.ts';
import type {
  Attributes,
  Caller,
  FileHandle,
  FileSystemStatistics,
  Ino,
} from '../filesystem/contract.ts';

import type { Logger } from '../log.ts';
import * as encode from '../protocol/encode.ts';
import { encodeInitOut, type InitAnswer } from '../protocol/init.ts';
import { messageBytes, type MessageBytes, type Request } from '../protocol/request.ts';
import { entryOut, outHeader, statxOut } from '../protocol/reply-structs.ts';
import type { Slab } from '../slab-pool.ts';
import { ActivityRecord } from './activity.ts';

/** Where replies go. Signature and results of native.writev without the descriptor. */
export interface ReplySink {
  /** One message from one or two ranges. Bytes written or negative errno. */
  send(
    header: Uint8Array,
    headerBytes: number,
    body?: Uint8Array,
    bodyOffset?: number,
    bodyBytes?: number,
  ): number;
}

/** What the exchanges of one session share. */
export class ReplyPort {
  readonly sink: ReplySink;
  readonly log: Logger;
  /** Holds the header and the largest reply made of structs. */
  readonly scratch: MessageBytes;
  /** Of every request that was answered. */
  readonly activity = new ActivityRecord();

  constructor(sink: ReplySink, log: Logger) {
    this.sink = sink;
    this.log = log;
    this.scratch = messageBytes(Buffer.alloc(SCRATCH_BYTES));
    assert(SCRATCH_BYTES >= outHeader.bytes + statxOut.bytes, 'the scratch holds any struct reply');
  }
}

const SCRATCH_BYTES = 512;
/** Where the body of a reply starts. */
const BODY = outHeader.bytes;

/** A request, its slab and its reply. Is the Caller that handlers pass on. */
export class Exchange implements Caller {
  readonly request: Request;
  /** Where the message lies; undefined when it was copied out to wait for the gate. */
  readonly slab: Slab | undefined;
  /** When the request came, of performance.now(). */
  readonly startedMs: number;
  /** It waits for long, and the log was told. */
  isReported = false;
  /** Its first try met a full disk. */
  isSecondTry = false;
  readonly #port: ReplyPort;
  #isReplied = false;
  #interruption: AbortController | undefined;

  constructor(
    port: ReplyPort,
    request: Request,
    slab: Slab | undefined,
    startedMs = performance.now(),
  ) {
    this.#port = port;
    this.request = request;
    this.slab = slab;
    this.startedMs = startedMs;
  }

  get uid(): number {
    return this.request.uid;
  }

  get gid(): number {
    return this.request.gid;
  }

  get pid(): number {
    return this.request.pid;
  }

  get ino(): Ino {
    return this.request.nodeid as Ino;
  }

  get isReplied(): boolean {
    return this.#isReplied;
  }

  get log(): Logger {
    return this.#port.log;
  }

  /** Comes when nobody waits for the reply any more; it is due all the same. */
  get signal(): AbortSignal {
    this.#interruption ??= new AbortController();
    return this.#interruption.signal;
  }

  interrupt(): void {
    this.#interruption?.abort();
  }

  /** For requests that the kernel wants no reply to. */
  finishWithoutReply(): void {
    this.#isReplied = true;
    this.#port.activity.note(this.request, this.startedMs, 0, 0);
  }

  // Each reply returns whether the kernel took it. It does not when the caller is gone (abort); what
  // the reply handed out (lookups, open handles) must then be taken back.

  replyEmpty(): boolean {
    return this.#sendScratch(0);
  }

  replyError(errno: ErrnoNumber): boolean {
    if (!this.#begin()) return false;
    return this.#sendError(errno);
  }

  /** undefined: no such name, remembered by the kernel. */
  replyEntry(attributes: Attributes | undefined): boolean {
    return this.#sendScratch(encode.encodeEntry(this.#view, BODY, attributes));
  }

  replyAttributes(attributes: Attributes): boolean {
    return this.#sendScratch(encode.encodeAttrOut(this.#view, BODY, attributes));
  }

  replyStatx(attributes: Attributes): boolean {
    return this.#sendScratch(encode.encodeStatxOut(this.#view, BODY, attributes));
  }

  replyOpened(fh: FileHandle, flags: number): boolean {
    return this.#sendScratch(encode.encodeOpenOut(this.#view, BODY, fh, flags));
  }

  replyCreated(attributes: Attributes, fh: FileHandle, flags: number): boolean {
    const entryBytes = encode.encodeEntry(this.#view, BODY, attributes);
    const openBytes = encode.encodeOpenOut(this.#view, BODY + entryOut.bytes, fh, flags);
    return this.#sendScratch(entryBytes + openBytes);
  }

  replyWritten(bytes: number): boolean {
    return this.#sendScratch(encode.encodeWriteOut(this.#view, BODY, bytes));
  }

  replyU64(value: number): boolean {
    return this.#sendScratch(encode.encodeU64Out(this.#view, BODY, value));
  }

  replyXattrBytes(bytes: number): boolean {
    return this.#sendScratch(encode.encodeGetxattrOut(this.#view, BODY, bytes));
  }

  replyStatistics(statistics: FileSystemStatistics): boolean {
    return this.#sendScratch(encode.encodeStatfsOut(this.#view, BODY, statistics));
  }

  replyInit(answer: InitAnswer): boolean {
    return this.#sendScratch(encodeInitOut(this.#view, BODY, answer));
  }

  /** Bytes that lie elsewhere, sent from there. */
  replyBytes(body: Uint8Array): boolean {
    if (!this.#begin()) return false;
    const { scratch, sink } = this.#port;
    this.#header(scratch.view, BODY + body.length, 0);
    if (body.length === 0) return this.#check(sink.send(scratch.bytes, BODY), 0);
    return this.#check(sink.send(scratch.bytes, BODY, body, 0, body.length), body.length);
  }

  /** `framed`: room for the out header, filled here, then `bytes` of payload. */
  replyFramed(framed: MessageBytes, bytes: number): boolean {
    if (!this.#begin()) return false;
    this.#header(framed.view, BODY + bytes, 0);
    return this.#check(this.#port.sink.send(framed.bytes, BODY + bytes), bytes);
  }

  get #view(): DataView {
    return this.#port.scratch.view;
  }

  /** False for a second reply: a bug of ours that must not reach a stranger's request. */
  #begin(): boolean {
    if (this.#isReplied) {
      this.log.error({ op: this.request.name }, 'a second reply to one request was dropped');
      return false;
    }
    this.#isReplied = true;
    return true;
  }

  #sendScratch(bodyBytes: number): boolean {
    if (!this.#begin()) return false;
    const { scratch, sink } = this.#port;
    this.#header(scratch.view, BODY + bodyBytes, 0);
    return this.#check(sink.send(scratch.bytes, BODY + bodyBytes), bodyBytes);
  }

  #header(view: DataView, bytes: number, errno: number): void {
    const { uniqueLow, uniqueHigh } = this.request;
    encode.encodeOutHeader(view, 0, { bytes, errno, uniqueLow, uniqueHigh });
  }

  #sendError(errno: ErrnoNumber): boolean {
    const { scratch, sink } = this.#port;
    this.#header(scratch.view, BODY, errno);
    const isTaken = this.#wasTaken(sink.send(scratch.bytes, BODY));
    this.#port.activity.note(this.request, this.startedMs, errno, 0);
    return isTaken;
  }

  #check(sent: number, bodyBytes: number): boolean {
    const isTaken = this.#wasTaken(sent);
    // fs/fuse/dev.c (fuse_dev_do_write): EINVAL for a malformed reply leaves the request pending.
    if (!isTaken && !isGone(-sent)) this.#sendError(Errno.EIO);
    else this.#port.activity.note(this.request, this.startedMs, 0, bodyBytes);
    return isTaken;
  }

  #wasTaken(sent: number): boolean {
    if (sent >= 0) return true;
    const errno = -sent;
    // ENOENT: the request was aborted meanwhile. Not worth a line.
    if (errno === Errno.ENOENT) return false;
    const level = isGone(errno) ? 'debug' : 'error';
    const { name: op, nodeid } = this.request;
    this.log[level]({ op, nodeid, errno: errnoName(errno) }, 'the kernel refused a reply');
    return false;
  }
}

/** The request or the whole connection is no more: there is nobody to reply to. */
function isGone(errno: number): boolean {
  return (
    errno === Errno.ENOENT ||
    errno === Errno.ENODEV ||
    errno === Errno.ECONNABORTED ||
    errno === Errno.EBADF
  );
}
