// Decoders of the requests about open files, directories and extended attributes. Each reads one
// request whose frame has been checked by its opcode's record.

import { Errno } from '../errno.ts';
import { ReadFlag, SETXATTR_ACL_KILL_SGID, WriteFlag } from './flags.ts';
import { ProtocolError } from './protocol-error.ts';
import type { Request } from './request.ts';
import * as structs from './request-structs.ts';
import { getCookie, getU32, getU64, getU64Clamped } from './struct.ts';

export interface OpenRequest {
  /** open(2) flags; never O_TRUNC, which comes as a SETATTR (init.ts). */
  readonly flags: number;
}

/** OPEN and OPENDIR. */
export function decodeOpen(request: Request): OpenRequest {
  const { at } = structs.openIn;
  return {
    flags: getU32(request.view, request.body, at.flags),
  };
}

export interface CreateRequest extends OpenRequest {
  /** TMPFILE sends the placeholder `/`. */
  readonly name: Buffer;
  readonly mode: number;
  readonly umask: number;
}

/** CREATE and TMPFILE. */
export function decodeCreate(request: Request): CreateRequest {
  const { view, body } = request;
  const { at } = structs.createIn;
  return {
    name: request.firstName(),
    mode: getU32(view, body, at.mode),
    umask: getU32(view, body, at.umask),
    flags: getU32(view, body, at.flags),
  };
}

export interface ReadRequest {
  readonly fh: number;
  /** Beyond 2^53 - 1 it is clamped: no file reaches there. */
  readonly offset: number;
  readonly size: number;
  /** The kernel keeps what it reads in its pages, where a mapping may change it. */
  readonly fillsCache: boolean;
}

export function decodeRead(request: Request): ReadRequest {
  const { view, body } = request;
  const { at } = structs.readIn;
  return {
    fh: getU64(view, body, at.fh),
    offset: getU64Clamped(view, body, at.offset),
    size: getU32(view, body, at.size),
    fillsCache: (getU32(view, body, at.read_flags) & ReadFlag.LOCKOWNER) === 0,
  };
}

export interface ReadDirectoryRequest {
  readonly fh: number;
  readonly cookie: number;
  readonly era: number;
  readonly size: number;
}

/** READDIR and READDIRPLUS. */
export function decodeReadDirectory(request: Request): ReadDirectoryRequest {
  const { view, body } = request;
  const { at } = structs.readIn;
  return {
    fh: getU64(view, body, at.fh),
    ...getCookie(view, body, at.offset),
    size: getU32(view, body, at.size),
  };
}

export interface WriteRequest {
  readonly fh: number;
  readonly offset: number;
  /** open(2) flags of the descriptor. */
  readonly flags: number;
  readonly killSuidgid: boolean;
  /** Where the data lies in the receive buffer. */
  readonly dataOffset: number;
  readonly dataBytes: number;
}

/** @throws ProtocolError EFBIG when the write would begin beyond 2^53 - 1 */
export function decodeWrite(request: Request): WriteRequest {
  const { view, body } = request;
  const { at, bytes } = structs.writeIn;
  const dataOffset = body + bytes;
  const dataBytes = getU32(view, body, at.size);
  if (dataBytes !== request.end - dataOffset) {
    throw new ProtocolError(
      `WRITE states ${dataBytes} bytes of data and has ${request.end - dataOffset}`,
    );
  }
  const offset = getU64(view, body, at.offset, Errno.EFBIG);
  return {
    fh: getU64(view, body, at.fh),
    offset,
    flags: getU32(view, body, at.flags),
    killSuidgid: (getU32(view, body, at.write_flags) & WriteFlag.KILL_SUIDGID) !== 0,
    dataOffset,
    dataBytes,
  };
}

/** `fh` of RELEASE and RELEASEDIR. */
export function decodeRelease(request: Request): number {
  return getU64(request.view, request.body, structs.releaseIn.at.fh);
}

export function decodeFlush(request: Request): number {
  return getU64(request.view, request.body, structs.flushIn.at.fh);
}

/** `fh` of FSYNC. That only data is wanted (datasync) changes nothing: a commit covers both. */
export function decodeFsync(request: Request): number {
  return getU64(request.view, request.body, structs.fsyncIn.at.fh);
}

/** The number of the request that is interrupted, in halves as `Request` has its own. */
export function decodeInterrupt({ view, body }: Request): {
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
} {
  const at = body + structs.interruptIn.at.unique;
  return { uniqueLow: view.getUint32(at, true), uniqueHigh: view.getUint32(at + 4, true) };
}

export interface AllocateRequest {
  readonly fh: number;
  readonly offset: number;
  readonly length: number;
  /** fallocate(2) flags. */
  readonly mode: number;
}

/** @throws ProtocolError EFBIG when the range ends beyond 2^53 - 1 */
export function decodeFallocate(request: Request): AllocateRequest {
  const { view, body } = request;
  const { at } = structs.fallocateIn;
  const offset = getU64(view, body, at.offset, Errno.EFBIG);
  const length = getU64(view, body, at.length, Errno.EFBIG);
  checkRange('FALLOCATE', offset, length);
  return { fh: getU64(view, body, at.fh), offset, length, mode: getU32(view, body, at.mode) };
}

export interface SeekRequest {
  readonly fh: number;
  readonly offset: number;
  readonly whence: number;
}

export function decodeLseek(request: Request): SeekRequest {
  const { view, body } = request;
  const { at } = structs.lseekIn;
  return {
    fh: getU64(view, body, at.fh),
    offset: getU64Clamped(view, body, at.offset),
    whence: getU32(view, body, at.whence),
  };
}

export interface CopyRequest {
  readonly fromOffset: number;
  readonly toIno: number;
  readonly toOffset: number;
  readonly length: number;
}

/**
 * COPY_FILE_RANGE and COPY_FILE_RANGE_64: `nodeid` of the request is the source. The length may be
 * anything ("as much as there is"), so it is clamped.
 */
export function decodeCopyFileRange(request: Request): CopyRequest {
  const { view, body } = request;
  const { at } = structs.copyFileRangeIn;
  if (getU64(view, body, at.flags) !== 0) {
    throw new ProtocolError('COPY_FILE_RANGE with unknown flags', Errno.EINVAL);
  }
  return {
    fromOffset: getU64Clamped(view, body, at.off_in),
    toIno: getU64(view, body, at.nodeid_out),
    toOffset: getU64(view, body, at.off_out, Errno.EFBIG),
    length: getU64Clamped(view, body, at.len),
  };
}

export interface SetxattrRequest {
  readonly name: Buffer;
  /** A window on the receive buffer. */
  readonly value: Buffer;
  readonly flags: number;
  /** FUSE_SETXATTR_ACL_KILL_SGID: an access control list by somebody who is not in the file's group. */
  readonly dropSetgid: boolean;
}

/** Both forms of the body: with `setxattr_flags` where SETXATTR_EXT was negotiated. */
export function decodeSetxattr(request: Request): SetxattrRequest {
  const { view, body, namesEnd, end } = request;
  const { at } = structs.setxattrIn;
  const isExtended = request.record?.input === structs.setxattrIn;
  const size = getU32(view, body, at.size);
  if (size !== end - namesEnd) {
    throw new ProtocolError(`SETXATTR states a value of ${size} bytes and has ${end - namesEnd}`);
  }
  return {
    name: request.firstName(),
    value: request.bytes.subarray(namesEnd, end),
    flags: getU32(view, body, at.flags),
    dropSetgid:
      isExtended && (getU32(view, body, at.setxattr_flags) & SETXATTR_ACL_KILL_SGID) !== 0,
  };
}

/** Room for the answer of GETXATTR and LISTXATTR; 0 asks for its length only. */
export function decodeXattrRoom(request: Request): number {
  return getU32(request.view, request.body, structs.getxattrIn.at.size);
}

function checkRange(what: string, offset: number, length: number): void {
  if (Number.isSafeInteger(offset + length)) return;
  throw new ProtocolError(`${what} ends beyond 2^53 - 1`, Errno.EFBIG);
}
