// Handlers of the requests about names and attributes.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import type { Attributes, Ino } from '../filesystem/contract.ts';
import * as decode from '../protocol/decode-names.ts';
import { LINK_TARGET_BYTES_MAX, NAME_BYTES_MAX } from '../protocol/flags.ts';
import type { Exchange } from './exchange.ts';
import type { HandlerContext } from './handler.ts';

export function lookup(exchange: Exchange, { fs }: HandlerContext): void {
  const attributes = fs.lookup(exchange.ino, checkedName(exchange.request.firstName()));
  const isTaken = exchange.replyEntry(attributes);
  if (!isTaken && attributes !== undefined) fs.forget(attributes.ino, 1);
}

export function forget(exchange: Exchange, { fs }: HandlerContext): void {
  exchange.finishWithoutReply();
  fs.forget(exchange.ino, decode.decodeForget(exchange.request));
}

export function batchForget(exchange: Exchange, { fs }: HandlerContext): void {
  exchange.finishWithoutReply();
  decode.decodeBatchForget(exchange.request, (ino, count) => fs.forget(ino as Ino, count));
}

export function getattr(exchange: Exchange, { fs }: HandlerContext): void {
  exchange.replyAttributes(fs.getAttributes(exchange.ino));
}

export function statx(exchange: Exchange, { fs }: HandlerContext): void {
  exchange.replyStatx(fs.getAttributes(exchange.ino));
}

export function setattr(exchange: Exchange, { fs }: HandlerContext): void {
  const changes = decode.decodeSetattr(exchange.request);
  exchange.replyAttributes(fs.setAttributes(exchange.ino, changes, exchange));
}

export function readlink(exchange: Exchange, { fs }: HandlerContext): void {
  exchange.replyBytes(fs.readLink(exchange.ino));
}

export function symlink(exchange: Exchange, context: HandlerContext): void {
  const name = checkedName(exchange.request.firstName());
  const target = exchange.request.secondName();
  if (target.length > LINK_TARGET_BYTES_MAX) throw posixError(Errno.ENAMETOOLONG);
  replyMade(exchange, context, context.fs.makeSymlink(exchange.ino, name, target, exchange));
}

export function mknod(exchange: Exchange, context: HandlerContext): void {
  const make = decode.decodeMknod(exchange.request);
  const name = checkedName(make.name);
  replyMade(exchange, context, context.fs.makeNode(exchange.ino, name, make, exchange));
}

export function mkdir(exchange: Exchange, context: HandlerContext): void {
  const make = decode.decodeMkdir(exchange.request);
  const name = checkedName(make.name);
  replyMade(exchange, context, context.fs.makeDirectory(exchange.ino, name, make, exchange));
}

export function link(exchange: Exchange, context: HandlerContext): void {
  const { ino, name } = decode.decodeLink(exchange.request);
  replyMade(exchange, context, context.fs.link(ino as Ino, exchange.ino, checkedName(name)));
}

export function unlink(exchange: Exchange, { fs }: HandlerContext): void {
  fs.unlink(exchange.ino, checkedName(exchange.request.firstName()));
  exchange.replyEmpty();
}

export function rmdir(exchange: Exchange, { fs }: HandlerContext): void {
  fs.removeDirectory(exchange.ino, checkedName(exchange.request.firstName()));
  exchange.replyEmpty();
}

export function rename(exchange: Exchange, context: HandlerContext): void {
  moveName(exchange, context, decode.decodeRename(exchange.request));
}

export function rename2(exchange: Exchange, context: HandlerContext): void {
  moveName(exchange, context, decode.decodeRename2(exchange.request));
}

/** @throws ENAMETOOLONG: the kernel lets names of up to 1024 bytes through to the server */
export function checkedName(name: Buffer): Buffer {
  if (name.length > NAME_BYTES_MAX) throw posixError(Errno.ENAMETOOLONG);
  return name;
}

function moveName(
  exchange: Exchange,
  { fs }: HandlerContext,
  { oldName, newParent, newName, flags }: decode.RenameRequest,
): void {
  fs.rename(
    { parent: exchange.ino, name: checkedName(oldName) },
    { parent: newParent as Ino, name: checkedName(newName) },
    flags,
    exchange,
  );
  exchange.replyEmpty();
}

/** An entry reply counts one lookup; when nobody took it, the lookup is taken back. */
function replyMade(exchange: Exchange, { fs }: HandlerContext, attributes: Attributes): void {
  const { ino } = attributes;
  if (!exchange.replyEntry(attributes)) fs.forget(ino, 1);
}
