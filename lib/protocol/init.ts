// INIT: what the kernel offers and what dedupfs takes. Pure, so that each decision is a table row in
// the tests. fs/fuse/inode.c (process_init_reply) reads the answer.

import { Errno } from '../errno.ts';
import { ProtocolError } from './protocol-error.ts';
import { initOut } from './reply-structs.ts';
import type { Request } from './request.ts';
import { initIn, initInCompat } from './request-structs.ts';
import { getU32, setU16, setU32 } from './struct.ts';

/** Bits of the 64-bit flags word; those from 32 on travel in `flags2`. */
export const InitFlag = {
  /** Parallel READs per handle. */
  ASYNC_READ: 0,
  POSIX_LOCKS: 1,
  /** O_TRUNC arrives in OPEN instead of as a SETATTR after it. */
  ATOMIC_O_TRUNC: 3,
  /** LOOKUP of `.` and `..` finds inodes by number, which are never used again: file handles work. */
  EXPORT_SUPPORT: 4,
  /** Kernels that still consult it send 4 KiB WRITEs without it. */
  BIG_WRITES: 5,
  /** Modes arrive without the umask applied, which comes beside them. */
  DONT_MASK: 6,
  FLOCK_LOCKS: 10,
  AUTO_INVAL_DATA: 12,
  DO_READDIRPLUS: 13,
  READDIRPLUS_AUTO: 14,
  ASYNC_DIO: 15,
  WRITEBACK_CACHE: 16,
  NO_OPEN_SUPPORT: 17,
  /** Lookups and READDIRs of one directory at once. */
  PARALLEL_DIROPS: 18,
  HANDLE_KILLPRIV: 19,
  /** The kernel enforces access control lists; we keep them. */
  POSIX_ACL: 20,
  /** read(2) says ECONNABORTED after an abort, so that it can be told from an unmount. */
  ABORT_ERROR: 21,
  MAX_PAGES: 22,
  CACHE_SYMLINKS: 23,
  /** Spares small writers a GETXATTR(security.capability) before each write. */
  HANDLE_KILLPRIV_V2: 28,
  /** SETXATTR says whether an access control list takes set-gid away. */
  SETXATTR_EXT: 29,
  /** `flags2` is valid. */
  INIT_EXT: 30,
  SECURITY_CTX: 32,
  /** mmap(MAP_SHARED) works on FOPEN_DIRECT_IO descriptors. */
  DIRECT_IO_ALLOW_MMAP: 36,
  PASSTHROUGH: 37,
  /** name_to_handle_at fails cleanly instead of making handles that cannot be opened. */
  NO_EXPORT_SUPPORT: 38,
  /** Unanswered requests can be asked for again after a takeover. */
  HAS_RESEND: 39,
  ALLOW_IDMAP: 40,
  OVER_IO_URING: 41,
} as const;

/**
 * Asked for when offered. Not asked for, on purpose: locks (one host: the kernel's own are right),
 * AUTO_INVAL_DATA (drops whole files from the cache), WRITEBACK_CACHE (hides ENOSPC from write(2)),
 * READDIRPLUS_AUTO (which entries come with attributes we know better: priming.ts),
 * SECURITY_CTX, ALLOW_IDMAP (withholds uid and gid), ATOMIC_O_TRUNC (open(O_RDONLY | O_TRUNC) of a
 * running program would cut it and then say ETXTBSY).
 */
const wantedFlags: readonly number[] = [
  InitFlag.ASYNC_READ,
  InitFlag.BIG_WRITES,
  InitFlag.DO_READDIRPLUS,
  InitFlag.ASYNC_DIO,
  InitFlag.PARALLEL_DIROPS,
  InitFlag.ABORT_ERROR,
  InitFlag.MAX_PAGES,
  InitFlag.EXPORT_SUPPORT,
  InitFlag.HANDLE_KILLPRIV_V2,
  InitFlag.SETXATTR_EXT,
  InitFlag.INIT_EXT,
  InitFlag.DIRECT_IO_ALLOW_MMAP,
  InitFlag.HAS_RESEND,
];

const MAJOR = 7;
/** Newest minor whose changes were read; all since 7.23 are behind flags or ENOSYS. */
const MINOR_MAX = 45;
/** Linux 5.4: the oldest whose 64-byte reply, MAX_PAGES and COPY_FILE_RANGE are relied upon. */
const MINOR_MIN = 31;
const PAGE_BYTES = 4096;

/** Requests the kernel keeps in flight by itself: readahead, asynchronous direct I/O. */
const BACKGROUND_MAX = 64;
/** Three quarters of it, as the kernel's own default ratio. */
const CONGESTION_THRESHOLD = 48;
/** The kernel takes the smaller of this and its own 128 KiB; the lever is read_ahead_kb. */
const READAHEAD_BYTES_MAX = 4 * 1024 * 1024;

export interface InitOffer {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: number;
  /** 0 unless the kernel set INIT_EXT. */
  readonly flags2: number;
}

export interface InitAnswer {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: number;
  readonly flags2: number;
  readonly maxBackground: number;
  readonly congestionThreshold: number;
  readonly maxWrite: number;
  readonly timeGran: number;
  readonly maxPages: number;
}

export type InitOutcome =
  | { readonly kind: 'accept'; readonly answer: InitAnswer }
  /** The kernel speaks a newer major: it is told ours and sends INIT again. */
  | { readonly kind: 'renegotiate'; readonly answer: InitAnswer }
  /** Too old to serve. */
  | { readonly kind: 'refuse'; readonly reason: string };

/** @throws ProtocolError the body has neither the old nor the present length */
export function decodeInit(request: Request): InitOffer {
  const { view, body, end } = request;
  const { at } = initIn;
  const isExtended = end - body >= initIn.bytes;
  if (!isExtended && end - body !== initInCompat.bytes) {
    throw new ProtocolError(`INIT of ${end - body} bytes`, Errno.EPROTO);
  }
  const flags = getU32(view, body, at.flags);
  const hasFlags2 = isExtended && hasFlag(flags, 0, InitFlag.INIT_EXT);
  return {
    major: getU32(view, body, at.major),
    minor: getU32(view, body, at.minor),
    maxReadahead: getU32(view, body, at.max_readahead),
    flags,
    flags2: hasFlags2 ? getU32(view, body, at.flags2) : 0,
  };
}

/** What the mount needs of the connection; see Semantics of the filesystem's contract. */
export interface InitWishes {
  readonly acls: boolean;
  /** The kernel may answer readlink(2) by itself. */
  readonly cachedSymlinks: boolean;
}

/** @param payloadBytesMax largest payload of one WRITE that the receive buffers take */
export function negotiateInit(
  offer: InitOffer,
  payloadBytesMax: number,
  wishes: InitWishes,
): InitOutcome {
  if (offer.major > MAJOR) return { kind: 'renegotiate', answer: versionOnly() };
  if (offer.major < MAJOR || offer.minor < MINOR_MIN) {
    return {
      kind: 'refuse',
      reason:
        `the kernel speaks FUSE ${offer.major}.${offer.minor}, dedupfs needs ${MAJOR}.${MINOR_MIN}` +
        ' or later; upgrade to Linux 5.4 or later',
    };
  }
  const wanted = [...wantedFlags, ...flagsFor(wishes, offer)];
  const answer: InitAnswer = {
    ...versionOnly(),
    minor: Math.min(offer.minor, MINOR_MAX),
    maxReadahead: READAHEAD_BYTES_MAX,
    flags: (offer.flags & maskOf(wanted, 0)) >>> 0,
    flags2: (offer.flags2 & maskOf(wanted, 32)) >>> 0,
    maxBackground: BACKGROUND_MAX,
    congestionThreshold: CONGESTION_THRESHOLD,
    maxWrite: payloadBytesMax,
    timeGran: 1,
    // One page more: a user's buffer that is not page-aligned spans it, and would split the WRITE.
    // The kernel caps this at fs.fuse.max_pages_limit.
    maxPages: Math.ceil(payloadBytesMax / PAGE_BYTES) + 1,
  };
  return { kind: 'accept', answer };
}

/** Largest READ that `answer` lets the kernel send. */
export function readBytesMax(answer: InitAnswer): number {
  return answer.maxPages * PAGE_BYTES;
}

/** The reply's body, 64 bytes: right for every kernel since 7.23. */
export function encodeInitOut(view: DataView, at: number, answer: InitAnswer): number {
  for (let offset = 0; offset < initOut.bytes; offset += 4) view.setUint32(at + offset, 0, true);
  const { at: field } = initOut;
  setU32(view, at, field.major, answer.major);
  setU32(view, at, field.minor, answer.minor);
  setU32(view, at, field.max_readahead, answer.maxReadahead);
  setU32(view, at, field.flags, answer.flags);
  setU16(view, at, field.max_background, answer.maxBackground);
  setU16(view, at, field.congestion_threshold, answer.congestionThreshold);
  setU32(view, at, field.max_write, answer.maxWrite);
  setU32(view, at, field.time_gran, answer.timeGran);
  setU16(view, at, field.max_pages, answer.maxPages);
  setU32(view, at, field.flags2, answer.flags2);
  return initOut.bytes;
}

/** Whether bit `flag` (0 to 63) is set. */
export function hasFlag(flags: number, flags2: number, flag: number): boolean {
  const word = flag < 32 ? flags : flags2;
  return ((word >>> (flag % 32)) & 1) === 1;
}

/** Access control lists need all three: without SETXATTR_EXT set-gid could not be taken away rightly. */
function flagsFor({ acls, cachedSymlinks }: InitWishes, offer: InitOffer): number[] {
  const canSetAcls = hasFlag(offer.flags, offer.flags2, InitFlag.SETXATTR_EXT);
  return [
    ...(acls && canSetAcls ? [InitFlag.POSIX_ACL, InitFlag.DONT_MASK] : []),
    ...(cachedSymlinks ? [InitFlag.CACHE_SYMLINKS] : []),
  ];
}

function maskOf(flags: readonly number[], from: 0 | 32): number {
  let mask = 0;
  for (const flag of flags) {
    if (flag >= from && flag < from + 32) mask |= 1 << (flag - from);
  }
  return mask;
}

function versionOnly(): InitAnswer {
  return {
    major: MAJOR,
    minor: MINOR_MAX,
    maxReadahead: 0,
    flags: 0,
    flags2: 0,
    maxBackground: 0,
    congestionThreshold: 0,
    maxWrite: 0,
    timeGran: 0,
    maxPages: 0,
  };
}
