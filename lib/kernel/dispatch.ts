// From opcode to handler, and from whatever a handler throws to an errno: the only place where
// errors become errnos.

import { Errno, type ErrnoNumber } from '../errno.ts';
import { DedupfsError, describeError, PosixError } from '../errors.ts';
import { Opcode } from '../protocol/opcodes.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import type { Exchange } from './exchange.ts';
import type { Handler } from './handler.ts';
import * as directories from './handlers-directories.ts';
import * as files from './handlers-files.ts';
import * as names from './handlers-names.ts';
import * as xattrs from './handlers-xattrs.ts';

// Not here: INIT and DESTROY, which the session handles, and what dedupfs does not support. ENOSYS
// makes the kernel stop asking for the life of the mount: POLL (files are always ready), BMAP,
// GETLK, SETLK, SETLKW (not negotiated; locks are local to the kernel), NOTIFY_REPLY.
const handlers: [opcode: number, handler: Handler][] = [
  [Opcode.LOOKUP, names.lookup],
  [Opcode.FORGET, names.forget],
  [Opcode.BATCH_FORGET, names.batchForget],
  [Opcode.GETATTR, names.getattr],
  [Opcode.STATX, names.statx],
  [Opcode.SETATTR, names.setattr],
  [Opcode.READLINK, names.readlink],
  [Opcode.SYMLINK, names.symlink],
  [Opcode.MKNOD, names.mknod],
  [Opcode.MKDIR, names.mkdir],
  [Opcode.LINK, names.link],
  [Opcode.UNLINK, names.unlink],
  [Opcode.RMDIR, names.rmdir],
  [Opcode.RENAME, names.rename],
  [Opcode.RENAME2, names.rename2],

  [Opcode.OPEN, files.open],
  [Opcode.CREATE, files.create],
  [Opcode.TMPFILE, files.tmpfile],
  [Opcode.READ, files.read],
  [Opcode.WRITE, files.write],
  [Opcode.FLUSH, files.flush],
  [Opcode.FSYNC, files.fsync],
  [Opcode.RELEASE, files.release],
  [Opcode.LSEEK, files.lseek],
  [Opcode.FALLOCATE, files.fallocate],
  [Opcode.COPY_FILE_RANGE, files.copyFileRange],
  [Opcode.COPY_FILE_RANGE_64, files.copyFileRange64],
  [Opcode.STATFS, files.statfs],
  [Opcode.SYNCFS, files.syncAll],
  [Opcode.ACCESS, files.access],
  [Opcode.IOCTL, files.ioctl],
  [Opcode.INTERRUPT, files.interrupt],

  [Opcode.OPENDIR, directories.opendir],
  [Opcode.READDIR, directories.readdir],
  [Opcode.READDIRPLUS, directories.readdirplus],
  [Opcode.RELEASEDIR, directories.releasedir],
  [Opcode.FSYNCDIR, directories.fsyncdir],

  [Opcode.GETXATTR, xattrs.getxattr],
  [Opcode.LISTXATTR, xattrs.listxattr],
  [Opcode.SETXATTR, xattrs.setxattr],
  [Opcode.REMOVEXATTR, xattrs.removexattr],
];

const table: (Handler | undefined)[] = [];
for (const [opcode, handler] of handlers) table[opcode] = handler;

/** undefined: not supported, to be answered ENOSYS. */
export function handlerOf(opcode: number): Handler | undefined {
  return table[opcode];
}

/** Answers a request that threw. A handler that throws after its reply is a bug worth a line. */
export function replyFailure(exchange: Exchange, error: unknown): void {
  const errno = errnoOf(error);
  logFailure(exchange, error);
  if (!exchange.isReplied) exchange.replyError(errno);
}

/** EIO for anything not thrown on purpose; never ENOSYS, which would disable the operation. */
function errnoOf(error: unknown): ErrnoNumber {
  if (!(error instanceof DedupfsError)) return Errno.EIO;
  return error.errno === Errno.ENOSYS ? Errno.EIO : error.errno;
}

function logFailure(exchange: Exchange, error: unknown): void {
  // The answer POSIX prescribes is nobody's fault, unless it comes after the reply.
  if (error instanceof PosixError && !exchange.isReplied) return;
  const { name: op, nodeid, pid } = exchange.request;
  const where = { op, nodeid, pid, isReplied: exchange.isReplied };
  if (error instanceof ProtocolError && error.errno === Errno.EFBIG) {
    // Any user can ask for what no file can hold, and go on asking.
    exchange.log.debug(where, `${op} refused: ${error.message}`);
  } else if (error instanceof ProtocolError) {
    exchange.log.warn(where, `${op} refused: ${error.message}`);
  } else if (error instanceof DedupfsError && error.errno === Errno.ENOSPC) {
    // Each write of a writer that goes on trying; the store itself reports that it is full.
    exchange.log.debug(where, `${op} failed: ${describeError(error)}`);
  } else if (error instanceof DedupfsError) {
    exchange.log.error({ ...where, code: error.code }, `${op} failed: ${describeError(error)}`);
  } else {
    exchange.log.error(
      { ...where, err: error },
      `${op} failed unexpectedly: ${describeError(error)}`,
    );
  }
}
