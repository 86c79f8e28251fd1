// Handlers of the requests about extended attributes.

import { Errno } from '../errno.ts';
import { posixError } from '../errors.ts';
import { decodeSetxattr, decodeXattrRoom } from '../protocol/decode-files.ts';
import { XATTR_BYTES_MAX } from '../protocol/flags.ts';
import type { Exchange } from './exchange.ts';
import type { HandlerContext } from './handler.ts';
import { checkedName } from './handlers-names.ts';

export function getxattr(exchange: Exchange, { fs }: HandlerContext): void | Promise<void> {
  const room = decodeXattrRoom(exchange.request);
  const { uid, gid, pid } = exchange;
  const value = fs.getXattr(exchange.ino, checkedName(exchange.request.firstName()), {
    uid,
    gid,
    pid,
    wantsLength: room === 0,
    get signal() {
      return exchange.signal;
    },
  });
  if (value instanceof Promise) return value.then((bytes) => replyFitting(exchange, bytes, room));
  replyFitting(exchange, value, room);
}

export function listxattr(exchange: Exchange, { fs }: HandlerContext): void {
  replyFitting(exchange, fs.listXattr(exchange.ino, exchange), decodeXattrRoom(exchange.request));
}

export function setxattr(exchange: Exchange, { fs }: HandlerContext): void {
  const { name, value, flags, dropSetgid } = decodeSetxattr(exchange.request);
  if (value.length > XATTR_BYTES_MAX) throw posixError(Errno.E2BIG);
  fs.setXattr(exchange.ino, checkedName(name), value, { flags, dropSetgid });
  exchange.replyEmpty();
}

export function removexattr(exchange: Exchange, { fs }: HandlerContext): void {
  fs.removeXattr(exchange.ino, checkedName(exchange.request.firstName()));
  exchange.replyEmpty();
}

/** Room 0 is a probe for the length. @throws ERANGE when the bytes do not fit, E2BIG over 64 KiB */
function replyFitting(exchange: Exchange, bytes: Buffer, room: number): void {
  if (bytes.length > XATTR_BYTES_MAX) throw posixError(Errno.E2BIG);
  if (room === 0) {
    exchange.replyXattrBytes(bytes.length);
    return;
  }
  if (bytes.length > room) throw posixError(Errno.ERANGE);
  exchange.replyBytes(bytes);
}
