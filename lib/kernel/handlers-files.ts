// Handlers of the requests about open files, and of those about the filesystem as a whole.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import type { Caching, FileHandle, Ino, Opened } from '../filesystem/contract.ts';
import * as decode from '../protocol/decode-files.ts';
import { OpenFlag, OpenReply } from '../protocol/flags.ts';
import type { Exchange } from './exchange.ts';
import type { HandlerContext } from './handler.ts';
import { checkedName } from './handlers-names.ts';
import type { ReplyBuffer } from './reply-buffers.ts';

/**
 * The reply of COPY_FILE_RANGE counts in 32 bits, so longer copies go piecewise (the caller gets a
 * short count and asks for the rest).
 */
const COPY_BYTES_MAX = 1024 * 1024 * 1024;

export function open(exchange: Exchange, { fs }: HandlerContext): void {
  const request = decode.decodeOpen(exchange.request);
  const { fh, caching } = fs.open(exchange.ino, request);
  if (!exchange.replyOpened(fh, openReplyFlags(request.flags, caching))) fs.release(fh);
}

export function create(exchange: Exchange, context: HandlerContext): void {
  const request = decode.decodeCreate(exchange.request);
  const name = checkedName(request.name);
  const opened = context.fs.create(exchange.ino, name, request, exchange);
  replyCreated(exchange, context, opened, request.flags);
}

export function tmpfile(exchange: Exchange, context: HandlerContext): void {
  const request = decode.decodeCreate(exchange.request);
  const opened = context.fs.makeTemporary(exchange.ino, request, exchange);
  replyCreated(exchange, context, opened, request.flags);
}

export function read(exchange: Exchange, context: HandlerContext): void | Promise<void> {
  const request = decode.decodeRead(exchange.request);
  const buffer = context.replyBuffers.acquire();
  if (buffer !== undefined) return readInto(exchange, context, request, buffer);
  return context.replyBuffers
    .whenFree()
    .then((freed) => readInto(exchange, context, request, freed));
}

/** With O_DSYNC, O_SYNC (which has its bit), RWF_DSYNC or on a mount with `sync`, durable before the reply. */
export function write(exchange: Exchange, { fs }: HandlerContext): void | Promise<void> {
  const { slab } = exchange;
  // The session keeps the slab of a WRITE that waits.
  if (slab === undefined) throw new Error('a WRITE without its slab');
  const request = decode.decodeWrite(exchange.request);
  const payload = { slab, offset: request.dataOffset, bytes: request.dataBytes };
  const fh = request.fh as FileHandle;
  const written = fs.write(fh, payload, request, exchange);
  if ((request.flags & OpenFlag.DSYNC) !== 0) {
    return fs.fsync(fh).then(() => void exchange.replyWritten(written));
  }
  exchange.replyWritten(written);
}

export function flush(exchange: Exchange, { fs }: HandlerContext): void {
  fs.flush(decode.decodeFlush(exchange.request) as FileHandle);
  exchange.replyEmpty();
}

export async function fsync(exchange: Exchange, { fs }: HandlerContext): Promise<void> {
  await fs.fsync(decode.decodeFsync(exchange.request) as FileHandle);
  exchange.replyEmpty();
}

export async function syncAll(exchange: Exchange, { fs }: HandlerContext): Promise<void> {
  await fs.syncAll();
  exchange.replyEmpty();
}

export function release(exchange: Exchange, { fs }: HandlerContext): void {
  fs.release(decode.decodeRelease(exchange.request) as FileHandle);
  exchange.replyEmpty();
}

export function lseek(exchange: Exchange, { fs }: HandlerContext): void {
  const { fh, offset, whence } = decode.decodeLseek(exchange.request);
  exchange.replyU64(fs.seek(fh as FileHandle, offset, whence));
}

export function fallocate(exchange: Exchange, { fs }: HandlerContext): void {
  const { fh, offset, length, mode } = decode.decodeFallocate(exchange.request);
  fs.allocate(fh as FileHandle, offset, length, mode);
  exchange.replyEmpty();
}

export function copyFileRange(exchange: Exchange, context: HandlerContext): void | Promise<void> {
  return copyPiece(exchange, context, COPY_BYTES_MAX, (bytes) => exchange.replyWritten(bytes));
}

export function copyFileRange64(exchange: Exchange, context: HandlerContext): void | Promise<void> {
  const bytesMax = Number.MAX_SAFE_INTEGER;
  return copyPiece(exchange, context, bytesMax, (bytes) => exchange.replyU64(bytes));
}

export function statfs(exchange: Exchange, { fs }: HandlerContext): void {
  exchange.replyStatistics(fs.statistics());
}

/** default_permissions: the kernel has checked by the attributes already. */
export function access(exchange: Exchange): void {
  exchange.replyEmpty();
}

/** isatty(3) and lsattr(1) get here; ENOSYS would say the same for the whole connection. */
export function ioctl(): never {
  throw posixError(Errno.ENOTTY);
}

/** Few requests here take long and are not commits that must go on: those that asked for their signal. */
export function interrupt(exchange: Exchange, { interruptWaiting }: HandlerContext): void {
  const { uniqueLow, uniqueHigh } = decode.decodeInterrupt(exchange.request);
  interruptWaiting(uniqueLow, uniqueHigh);
  exchange.finishWithoutReply();
}

/**
 * Writers bypass the page cache: it would cost a copy, hide ENOSPC and split large writes. Readers
 * use it, and keep it across opens: direct writes drop exactly the pages they overlap. Handlers are
 * synchronous, so parallel direct writes cannot interleave.
 */
function openReplyFlags(flags: number, caching: Caching): number {
  if ((flags & OpenFlag.ACCMODE) !== OpenFlag.RDONLY && caching !== 'through') {
    return OpenReply.DIRECT_IO | OpenReply.PARALLEL_DIRECT_WRITES;
  }
  return OpenReply.NOFLUSH | cachingFlags[caching];
}

const cachingFlags: Record<Caching, number> = {
  keep: OpenReply.KEEP_CACHE,
  through: OpenReply.KEEP_CACHE,
  renew: 0,
  none: OpenReply.DIRECT_IO,
};

function replyCreated(
  exchange: Exchange,
  { fs }: HandlerContext,
  { fh, attributes, caching }: Opened,
  flags: number,
): void {
  const { ino } = attributes;
  if (exchange.replyCreated(attributes, fh, openReplyFlags(flags, caching))) return;
  fs.release(fh);
  fs.forget(ino, 1);
}

function readInto(
  exchange: Exchange,
  context: HandlerContext,
  { fh, offset, size, fillsCache }: decode.ReadRequest,
  buffer: ReplyBuffer,
): void | Promise<void> {
  const { fs, replyBuffers } = context;
  let isPending = false;
  try {
    if (size > buffer.payload.length) throw posixError(Errno.EINVAL);
    const into = buffer.payload.subarray(0, size);
    const filled = fs.read(fh as FileHandle, offset, into, fillsCache);
    if (typeof filled === 'number') {
      exchange.replyFramed(buffer.framed, filled);
      return;
    }
    isPending = true;
    return filled
      .then((bytes) => void exchange.replyFramed(buffer.framed, bytes))
      .finally(() => replyBuffers.release(buffer));
  } finally {
    if (!isPending) replyBuffers.release(buffer);
  }
}

function copyPiece(
  exchange: Exchange,
  { fs }: HandlerContext,
  bytesMax: number,
  reply: (bytes: number) => boolean,
): void | Promise<void> {
  const request = decode.decodeCopyFileRange(exchange.request);
  const copied = fs.copyRange({
    from: { ino: exchange.ino, offset: request.fromOffset },
    to: { ino: request.toIno as Ino, offset: request.toOffset },
    bytes: Math.min(request.length, bytesMax),
  });
  if (typeof copied !== 'number') return copied.then((bytes) => void reply(bytes));
  reply(copied);
}
