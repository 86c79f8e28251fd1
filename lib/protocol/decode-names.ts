// Decoders of the requests about names and attributes. Each reads one request whose frame has been
// checked by its opcode's record. Names are windows on the receive buffer.

import { Errno } from '../errno.ts';
import { SetattrValid } from './flags.ts';
import { ProtocolError } from './protocol-error.ts';
import type { Request } from './request.ts';
import * as structs from './request-structs.ts';
import { getI64Clamped, getU32, getU64, type Offset } from './struct.ts';

/** `sec` may be negative; `nsec` in [0, 1e9). */
export interface WireTimestamp {
  readonly sec: number;
  readonly nsec: number;
}

/** What SETATTR changes; absent fields stay. */
export interface WireAttributeChanges {
  mode?: number;
  uid?: number;
  gid?: number;
  size?: number;
  atime?: WireTimestamp | 'now';
  mtime?: WireTimestamp | 'now';
  ctime?: WireTimestamp;
  killSuidgid?: boolean;
}

const setattrAt = structs.setattrIn.at;

/**
 * The kernel sends `valid` 0 when a write by a user who is not the owner drops setuid; then nothing
 * changes and the attributes are all it wants.
 * @throws ProtocolError EFBIG when the new size exceeds 2^53 - 1
 */
export function decodeSetattr(request: Request): WireAttributeChanges {
  const { view, body } = request;
  const valid = getU32(view, body, setattrAt.valid);
  const changes: WireAttributeChanges = {};
  if (valid & SetattrValid.MODE) changes.mode = getU32(view, body, setattrAt.mode);
  if (valid & SetattrValid.UID) changes.uid = getU32(view, body, setattrAt.uid);
  if (valid & SetattrValid.GID) changes.gid = getU32(view, body, setattrAt.gid);
  if (valid & SetattrValid.SIZE) changes.size = getU64(view, body, setattrAt.size, Errno.EFBIG);
  if (valid & SetattrValid.ATIME_NOW) changes.atime = 'now';
  else if (valid & SetattrValid.ATIME) {
    changes.atime = timestamp(request, setattrAt.atime, setattrAt.atimensec);
  }
  if (valid & SetattrValid.MTIME_NOW) changes.mtime = 'now';
  else if (valid & SetattrValid.MTIME) {
    changes.mtime = timestamp(request, setattrAt.mtime, setattrAt.mtimensec);
  }
  if (valid & SetattrValid.CTIME) {
    changes.ctime = timestamp(request, setattrAt.ctime, setattrAt.ctimensec);
  }
  if (valid & SetattrValid.KILL_SUIDGID) changes.killSuidgid = true;
  return changes;
}

function timestamp(request: Request, sec: Offset<'i64'>, nsec: Offset<'u32'>): WireTimestamp {
  const time = {
    sec: getI64Clamped(request.view, request.body, sec),
    nsec: getU32(request.view, request.body, nsec),
  };
  if (time.nsec >= 1e9) throw new ProtocolError(`${time.nsec} ns in a timestamp`, Errno.EINVAL);
  return time;
}

export interface MknodRequest {
  readonly name: Buffer;
  readonly mode: number;
  readonly umask: number;
  /** new_encode_dev form. */
  readonly rdev: number;
}

export function decodeMknod(request: Request): MknodRequest {
  const { view, body } = request;
  const { at } = structs.mknodIn;
  return {
    name: request.firstName(),
    mode: getU32(view, body, at.mode),
    umask: getU32(view, body, at.umask),
    rdev: getU32(view, body, at.rdev),
  };
}

export interface MkdirRequest {
  readonly name: Buffer;
  readonly mode: number;
  readonly umask: number;
}

export function decodeMkdir(request: Request): MkdirRequest {
  const { at } = structs.mkdirIn;
  return {
    name: request.firstName(),
    mode: getU32(request.view, request.body, at.mode),
    umask: getU32(request.view, request.body, at.umask),
  };
}

export interface RenameRequest {
  readonly oldName: Buffer;
  readonly newParent: number;
  readonly newName: Buffer;
  readonly flags: number;
}

/** RENAME: what rename(2) without flags sends. */
export function decodeRename(request: Request): RenameRequest {
  return {
    oldName: request.firstName(),
    newParent: getU64(request.view, request.body, structs.renameIn.at.newdir),
    newName: request.secondName(),
    flags: 0,
  };
}

/** RENAME2: what renameat2(2) with flags sends. */
export function decodeRename2(request: Request): RenameRequest {
  const { at } = structs.rename2In;
  return {
    oldName: request.firstName(),
    newParent: getU64(request.view, request.body, at.newdir),
    newName: request.secondName(),
    flags: getU32(request.view, request.body, at.flags),
  };
}

/** LINK: `nodeid` of the request is the new parent, the inode to link comes in the body. */
export function decodeLink(request: Request): { ino: number; name: Buffer } {
  return {
    ino: getU64(request.view, request.body, structs.linkIn.at.oldnodeid),
    name: request.firstName(),
  };
}

export function decodeForget(request: Request): number {
  return getU64(request.view, request.body, structs.forgetIn.at.nlookup);
}

/** Calls `each` for every inode of a BATCH_FORGET. @throws ProtocolError before the first call */
export function decodeBatchForget(
  request: Request,
  each: (nodeid: number, nlookup: number) => void,
): void {
  const { view, body, end } = request;
  const count = getU32(view, body, structs.batchForgetIn.at.count);
  const from = body + structs.batchForgetIn.bytes;
  if (from + count * structs.forgetOne.bytes > end) {
    throw new ProtocolError(`BATCH_FORGET of ${count} inodes has ${end - from} bytes of them`);
  }
  const { at, bytes } = structs.forgetOne;
  for (let index = 0, one = from; index < count; index += 1, one += bytes) {
    each(getU64(view, one, at.nodeid), getU64(view, one, at.nlookup));
  }
}
