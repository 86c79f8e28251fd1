// 64-bit fields without BigInt: JS numbers are exact up to 2^53 - 1, which is 8 PiB as a file offset.
// What the kernel may ask beyond that is refused or clamped here, never rounded silently.
// All FUSE numbers are in the host's byte order, and every host Node runs Linux on is little-endian.

import { Errno, type ErrnoNumber } from '../errno.ts';
import { ProtocolError } from './protocol-error.ts';

const TWO_POW_32 = 0x1_0000_0000;
/** Largest high half of a safe integer: 2^53 - 1 = (2^21 - 1) * 2^32 + (2^32 - 1). */
const HIGH_MAX = 0x1f_ffff;

/** @throws ProtocolError with `errno` when the value exceeds 2^53 - 1 */
export function readU64(view: DataView, at: number, errno: ErrnoNumber = Errno.EINVAL): number {
  const high = view.getUint32(at + 4, true);
  if (high > HIGH_MAX)
    throw new ProtocolError(`64-bit value at byte ${at} exceeds 2^53 - 1`, errno);
  return high * TWO_POW_32 + view.getUint32(at, true);
}

/** The value, or 2^53 - 1 when it is larger: for places where "very far" is as good as the number. */
export function readU64Clamped(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true);
  if (high > HIGH_MAX) return Number.MAX_SAFE_INTEGER;
  return high * TWO_POW_32 + view.getUint32(at, true);
}

/** Signed: the seconds of a timestamp, negative before 1970. Beyond 2^53 the nearest exact number. */
export function readI64Clamped(view: DataView, at: number): number {
  const value = view.getInt32(at + 4, true) * TWO_POW_32 + view.getUint32(at, true);
  return Math.min(Math.max(value, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
}

/** Stores a safe integer of either sign in two's complement. */
export function write64(view: DataView, at: number, value: number): void {
  if (value >= 0 && value < TWO_POW_32) {
    view.setUint32(at, value, true);
    view.setUint32(at + 4, 0, true);
    return;
  }
  const high = Math.floor(value / TWO_POW_32);
  view.setUint32(at, value - high * TWO_POW_32, true);
  view.setInt32(at + 4, high, true);
}
